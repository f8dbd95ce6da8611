"""Which managed domains may be meant by a name that cannot be used or is not managed."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import click

from sslctl.app import App
from sslctl.cli.completion_names import COMMANDS
from sslctl.cli.output.shell import command_line
from sslctl.errors import BadInput, SslctlError
from sslctl.fleet.similar_names import find_similar
from sslctl.rules import name_pattern
from sslctl.store.interface.domains import Domains, Query, Sort
from sslctl.text import join_hints

_MOST = 3
# Names as similar as two that differ in one or two characters.
_ONE_SLIP = 0.9
# Parts of names, and patterns, that were given to a command that takes whole names.
_PARTS = frozenset({"name.single_label", "name.wildcard"})
# They take new names, or patterns.
_OTHERS = frozenset({"add", "list"})


def add_hint(root: click.Context, error: SslctlError) -> None:
    """Let the hint of `error` name the managed domains that may be meant, if it is about one name that a command was given."""
    name = root.invoked_subcommand
    problem, app = error.problem, root.obj
    if problem is None or name not in COMMANDS or name in _OTHERS or not isinstance(app, App):
        return
    # A state that cannot be used is no reason to hide the error.
    with suppress(SslctlError, OSError):
        if problem.key in _PARTS:
            hint = _hint_for_part(app.store, str(problem.fields["text"]), app.clock(), root, name)
        elif problem.key == "unmanaged.unknown":
            similar = find_similar(app.store, str(problem.fields["name"]), app.clock(), cutoff=_ONE_SLIP)[
                :_MOST
            ]
            hint = f"did you mean {_listed(similar)}?" if similar else ""
        else:
            return
        error.hint = join_hints(hint, error.hint) or None


def _hint_for_part(store: Domains, text: str, now: datetime, root: click.Context, command: str) -> str:
    """Return which domains match `text`, and the commands that take it; empty if none does."""
    try:
        pattern = name_pattern.parse(text)
    except BadInput:
        return ""
    query = Query(pattern=pattern, sort=Sort.NAME, limit=_MOST + 1)
    found = [domain.name for domain in store.listing(query, now).domains]
    if not found:
        return ""
    first = (
        f"did you mean {_listed(found)}?"
        if len(found) <= _MOST
        else f"several domains match, such as {', '.join(found[:_MOST])}"
    )
    hints = [first, f"`{command_line('list', text)}` lists all that match"]
    if _takes_match(root, command):
        hints.append(f"`{command_line(command, '--match', text)}` takes them")
    return join_hints(*hints)


def _takes_match(root: click.Context, command: str) -> bool:
    group = root.command
    found = group.get_command(root, command) if isinstance(group, click.Group) else None
    return found is not None and any("--match" in parameter.opts for parameter in found.params)


def _listed(names: list[str]) -> str:
    return " or ".join(names)
