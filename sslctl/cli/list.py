"""`sslctl list`."""

from __future__ import annotations

from datetime import timedelta

import click

from sslctl.app import App
from sslctl.cli.options import duration, json_option
from sslctl.cli.output import json_shapes, render, warnings
from sslctl.rules.model import Source
from sslctl.rules.reasons import Status
from sslctl.store.interface.domains import Query, Sort


@click.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in Status], case_sensitive=False),
    help="Only domains in this status; repeatable.",
)
@click.option(
    "--source",
    type=click.Choice([source.value for source in Source]),
    help="Only certificates from this source.",
)
@click.option(
    "--expiring-within",
    type=duration,
    metavar="TIME",
    help="Only what expires within 14d, 12h, …; expired ones too.",
)
@click.option(
    "--sort",
    type=click.Choice([sort.value for sort in Sort]),
    default=Sort.NAME.value,
    show_default=True,
    help="The order of rows.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N rows.")
@click.option("--deleted", is_flag=True, help="The deleted domains instead of the managed ones.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    statuses: tuple[str, ...],
    source: str | None,
    expiring_within: timedelta | None,
    sort: str,
    limit: int | None,
    deleted: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the managed domains: status, source, dates, what is served, why not well and who acts.

    Dates are Singapore's in the table, UTC in JSON and CSV.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    if deleted and (statuses or expiring_within is not None):
        raise click.UsageError("a deleted domain has no status and no expiry date; leave those options out")
    now = app.clock()
    query = Query(
        tuple(map(Status, statuses)),
        Source(source) if source else None,
        expiring_within,
        deleted,
        Sort(sort),
        limit,
    )
    found = app.store.listing(query, now)
    paused, noticed = app.store.pauses(now), app.store.last_notice()
    if as_json:
        told = json_shapes.envelope(
            ca_pauses=list(map(json_shapes.pause, paused)), notice=json_shapes.notice(noticed)
        )
        render.json_list(told, "domains", (json_shapes.domain(domain, now) for domain in found.domains))
        return
    for line in (*warnings.pause_lines(paused), *warnings.notice_lines(noticed)):
        click.echo(f"sslctl: {line}", err=True)
    if as_csv:
        render.domain_csv(found.domains, now)
    elif not found.number:
        click.echo(_empty(app, query), err=True)
    elif deleted:
        render.deleted_table(found)
    else:
        render.domain_table(found, now)


def _empty(app: App, query: Query) -> str:
    if query == Query(sort=query.sort, limit=query.limit):
        # Who forgot to name the configuration would else think that all is gone.
        given = f"by {app.config.path}" if app.config.path else "as there is no configuration file"
        where = f"{app.config.state.dir}, {given}"
        return f"No domains are managed yet in {where}; `sslctl add DOMAIN` takes one in."
    if query == Query(deleted=True, sort=query.sort, limit=query.limit):
        return "No domain was deleted."
    return "No domain is like that."
