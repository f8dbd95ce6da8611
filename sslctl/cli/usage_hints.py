"""What to write instead of a command line that cannot be used: misspelt commands, and options and names in the wrong place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import click

_MOST = 3
# How other tools, and the statuses, call what a command does.
_OTHER_WORDS = {
    "ls": "list",
    "status": "list",
    "show": "view",
    "info": "view",
    "rm": "delete",
    "remove": "delete",
    "renew": "recheck",
    "issue": "add",
    "test": "check",
    "tick": "daemon-tick",
    "web": "serve",
}


class HintedUsageError(click.UsageError):
    """Wrong usage with what to do about it."""

    def __init__(self, message: str, hint: str, context: click.Context | None) -> None:
        super().__init__(message, context)
        self.hint = hint


class Line(NamedTuple):
    """A command line: all words after `sslctl`, and those after the command, empty while that is unknown."""

    words: Sequence[str] = ()
    rest: Sequence[str] = ()


def unknown_command(name: str, known: Sequence[str], context: click.Context) -> click.UsageError:
    """Return the error about the command `name`, which is none of `known`, with those that may be meant."""
    message = f"No such command {name!r}."
    word = name.lower().lstrip("-")
    near = [_OTHER_WORDS[word]] if word in _OTHER_WORDS else get_close_matches(word, known, _MOST)
    if not near:
        return click.UsageError(message, context)
    meant = " or ".join(f"`sslctl {each}`" for each in near)
    return HintedUsageError(message, f"did you mean {meant}?", context)


def explain_usage(error: click.ClickException, root: click.Context, line: Line) -> click.ClickException:
    """Return `error` of the command line `line`, with the right one as its hint if something is only in the wrong place."""
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return error
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and isinstance(error.ctx.command, click.Group):
        # Its message is the whole help.
        names = ", ".join(error.ctx.command.list_commands(error.ctx))
        return click.UsageError(f"`{error.ctx.command_path}` needs a command: {names}.", error.ctx)
    if isinstance(error, click.NoSuchOption):
        is_early = error.ctx is root
        moved = _move_behind(root, line.words) if is_early else _move_ahead(root, line)
        if moved:
            place = "after" if is_early else "before"
            message = f"{error.option_name} belongs {place} the command."
            return HintedUsageError(message, f"write `{shlex.join(('sslctl', *moved))}`", error.ctx)
        if is_early and error.option_name == "--json":
            return HintedUsageError(
                "--json belongs after a command.", "such as `sslctl list --json`", error.ctx
            )
    elif error.ctx.command.name == "todo" and type(error) is click.UsageError:
        extra = _extra_words(error.ctx, line.rest)
        if extra:
            listing = shlex.join(("sslctl", "list", extra[0]))
            hint = f"todo takes filters such as --customer and no names; `{listing}` lists the domains whose names match"
            return HintedUsageError(error.message, hint, error.ctx)
    return error


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that people may write, by each of their spellings."""
    return {
        spelling: option
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
        for spelling in (*option.opts, *option.secondary_opts)
    }


def _takes_next(option: click.Option, word: str) -> bool:
    """Return whether the word after `word`, which names `option`, is its value."""
    return not option.is_flag and not option.count and "=" not in word


def _move_behind(root: click.Context, words: Sequence[str]) -> list[str]:
    """Return `words` with the options of the command that stand before it behind it; nothing if other options stand there too."""
    group = root.command
    assert isinstance(group, click.Group)  # noqa: S101 - the root is the group of commands
    own = _options(group)
    known = group.list_commands(root)
    at = _find_command(words, own, known)
    if at is None:
        return []
    command = group.get_command(root, words[at])
    kept, moved = _split(words[:at], own, _options(command) if command else {})
    return [*kept, words[at], *moved, *words[at + 1 :]] if moved else []


def _find_command(words: Sequence[str], own: Mapping[str, click.Option], known: Sequence[str]) -> int | None:
    """Return the index of the command in `words`, None without one. Values of the options `own` are no commands."""
    skipped = False
    for at, word in enumerate(words):
        if skipped:
            skipped = False
        elif word in known:
            return at
        else:
            option = own.get(word.partition("=")[0])
            skipped = option is not None and _takes_next(option, word)
    return None


def _split(
    words: Sequence[str], own: Mapping[str, click.Option], others: Mapping[str, click.Option]
) -> tuple[list[str], list[str]]:
    """Return the options in `words` that are `own`, and those of `others`, with their values; nothing if some are unknown."""
    kept, moved = list[str](), list[str]()
    left = list(words)
    while left:
        word = left.pop(0)
        spelling = word.partition("=")[0]
        option = own.get(spelling) or others.get(spelling)
        if option is None:
            return [], []
        found = [word]
        if _takes_next(option, word) and left:
            found.append(left.pop(0))
        (kept if spelling in own else moved).extend(found)
    return kept, moved


def _move_ahead(root: click.Context, line: Line) -> list[str]:
    """Return the words of `line` with the options that belong before the command there; nothing if there are none."""
    own = _options(root.command)
    before = list(line.words[: len(line.words) - len(line.rest)])
    ahead, kept, left = list[str](), list[str](), list(line.rest)
    while left and left[0] != "--":
        word = left.pop(0)
        option = own.get(word.partition("=")[0])
        if option is None:
            kept.append(word)
            continue
        ahead.append(word)
        if _takes_next(option, word) and left:
            ahead.append(left.pop(0))
    return [*before[:-1], *ahead, *before[-1:], *kept, *left] if ahead else []


def _extra_words(context: click.Context, rest: Sequence[str]) -> list[str]:
    """Return the words of `rest` that are neither options nor values of the command of `context`, which takes no arguments."""
    _, words, _ = context.command.make_parser(context).parse_args(list(rest))
    return words
