"""Command lines of sslctl that can be pasted into a shell, and the next one at the end of an output."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import click

from sslctl.cli.output.stdout import write_line


def command_line(*words: str) -> str:
    """Return `sslctl` with `words`, each quoted if a shell needs it, and with the configuration that this command was given."""
    context = click.get_current_context(silent=True)
    path = None if context is None else context.find_root().params.get("config_path")
    return shlex.join(["sslctl", *(["--config", str(path)] if path else []), *words])


def next_line(words: Sequence[str]) -> str:
    """Return the line with the next command; empty without one, if it is the command that runs, or if standard output is no terminal."""
    context = click.get_current_context(silent=True)
    is_same = context is not None and list(words[:1]) == [context.command.name]
    return f"next: {command_line(*words)}" if words and not is_same and sys.stdout.isatty() else ""


def write_next(words: Sequence[str], *, gap: bool = False) -> None:
    """Write the line with the next command, if there is one, to a terminal; with `gap` an empty line precedes it."""
    if line := next_line(words):
        write_line(f"\n{line}" if gap else line)
