"""Answer a shell that completes a command line. The scripts of `sslctl completion` ask with environment variables.

It is fast, because a person waits: the names of domains need neither the module of the command nor cryptography. It is silent,
because an error message would be written into the line that the person types.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem, get_completion_class

from sslctl.cli.completion_names import COMMANDS, find_names
from sslctl.cli.output.stdout import write_lines

VARIABLE = "_SSLCTL_COMPLETE"
"""The environment variable with the question, such as `bash_complete`; click reads it too."""

SHELLS = ("bash", "zsh", "fish")


def find_shell() -> str | None:
    """Return the shell that asks, None if none does."""
    shell, _, instruction = os.environ.get(VARIABLE, "").partition("_")
    is_asking = shell in SHELLS and instruction == "complete" and "COMP_WORDS" in os.environ
    return shell if is_asking else None


def answer(shell: str, group: click.Group) -> None:
    """Write what completes the command line of `group`, in the form that the script of `shell` reads. Errors are ignored."""
    kind = get_completion_class(shell)
    try:
        if kind is not None:
            completer = kind(group, {}, "sslctl", VARIABLE)
            words, incomplete = completer.get_completion_args()
            # bash splits `--status=Fail` into three words.
            words = [word for word in words if word != "="]
            items = _complete_name(words, incomplete)
            items = completer.get_completions(words, incomplete) if items is None else items
            write_lines(map(completer.format_completion, items))
    except (Exception, KeyboardInterrupt):  # noqa: BLE001, S110 - see above: without an answer, nothing is completed
        pass


def _complete_name(words: Sequence[str], incomplete: str) -> list[CompletionItem[str]] | None:
    """Return the names that `incomplete` begins if only names are before it; otherwise None, because click must parse them."""
    command, *typed = words or [""]
    if command not in COMMANDS or any(word.startswith("-") for word in (*typed, incomplete)):
        return None
    kinds = COMMANDS[command]
    if typed and not kinds.several:
        return []
    return [CompletionItem(name) for name in find_names(kinds, incomplete, typed)]
