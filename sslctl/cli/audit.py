"""`sslctl audit`: the history of all domains."""

from __future__ import annotations

import re
from datetime import datetime

import click

from sslctl.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.output import json_shapes, render
from sslctl.errors import Exit, NotManaged, StateError
from sslctl.rules import names, singapore
from sslctl.rules.model import Audit, Domain, Head
from sslctl.text import clean


@click.group("audit")
def command() -> None:
    """Show who did what to which domain, and find out whether anybody edited that.

    Each event is chained to those before it with a key that only the key file opens.
    """


def mark(text: str) -> Head:
    """Read a head as `verify` writes it, ID:MAC. Raises `click.BadParameter`."""
    match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{32})", text)
    if match is None:
        raise click.BadParameter(f"{clean(text)!r} is no head; `sslctl audit verify` writes one, ID:MAC")
    return Head(int(match[1]), match[2])


@command.command("verify")
@click.option(
    "--head",
    "noted",
    type=mark,
    metavar="ID:MAC",
    help="A head noted earlier: look whether it is still there.",
)
@json_option
@click.pass_obj
def verify(app: App, *, noted: Head | None, as_json: bool) -> int:
    """Look whether every event is as it was written, none is missing and none was added.

    Note the head that it writes somewhere else: with --head it shows later that no older database was put in the
    place of this one. Exit code 8 when something was edited.
    """
    found = app.store.verify_history(noted)
    if as_json:
        render.json_object(json_shapes.envelope(**json_shapes.audit(found)))
        return Exit.UNUSABLE if found.broken else Exit.OK
    if found.broken:
        raise StateError(
            f"the history was edited: {found.broken}",
            hint=f"{_count(found.intact)} before that are as they were written; find out who could write to the database",
        )
    render.line(_whole(found))
    return Exit.OK


def _whole(found: Audit) -> str:
    begun = f"chained since {singapore.format_sgt(found.begun_at)}"
    if found.inherited:
        begun += f", when {found.inherited} were there already"
    head = f"head {found.head}" if found.head else "no head yet"
    return f"{_count(found.intact)} as written ({begun}); {head}"


def _count(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


@command.command("list")
@click.option(
    "--since", type=moment, metavar="TIME", help="Only from then on (Singapore's time, or RFC 3339)."
)
@click.option("--actor", default="", metavar="TEXT", help="Only by those whose name or place holds TEXT.")
@click.option("--domain", "name", metavar="NAME", help="Only what was done to this domain.")
@json_option
@click.pass_obj
def show(app: App, *, since: datetime | None, actor: str, name: str | None, as_json: bool) -> None:
    """List who did what, to which domain and version of its certificate, when and why; the oldest first."""
    domain = None if name is None else _find(app, names.normalise(name))
    found = app.store.audit_trail(since=since, actor=actor, domain=domain)
    if as_json:
        told = ({"id": event.id, "domain": of, **json_shapes.event(event)} for of, event in found)
        render.json_list(json_shapes.envelope(), "events", told)
    else:
        render.trail(found)


def _find(app: App, name: str) -> Domain:
    found = app.store.find(name)
    if found is None:
        raise NotManaged(f"{name} was never managed here", hint="`sslctl list` shows what is")
    return found
