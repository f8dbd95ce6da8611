"""Errors on standard error, each with its next step."""

from __future__ import annotations

import click

from sslctl.text import clean

_LONGEST = 2000


def print_error(message: str, hint: str | None = None) -> None:
    """Print an error, and its next step. Both may quote what an operator typed or a file contains."""
    click.echo(f"sslctl: error: {clean(message, _LONGEST)}", err=True)
    if hint:
        click.echo(f"sslctl: hint: {clean(hint, _LONGEST)}", err=True)
