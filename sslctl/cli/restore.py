"""`sslctl restore`."""

from __future__ import annotations

from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli import backup
from sslctl.cli.options import json_option
from sslctl.text import clean


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def command(app: App, *, file: Path, as_json: bool) -> None:
    """Restore the state from the backup FILE. state.dir must not contain a state, except one that never held a domain.

    Put the key file in its place first; it must decrypt every private key in FILE. Domains that were in Success are
    Pending until the next tick has verified what C4 serves. An unreadable database is kept under another name.
    """
    copy, kept = app.restore(file)
    backup.print_copy(app, file, copy, as_json=as_json)
    if kept is not None:
        click.echo(f"The unreadable database was kept: {clean(kept, 4096)}", err=True)
    click.echo(
        f"Restored into {app.config.state.dir}. Next: `sslctl doctor`, then `sslctl daemon-tick`.", err=True
    )
