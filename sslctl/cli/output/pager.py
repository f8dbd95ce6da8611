"""Long text on a terminal, through the pager of the user."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator

import click

from sslctl.cli.output.stdout import write_line


def write_paged(texts: Iterable[str], number: int, *, pager: bool = True) -> None:
    """Write `texts`, which have `number` lines together, through `$PAGER` (less without it) if the terminal is too short.

    There is no pager if standard input or output is no terminal, if `pager` is false, if NO_PAGER is set, or if PAGER is empty
    or cannot be used. It is no error if the pager ends early. Through sudo only less is used, without its commands.
    """
    # The last line of the terminal is for the prompt.
    if not pager or number < shutil.get_terminal_size().lines or not _has_pager():
        for text in texts:
            write_line(text)
        return
    if _is_for_another_user():
        # As the user for whom this runs, a command of less could read the private keys.
        os.environ |= {"PAGER": "less", "LESSSECURE": "1"}
    context = click.get_current_context(silent=True)
    color = False if context is not None and context.color is False else None
    click.echo_via_pager(_separated(texts), color=color)


def _is_for_another_user() -> bool:
    """Return whether this runs as another user than the one at the terminal, by sudo or by the mode of the program."""
    return "SUDO_UID" in os.environ or os.geteuid() != os.getuid()


def _separated(texts: Iterable[str]) -> Iterator[str]:
    """Yield `texts` with line ends between them; click adds the last one."""
    separator = ""
    for text in texts:
        yield separator + text
        separator = "\n"


def _has_pager() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("NO_PAGER"):
        return False
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        return False
    return bool(words) and shutil.which(words[0]) is not None
