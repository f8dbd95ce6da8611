"""`sslctl resume`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.rules.maintenance_pause import describe


@click.command("resume")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> None:
    """End the maintenance pause, which `sslctl pause` set, before its time.

    The next tick orders and uploads what has waited. Pauses that the CA demands stay: `sslctl pauses lift` ends these.
    """
    ended = app.store.end_maintenance_pause()
    if as_json:
        write_json(json_shapes.envelope(maintenance=json_shapes.maintenance(ended)))
    elif ended is None:
        write_line("There is no maintenance pause, so nothing was ended.")
    else:
        write_line(f"Ended the pause {describe(ended)}")
        write_line("The next tick orders and uploads what has waited.")
