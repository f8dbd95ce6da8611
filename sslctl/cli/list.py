"""`sslctl list`."""

from __future__ import annotations

from datetime import timedelta

import click

from sslctl.cli import render, wire
from sslctl.cli.app import App
from sslctl.cli.options import duration, json_option
from sslctl.model import Source
from sslctl.reasons import Status
from sslctl.store import Query, Sort


@click.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(list(Status), case_sensitive=False),
    help="Only domains in this status; repeatable.",
)
@click.option("--source", type=click.Choice(list(Source)), help="Only certificates from this source.")
@click.option(
    "--expiring-within",
    type=duration,
    metavar="TIME",
    help="Only what expires within 14d, 12h, …; expired ones too.",
)
@click.option(
    "--sort", type=click.Choice(list(Sort)), default=Sort.NAME, show_default=True, help="The order of rows."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N rows.")
@click.option("--deleted", is_flag=True, help="The deleted domains instead of the managed ones.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    statuses: tuple[Status, ...],
    source: Source | None,
    expiring_within: timedelta | None,
    sort: Sort,
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
    now = app.clock()
    query = Query(statuses, source, expiring_within, deleted, sort, limit)
    domains = app.store.domains(query, now)
    if as_json:
        render.json_object(wire.envelope(domains=[wire.domain(domain, now) for domain in domains]))
    elif as_csv:
        render.domain_csv(domains, now)
    else:
        render.domain_table(domains, now)
        if not domains:
            click.echo(_empty(query), err=True)


def _empty(query: Query) -> str:
    if query == Query(sort=query.sort, limit=query.limit):
        return "No domains are managed yet; `sslctl add DOMAIN` takes one in."
    return "No domain is like that."
