"""Questions that must be answered before something is done that nobody can undo, or that concerns many domains."""

from __future__ import annotations

import sys

import click


def require_terminal(what: str) -> None:
    """Raise `UsageError` if there is nobody to confirm `what`, such as `the deletion of shop.example.com`."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"there is no terminal to confirm {what}; confirm it with --yes")


def confirm(question: str) -> bool:
    """Ask `question` on standard error, and return whether the answer is yes. Raise `click.Abort` for Ctrl-C and Ctrl-D."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)  # end the line of the prompt
        raise
