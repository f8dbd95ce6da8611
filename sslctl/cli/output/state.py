"""The line that reports a new state."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.text import clean


def print_created(app: App) -> None:
    """Print on standard error that a new state was created, and where; an operator who expected one there must notice."""
    state = app.config.state
    click.echo(
        f"sslctl: created a new state: {state.shown_database}, with the key file {clean(state.master_key_path)}",
        err=True,
    )
