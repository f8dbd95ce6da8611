"""`sslctl pause`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option, parse_end
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.fleet import maintenance
from sslctl.rules.maintenance_pause import describe


@click.command("pause")
@click.option(
    "--until",
    required=True,
    metavar="TIME",
    help="The end: 2h, 'tomorrow 06:00', or a date and time (Singapore time, or RFC 3339).",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; people read it wherever something waits.")
@click.option("--force", is_flag=True, help="Pause even if certificates expire before they can be renewed.")
@json_option
@click.pass_obj
def command(app: App, *, until: str, reason: str, force: bool, as_json: bool) -> None:
    """Pause all orders, and all uploads to and removals from C4, for maintenance of C4 or of the CDN.

    Ticks go on to look, to check DNS and to notify people. What is under way at the CA is finished; its upload waits. The
    pause ends by itself at TIME, or with `sslctl resume`. A second pause replaces the first.

    Nothing is paused if a certificate in service would expire before the end of the pause and a day more, which its renewal
    may need. Pauses that the CA demands are another thing: `sslctl pauses` lists both.
    """
    now = app.clock()
    try:
        end = parse_end(until, now)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, param_hint="--until") from error
    paused = maintenance.pause(app.store, end, reason, now, force=force)
    if as_json:
        answer = json_shapes.envelope(
            maintenance=json_shapes.maintenance(paused.pause),
            replaced=json_shapes.maintenance(paused.replaced),
        )
        write_json_list(answer, "expiring", map(json_shapes.endangered, paused.endangered))
        return
    if paused.replaced is not None:
        write_line(f"This replaces the pause {describe(paused.replaced)}")
    write_line(f"Orders and uploads are paused {describe(paused.pause)}")
    if paused.endangered:
        expiring = maintenance.describe_endangered(paused.endangered)
        click.echo(f"sslctl: before they can be renewed, {expiring}", err=True)
    write_line("`sslctl resume` ends the pause.")
