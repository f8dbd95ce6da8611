"""`sslctl todo`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import filter_options, json_option
from sslctl.cli.output import json_shapes, json_todo, warnings
from sslctl.cli.output.selection import describe_query, describe_similar
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.todo import write_todo
from sslctl.fleet.todo import Todo, find_todo
from sslctl.fleet.troubles import MOST_NAMES
from sslctl.store.interface.domains import EVERYTHING, Query


@click.command("todo")
@filter_options
@click.option(
    "--all", "show_all", is_flag=True, help="Show every domain, not only the 10 most urgent of each reason."
)
@json_option
@click.pass_obj
def command(app: App, *, filters: Query, show_all: bool, as_json: bool) -> None:
    """Show everything that needs a person: by who must act, then by reason and customer, the most urgent first.

    Each domain is shown with the time at which its site goes dark, the DNS record to set, and each reason with the next command.
    Domains that never had a certificate come last, the oldest first.

    A domain in Success is shown too, if it has a warning that a person must act on. What only waits is not shown before waiting
    endangers something. Snoozed and abandoned domains are counted only. --owner, --reason and --warning select among the
    reasons of a domain.
    """
    app.only_reads = True
    now = app.clock()
    most = None if show_all or as_json else MOST_NAMES
    todo = find_todo(app.store, filters, now, app.renewal, most)
    maintenance, paused = app.store.maintenance_pause(now), app.store.pauses(now)
    if as_json:
        head = json_shapes.envelope(totals=json_todo.totals(todo, app.store.count_managed()))
        write_json_list(head, "groups", json_todo.groups(todo, now))
        return
    warnings.print_standing(maintenance, paused, app.store.notices())
    if todo.groups:
        write_todo(todo, filters, now)
    else:
        write_line(_empty(app, todo, filters))


def _empty(app: App, todo: Todo, filters: Query) -> str:
    managed, hidden = app.store.count_managed(), todo.hidden
    if filters != EVERYTHING:
        text = f"Nothing needs a person with {describe_query(filters)}{describe_similar(app.store, filters)}."
    elif not managed:
        text = "Nothing needs a person: no domains are managed yet. Add one with `sslctl add DOMAIN`."
    else:
        others = managed - hidden.snoozed - hidden.abandoned
        text = f"Nothing needs a person: {others:,} managed {'domain is' if others == 1 else 'domains are'} well or only waiting."
    return f"{text} {hidden.describe()}".rstrip()
