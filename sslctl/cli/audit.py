"""`sslctl audit`: the history of all domains."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option, trail_options
from sslctl.cli.output import json_shapes
from sslctl.cli.output.phrases import archived_history, event_kind
from sslctl.cli.output.stdout import blocks, write_json, write_json_list, write_line
from sslctl.cli.output.table import Table
from sslctl.errors import Exit, NotManaged, StateError
from sslctl.fleet import archive_verification
from sslctl.rules import names, singapore
from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.history_seal import HistoryCut
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
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Also verify this archive of old history, or those in this folder; may be repeated.",
)
@json_option
@click.pass_obj
def verify(app: App, *, noted: Head | None, archives: tuple[Path, ...], as_json: bool) -> int:
    """Verify that every event is as it was written, and that none was removed or added.

    Keep the head that is printed in another place. With --head it proves later that the database was not replaced by an
    older one. After `sslctl history prune` the verification begins at the last archive, and --archive adds the archives.
    Exit code 8 if the history was edited.
    """
    app.only_reads = True
    found = archive_verification.verify(app.store, archives, noted, _print_unknown)
    if as_json:
        write_json(json_shapes.envelope(**json_shapes.audit(found)))
        return Exit.UNUSABLE if found.broken else Exit.OK
    if found.broken:
        raise StateError(
            f"the history was edited: {found.broken}",
            hint=f"the {_count(found.intact)} before that are unchanged; find out who could write to the database",
        )
    write_line(_summary(found))
    cut = app.store.history_cut()
    if cut is not None and not archives:
        click.echo(f"Only the history in the database was verified: {archived_history(cut)}.", err=True)
    return Exit.OK


def _print_unknown(archive: Path) -> None:
    click.echo(
        f"sslctl: {clean(archive, 4096)} was left out: no seal of this database has its SHA-256", err=True
    )


def _summary(found: Audit) -> str:
    begun = f"chained since {singapore.format_sgt(found.begun_at)}"
    if found.inherited:
        begun += f"; {found.inherited} of them are older than the chain"
    head = f"head {found.head}" if found.head else "no head yet"
    archived = f", and {_count(found.archived)} in archives" if found.archived else ""
    return f"{_count(found.intact)}{archived} unchanged ({begun}); {head}"


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
    cut = app.store.history_cut()
    if as_json:
        events = (json_shapes.listed_event(of, event) for of, event in found)
        write_json_list(json_shapes.envelope(**json_shapes.history_archived_until(cut)), "events", events)
        return
    print_archived(cut, since)
    table = Table(_HEADERS)
    for block in blocks(found):
        rows = [
            (singapore.format_sgt(event.at), event.actor, of or "-", event_kind(event), event.detail)
            for of, event in block
        ]
        write_line(table.lay_out(rows))


def print_archived(cut: HistoryCut | None, since: datetime | None) -> None:
    """Print that events before `cut` are not there, unless only later ones were asked for."""
    if cut is not None and (since is None or since < cut.until):
        click.echo(f"sslctl: {archived_history(cut)}", err=True)


def find_ever_managed(app: App, name: str) -> Domain:
    """Return the domain `name`, managed or deleted. Raise `NotManaged` if it was never added."""
    found = app.store.find(name)
    if found is None:
        raise NotManaged(f"{name} was never managed here", hint="`sslctl list` shows the managed domains")
    return found
