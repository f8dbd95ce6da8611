"""`sslctl pauses`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.table import table
from sslctl.errors import NotManaged
from sslctl.rules.ca_name import ca_name
from sslctl.rules.limits import Pause
from sslctl.rules.singapore import format_sgt
from sslctl.text import clean

_HEADERS = ("PAUSE", "UNTIL", "WHY")
_ALL = "all"
_MAINTENANCE = "maintenance"


@click.group("pauses", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the pauses: what is not done, until when, and why. A maintenance pause comes first.

    An operator sets a maintenance pause with `sslctl pause`, and `sslctl resume` ends it. All others are of the CA: they are set
    if the CA asks for one, refuses requests or does not answer, and end by themselves. While they last, one order an hour
    goes ahead for a certificate that would expire before the end of the pause.
    """
    if context.invoked_subcommand is not None:
        return
    app: App = context.obj
    app.only_reads = True
    found, maintenance = _pauses(app), app.store.maintenance_pause(app.clock())
    if as_json:
        answer = json_shapes.envelope(maintenance=json_shapes.maintenance(maintenance))
        write_json_list(answer, "pauses", map(json_shapes.pause, found))
        return
    rows = [(clean(pause.scope), format_sgt(pause.until), _why(pause, app.store.cas)) for pause in found]
    if maintenance is not None:
        why = f"orders and uploads wait: {maintenance.reason} (set by {maintenance.actor})"
        rows.insert(0, (_MAINTENANCE, format_sgt(maintenance.until), why))
    if rows:
        write_line(table(rows, _HEADERS))
    else:
        write_line("There are no pauses: requests to the CA are sent when they are due.")


def _pauses(app: App) -> list[Pause]:
    """Return the pauses of all CAs, those of the first CA first."""
    store, now = app.store, app.clock()
    return [pause for ca in store.cas for pause in store.pauses(now, also_of_renewal_info=True, ca=ca)]


def _why(pause: Pause, cas: Sequence[str]) -> str:
    """Return why there is a pause, with its CA if there are several."""
    return pause.why if len(cas) == 1 else f"{ca_name(pause.ca)}: {pause.why}"


@command.command("lift", short_help="End a pause of the CA, so that the next tick sends requests again.")
@click.argument("name")
@json_option
@click.pass_obj
def lift(app: App, *, name: str, as_json: bool) -> None:
    """End the pause NAME of the CA, as `sslctl pauses` lists it, or all of these: `all`. With several CAs it ends at all of them.

    Do it if the CA works again, or if what it answered is wrong. The next tick sends the requests that were held back; if the
    CA still refuses them, a new pause begins. That is recorded with the user who lifted the pause.
    """
    maintenance = app.store.maintenance_pause(app.clock())
    if name == _MAINTENANCE:
        raise NotManaged("the maintenance pause is not a pause of the CA", hint="`sslctl resume` ends it")
    found = _pauses(app)
    lifted = found if name == _ALL else [pause for pause in found if str(pause.scope) == name]
    if not lifted and (found or name != _ALL):
        raise _missing(name, found)
    if lifted:
        app.store.lift_pauses([pause.scope for pause in lifted])
    if as_json:
        write_json_list(json_shapes.envelope(), "pauses", map(json_shapes.pause, lifted))
        return
    for pause in lifted:
        write_line(clean(f"Lifted the pause {pause.scope}, which would have ended {format_sgt(pause.until)}"))
    if not lifted:
        write_line("There are no pauses of the CA, so nothing was lifted.")
    elif maintenance is None:
        write_line("The next tick sends what was held back.")
    warnings.print_maintenance(maintenance)


def _missing(name: str, found: Sequence[Pause]) -> NotManaged:
    known = [str(pause.scope) for pause in found]
    near = difflib.get_close_matches(name.lower(), known, n=3)
    near = near or [each for each in known if each.partition(":")[2] == name.lower()]
    hint = f"did you mean {' or '.join(map(clean, near))}?" if near else "`sslctl pauses` lists the pauses"
    return NotManaged(f"there is no pause {clean(name)!r}", hint=hint)
