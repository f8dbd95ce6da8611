"""`sslctl doctor`."""

from __future__ import annotations

import click

from sslctl import doctor
from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.doctor import Check


@click.command("doctor")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> int:
    """Look at all that sslctl needs, and change nothing: one line for each check, ok, warn or bad, with what to do.

    Exit codes: 0 all is well, or there are only warnings; 8 something here is bad: configuration, state, disk, a token
    that C4 refuses, or no tick for 26 hours; 75 all here is well, but DNS, the CA or C4 could not be asked.
    """
    checks = list[Check]()
    for check in doctor.examine("configuration", app.run_checks):
        checks.append(check)
        if not as_json:
            render.check(check)
    if as_json:
        render.json_list(
            json_shapes.envelope(at=json_shapes.instant(app.clock())),
            "checks",
            map(json_shapes.check, checks),
        )
    return doctor.exit_code(checks)
