"""`sslctl history`: archives of old history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.confirmation import confirm, require_terminal
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.phrases import counted
from sslctl.cli.output.progress import StepLine
from sslctl.cli.output.stdout import write_json, write_json_list, write_line
from sslctl.cli.output.table import table
from sslctl.config.history import MOST_KEEP_DAYS
from sslctl.errors import BadInput, Exit
from sslctl.fleet.history_pruning import Old, Pruning, find_old
from sslctl.rules.history_seal import LEAST_KEEP_DAYS, Seal
from sslctl.rules.singapore import format_sgt
from sslctl.text import clean

_HEADERS = ("ARCHIVE", "OLDER THAN", "EVENTS", "CERTIFICATES", "ORDERS", "BYTES", "SHA-256")


@click.group("history")
def command() -> None:
    """Move old history from the database into archives, and list these.

    An archive has events, superseded certificates without their keys, and closed orders. `sslctl audit verify --archive` verifies it.
    """


@command.command("prune", short_help="Move history older than keep_days into archives.")
@click.option(
    "--keep-days",
    type=click.IntRange(LEAST_KEEP_DAYS, MOST_KEEP_DAYS),
    metavar="DAYS",
    help=f"Keep so many days in the database, {LEAST_KEEP_DAYS} or more, instead of history.keep_days.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the archives into DIR instead of history.archive_dir.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be archived.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_obj
def prune(
    app: App, *, keep_days: int | None, folder: Path | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Move events, superseded certificates and orders older than history.keep_days from the database into archives.

    Stays in the database: the newest version of each domain, the last one that was served, each that is wanted or has not expired, and
    all counts. Back the archives up: the database has no copy. Other commands may run meanwhile. If the command is killed, nothing is
    lost, and the next run goes on.
    """
    days = keep_days or app.config.history.keep_days
    if not days:
        raise BadInput(
            "history.keep_days is not set, so history is kept for ever; nothing was archived",
            hint="set it, or name the days with --keep-days",
        )
    until, target = app.clock() - timedelta(days=days), folder or app.config.archive_dir
    app.only_reads = dry_run
    old = find_old(app.store, until) if dry_run or not yes else None
    if dry_run and old is not None:
        _write_dry_run(old, until, target, as_json=as_json)
        return Exit.OK
    if old:
        require_terminal(f"the archiving of {_describe(old)}")
        if not confirm(f"Move {_describe(old)} older than {format_sgt(until)} into {clean(target, 4096)}?"):
            click.echo("Nothing was archived.", err=True)
            return Exit.INTERRUPTED
    with StepLine() as line:
        pruning = Pruning(app.store, target, until, clock=app.clock, sleep=app.sleep, on_step=line.show)
        seals = list(pruning)
    _write_done(seals, until, target, pruning.busy, as_json=as_json)
    return Exit.TRY_LATER if pruning.busy else Exit.OK


def _write_dry_run(old: Old, until: datetime, folder: Path, *, as_json: bool) -> None:
    if as_json:
        counts = {"events": old.events, "certificates": old.certificates, "orders": old.orders}
        write_json(_envelope(until, folder, dry_run=True, archives=[], busy=0, **counts))
        return
    what = f"{_describe(old)} older than {format_sgt(until)}"
    write_line(f"{what} would be moved into {clean(folder, 4096)} (--dry-run)")


def _write_done(seals: Sequence[Seal], until: datetime, folder: Path, busy: int, *, as_json: bool) -> None:
    total = Old(
        sum(seal.events for seal in seals),
        sum(seal.certificates for seal in seals),
        sum(seal.orders for seal in seals),
    )
    if as_json:
        counts = {"events": total.events, "certificates": total.certificates, "orders": total.orders}
        archives = [json_shapes.archive(seal) for seal in seals]
        write_json(_envelope(until, folder, dry_run=False, archives=archives, busy=busy, **counts))
    elif not seals:
        write_line(f"Nothing is older than {format_sgt(until)}.")
    else:
        size = sum(seal.size for seal in seals)
        for seal in seals:
            write_line(f"{clean(folder / seal.file, 4096)}: {seal.size:,} bytes")
        write_line(
            f"Moved {_describe(total)} older than {format_sgt(until)} into {_archives(len(seals))}, {size:,} bytes."
        )
        click.echo("Back the archives up: the database has no copy of what is in them.", err=True)
    if busy:
        click.echo(
            f"sslctl: {counted(busy, 'certificate')} stayed, because another command works on the domain; the next run deletes them",
            err=True,
        )


def _envelope(until: datetime, folder: Path, **fields: object) -> dict[str, object]:
    return json_shapes.envelope(until=json_shapes.instant(until), folder=str(folder), **fields)


def _describe(old: Old) -> str:
    return (
        f"{counted(old.events, 'event')}, {counted(old.certificates, 'certificate')} and"
        f" {counted(old.orders, 'order')}"
    )


def _archives(number: int) -> str:
    return counted(number, "archive")


@command.command("list", short_help="List the archives that hold older history.")
@json_option
@click.pass_obj
def show(app: App, *, as_json: bool) -> None:
    """List the archives that hold older history, the oldest first, with the SHA-256 that each file must have."""
    app.only_reads = True
    seals = app.store.seals()
    if as_json:
        write_json_list(json_shapes.envelope(), "archives", map(json_shapes.archive, seals))
    elif not seals:
        write_line("No archives: all history is in the database.")
    else:
        write_line(table([_row(seal) for seal in seals], _HEADERS))


def _row(seal: Seal) -> tuple[str, ...]:
    counts = (f"{number:,}" for number in (seal.events, seal.certificates, seal.orders, seal.size))
    return (seal.file, format_sgt(seal.ended_at), *counts, seal.sha256)
