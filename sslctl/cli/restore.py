"""`sslctl restore`."""

from __future__ import annotations

from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli import backup
from sslctl.cli.options import json_option


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def command(app: App, *, file: Path, as_json: bool) -> None:
    """Make the state out of the backup FILE, where state.dir has none yet.

    The key file must be in its place first, and open every private key in FILE. The next tick sees for itself what C4
    serves; until then what was well is Pending.
    """
    copy = app.restore(file)
    backup.say(app, file, copy, as_json=as_json)
    click.echo(
        f"Restored into {app.config.state.dir}. Next: `sslctl doctor`, then `sslctl daemon-tick`.", err=True
    )
