"""The names of domains that a shell can complete, for each command that takes some."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

from sslctl.app import App

# What a shell completes becomes part of a command line. Nothing in a damaged database may be run by the shell.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ASSIGNEE = re.compile(r"[\w][\w.@+-]*")


class Kinds(NamedTuple):
    """Which names a command takes (of managed and of deleted domains, other names of certificates), and how many."""

    managed: bool = True
    deleted: bool = False
    other_names: bool = False
    several: bool = True


COMMANDS = {
    # It takes new names, which nobody knows yet, and those that were deleted.
    "add": Kinds(managed=False, deleted=True),
    "list": Kinds(other_names=True, several=False),
    "view": Kinds(deleted=True, other_names=True, several=False),
    "download": Kinds(deleted=True, several=False),
    "delete": Kinds(),
    "set": Kinds(),
    "revoke": Kinds(several=False),
    "check": Kinds(deleted=True, other_names=True),
    "adopt": Kinds(),
    "recheck": Kinds(),
    "message": Kinds(),
    "note": Kinds(),
    "assign": Kinds(),
    "customer": Kinds(),
    "snooze": Kinds(),
}
"""The commands with names of domains as their arguments."""


def complete_name(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names that begin with `incomplete` for an argument of a command: `shell_complete` of click."""
    kinds = COMMANDS[context.command.name or ""]
    if context.params.get("deleted"):
        kinds = kinds._replace(deleted=True)
    typed = context.params.get(parameter.name or "") or ()
    return find_names(kinds, incomplete, typed, config_path=_config_path(context))


def complete_assignee(
    context: click.Context,
    _parameter: click.Parameter,
    incomplete: str,
) -> list[str]:
    """Return the assignees that begin with `incomplete`: `shell_complete` of click."""
    from sslctl.store import name_prefix  # noqa: PLC0415 - main imports this module, and most commands complete nothing

    found = name_prefix.find_assignees(App(_config_path(context)).config.state, incomplete)
    return [who for who in found if _ASSIGNEE.fullmatch(who)]


def _config_path(context: click.Context) -> Path | None:
    path: Path | None = context.find_root().params.get("config_path")
    return path.expanduser() if path else None


def find_names(
    kinds: Kinds, incomplete: str, typed: Iterable[str] = (), *, config_path: Path | None = None
) -> list[str]:
    """Return the names that begin with `incomplete`, without those in `typed`. Raise any error of the state."""
    from sslctl.store import name_prefix  # noqa: PLC0415 - main imports this module, and most commands complete nothing

    found = name_prefix.find_names(
        App(config_path).config.state,
        incomplete.lower(),
        managed=kinds.managed,
        deleted=kinds.deleted,
        other_names=kinds.other_names,
    )
    without = {typed} if isinstance(typed, str) else set(typed)
    return [name for name in found if _NAME.fullmatch(name) and name not in without]
