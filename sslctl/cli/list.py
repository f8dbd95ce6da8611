"""`sslctl list`."""

from __future__ import annotations

from dataclasses import replace

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.options import filter_options, json_option, parse_pattern, require_filters_of_deleted
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.domain_list import write_deleted, write_domains, write_domains_csv
from sslctl.cli.output.domain_text import domain_text
from sslctl.cli.output.selection import Counts, describe_no_match, filter_words
from sslctl.cli.output.shell import next_line
from sslctl.cli.output.stdout import write_json_texts
from sslctl.rules.name_pattern import NamePattern
from sslctl.rules.reasons import Status
from sslctl.store.interface.domains import Listing, Query, Sort

_WELL_OR_WAITING = (Status.SUCCESS, Status.PENDING)


@click.command("list")
@click.argument("pattern", required=False, callback=parse_pattern, shell_complete=complete_name)
@filter_options
@click.option(
    "--sort",
    type=click.Choice([sort.value for sort in Sort]),
    default=Sort.NAME.value,
    show_default=True,
    help="The order of the rows; urgency: what expires soonest or expired last, then what never had a certificate, the "
    "oldest first.",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000_000), metavar="N", help="At most N rows.")
@click.option("--deleted", is_flag=True, help="List the deleted domains instead of the managed ones.")
@click.option("--no-pager", is_flag=True, help="Do not show a long table on a terminal through $PAGER.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    pattern: NamePattern | None,
    filters: Query,
    sort: str,
    limit: int | None,
    deleted: bool,
    no_pager: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the managed domains: status, source, dates, the certificate served, the reason and who must act.

    PATTERN selects by any name of the certificate: a part of the name (acme), or a glob of the whole name ('*.acme.example',
    with * ? [ ]). International names are found in both forms. All filters must hold; of a repeated one, any.

    On a terminal, +2 behind a name is the number of other names (SANs) that its certificate has; `view`, JSON and CSV name them.

    A code in brackets is of a warning, or of a step that did not answer, so that the reason could not be confirmed.

    Dates are in Singapore time in the table, and in UTC in JSON and CSV. On a terminal the table shows international names in
    Unicode if they cannot be mistaken for others; JSON and CSV have A-labels.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    if deleted:
        require_filters_of_deleted(filters)
    app.only_reads = True
    now = app.clock()
    query = replace(filters, pattern=pattern, deleted=deleted, sort=Sort(sort), limit=limit)
    found = app.store.listing(query, now, measure_names=not (as_json or as_csv))
    maintenance, paused = app.store.maintenance_pause(now), app.store.pauses(now)
    noticed = app.store.notices()
    if as_json:
        answer = json_shapes.envelope(
            ca_pauses=list(map(json_shapes.pause, paused)),
            maintenance=json_shapes.maintenance(maintenance),
            **json_shapes.notices(noticed),
        )
        texts = (domain_text(domain, now) for domain in found.domains)
        write_json_texts(answer, "domains", texts, lambda: {"counts": _count(app, query, found).to_json()})
        return
    warnings.print_standing(maintenance, paused, noticed)
    if as_csv:
        write_domains_csv(found.domains, now)
    elif not found.number:
        click.echo(_empty(app, query), err=True)
    elif deleted:
        write_deleted(found, lambda: _count(app, query, found).describe(), pager=not no_pager)
    else:
        write_domains(found, now, lambda: _end(app, query, found), pager=not no_pager)


def _count(app: App, query: Query, listing: Listing) -> Counts:
    """Return how many domains match `query`, with those that its limit leaves out of `listing`."""
    counted = app.store.count_by_status(app.clock(), query)
    return Counts(counted, app.store.count_managed(), listing.number, is_of_deleted=query.deleted)


def _end(app: App, query: Query, listing: Listing) -> str:
    """Return the lines below the table: the counts, and the next command if a domain is neither in Success nor Pending."""
    counts = _count(app, query, listing)
    is_needed = any(counts.by_status.get(each) for each in Status if each not in _WELL_OR_WAITING)
    return "\n".join(filter(None, [counts.describe(), next_line(_next_words(query) if is_needed else [])]))


def _next_words(query: Query) -> list[str]:
    # `todo` takes the filters, and no pattern.
    return ["todo", *filter_words(query)] if query.pattern is None else ["todo"]


def _empty(app: App, query: Query) -> str:
    if query == Query(sort=query.sort, limit=query.limit):
        # If the configuration was not named, an empty list would look like a lost fleet.
        origin = (
            f"set by {app.config.path}" if app.config.path else "the default, without a configuration file"
        )
        return f"No domains are managed yet in {app.config.state.shown_place} ({origin}); add one with `sslctl add DOMAIN`."
    if query == Query(deleted=True, sort=query.sort, limit=query.limit):
        return "No domains were deleted."
    return describe_no_match(app.store, query)
