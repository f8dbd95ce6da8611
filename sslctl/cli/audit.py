"""`sslctl audit`: the history of all domains."""

from __future__ import annotations

import re
from datetime import datetime

import click

from sslctl.app import App
from sslctl.cli.options import json_option, trail_options
from sslctl.cli.output import json_shapes
from sslctl.cli.output.phrases import event_kind
from sslctl.cli.output.stdout import blocks, write_json, write_json_list, write_line
from sslctl.cli.output.table import Table
from sslctl.errors import Exit, NotManaged, StateError
from sslctl.rules import names, singapore
from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.model import Domain
from sslctl.text import clean

_HEADERS = ("TIME", "ACTOR", "DOMAIN", "EVENT", "DETAIL")


@click.group("audit")
def command() -> None:
    """Show who did what to which domain, and verify that nobody edited this history.

    Each event is chained to the events before it with a key that only the key file decrypts.
    """


def parse_head(text: str) -> Head:
    """Return the head in `text`, in the form that `verify` prints: ID:MAC. Raise `click.BadParameter` if it has another form."""
    match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{32})", text)
    if match is None:
        raise click.BadParameter(f"{clean(text)!r} is not a head; `sslctl audit verify` prints one as ID:MAC")
    return Head(int(match[1]), match[2])


@command.command("verify", short_help="Verify that no event was edited, removed or added.")
@click.option(
    "--head",
    "noted",
    type=parse_head,
    metavar="ID:MAC",
    help="Also verify that this head, noted earlier, is still part of the history.",
)
@json_option
@click.pass_obj
def verify(app: App, *, noted: Head | None, as_json: bool) -> int:
    """Verify that every event is as it was written, and that none was removed or added.

    Keep the head that is printed in another place. With --head it proves later that the database was not replaced by an
    older one. Exit code 8 if the history was edited.
    """
    app.only_reads = True
    found = app.store.verify_history(noted)
    if as_json:
        write_json(json_shapes.envelope(**json_shapes.audit(found)))
        return Exit.UNUSABLE if found.broken else Exit.OK
    if found.broken:
        raise StateError(
            f"the history was edited: {found.broken}",
            hint=f"the {_count(found.intact)} before that are unchanged; find out who could write to the database",
        )
    write_line(_summary(found))
    return Exit.OK


def _summary(found: Audit) -> str:
    begun = f"chained since {singapore.format_sgt(found.begun_at)}"
    if found.inherited:
        begun += f"; {found.inherited} of them are older than the chain"
    head = f"head {found.head}" if found.head else "no head yet"
    return f"{_count(found.intact)} unchanged ({begun}); {head}"


def _count(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


@command.command("list", short_help="List who did what to which domain, the oldest first.")
@trail_options
@json_option
@click.pass_obj
def show(app: App, *, since: datetime | None, actor: str, name: str | None, as_json: bool) -> None:
    """List who did what to which domain and certificate version, when and why; the oldest event first."""
    app.only_reads = True
    domain = None if name is None else find_ever_managed(app, names.normalise(name))
    found = app.store.audit_trail(since=since, actor=actor, domain=domain)
    if as_json:
        events = (json_shapes.listed_event(of, event) for of, event in found)
        write_json_list(json_shapes.envelope(), "events", events)
        return
    table = Table(_HEADERS)
    for block in blocks(found):
        rows = [
            (singapore.format_sgt(event.at), event.actor, of or "-", event_kind(event), event.detail)
            for of, event in block
        ]
        write_line(table.lay_out(rows))


def find_ever_managed(app: App, name: str) -> Domain:
    """Return the domain `name`, managed or deleted. Raise `NotManaged` if it was never added."""
    found = app.store.find(name)
    if found is None:
        raise NotManaged(f"{name} was never managed here", hint="`sslctl list` shows the managed domains")
    return found
