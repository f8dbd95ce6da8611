"""`sslctl doctor`."""

from __future__ import annotations

import click

from sslctl import doctor
from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.table import table
from sslctl.doctor import Check, Grade

_COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.BAD: "red"}
_HEADERS = ("GRADE", "CHECK", "RESULT")


@click.command("doctor")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> int:
    """Check everything that sslctl needs, without changing anything.

    Each check is graded ok, warn or bad; what to do follows an arrow. DNS, the CA and C4 have 15 seconds to answer.

    Exit codes: 0 no check is bad; 8 something here is bad: the configuration, the state, the disk, a token that C4
    refuses, or no tick for 26 hours; 75 only DNS, the CA or C4 did not answer, or the database is locked.
    """
    checks = list(doctor.examine("configuration", app.run_checks))
    if as_json:
        write_json_list(
            json_shapes.envelope(at=json_shapes.instant(app.clock())),
            "checks",
            map(json_shapes.check, checks),
        )
    else:
        write_line(table([_row(check) for check in checks], _HEADERS))
    return doctor.exit_code(checks)


def _row(check: Check) -> tuple[str, str, str]:
    grade = click.style(check.grade, fg=_COLOURS[check.grade])
    return grade, check.name, f"{check.detail}\n→ {check.hint}" if check.hint else check.detail
