"""`sslctl message`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option, print_some, read_managed
from sslctl.cli.options import NAMES_OR_FILTERS, filter_options, json_option, match_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.customer_messages import describe_left_out, write_messages
from sslctl.cli.output.selection import describe_no_match
from sslctl.cli.output.stdout import write_json
from sslctl.cli.output.summary import Phrase, print_done
from sslctl.rules import customer_message
from sslctl.rules.customer_message import LeftOut, Need, explain_left_out, find_needs
from sslctl.rules.customer_texts import Language
from sslctl.rules.model import Domain, DomainSummary
from sslctl.rules.name_pattern import NamePattern
from sslctl.store.interface.domains import EVERYTHING, Query

_IN_MESSAGE = Phrase("is in a message", "are in messages")
_LEFT_OUT = Phrase("needs nothing of its customer", "need nothing of their customers")


@click.command("message")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@from_file_option
@match_option
@filter_options
@click.option(
    "--lang",
    "language",
    type=click.Choice([each.value for each in Language], case_sensitive=False),
    default=Language.EN.value,
    show_default=True,
    help="The language: English (en) or simplified Chinese (zh).",
)
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: BinaryIO | None,
    pattern: NamePattern | None,
    filters: Query,
    language: str,
    as_json: bool,
) -> None:
    """Print what to write to the customer: what is wrong, the DNS records to set, until when, and what then happens.

    The text is to be pasted into a mail or a ticket. Domains of one customer are in one message; a domain without a known
    customer has its own. With filters instead of names: the domains that `sslctl list` shows with the same ones. For a domain
    for which the customer has nothing to do, standard error names who must act instead. Nothing is sent or changed.
    """
    query = replace(filters, pattern=pattern)
    is_named = bool(domains) or from_file is not None
    if is_named and query != EVERYTHING:
        raise click.UsageError(NAMES_OR_FILTERS)
    if not is_named and query == EVERYTHING:
        raise click.UsageError("name a domain, or select domains with filters, such as --owner customer")
    app.only_reads = True
    now = app.clock()
    found: Iterable[Domain | DomainSummary]
    found = read_managed(app.store, domains, from_file) if is_named else app.store.listing(query, now).domains
    needs, others = _sort_out(found, now)
    messages = customer_message.write_messages(needs, Language(language), now)
    if as_json:
        write_json(
            json_shapes.envelope(
                messages=list(map(json_shapes.customer_message, messages)),
                left_out=list(map(json_shapes.left_out, others)),
            )
        )
    else:
        write_messages(messages)
    if not needs and not others:
        click.echo(describe_no_match(app.store, query), err=True)
    incomplete = dict.fromkeys(need.domain.name for need in needs if need.lacks_records)
    print_some([_describe_gap(name) for name in incomplete])
    print_some(describe_left_out(others))
    if not as_json:
        number = len({need.domain.name for need in needs})
        print_done(number, number + len(others), _IN_MESSAGE, [(len(others), _LEFT_OUT)])


def _sort_out(domains: Iterable[Domain | DomainSummary], now: datetime) -> tuple[list[Need], list[LeftOut]]:
    """Return what customers must do about `domains`, and those of `domains` for which that is nothing."""
    needs: list[Need] = []
    others: list[LeftOut] = []
    for domain in domains:
        found = find_needs(domain, now)
        needs += found
        if not found:
            others.append(explain_left_out(domain, now))
    return needs, others


def _describe_gap(name: str) -> str:
    return (
        f"warning: {name}: a DNS record to set is not known; add it to the message. "
        f"`sslctl recheck {name}` may find it"
    )
