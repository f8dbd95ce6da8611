"""`sslctl import csv`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.name_lists import Columns, print_some, read_names
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.domain_list import CSV_COLUMNS
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import print_summary
from sslctl.errors import BadInput, Exit
from sslctl.fleet import table_import
from sslctl.fleet.enrolment import Action
from sslctl.fleet.table_import import Row, Table
from sslctl.rules.certificate_choice import CONFIGURED, KEY_TYPES, read_preferred_chain, read_profile
from sslctl.rules.remarks import read_assignee, read_customer, read_note
from sslctl.text import clean

_MOST_PRINTED = 100
_WORDS = {Action.ADD: "recorded", Action.CHANGE: "changed", Action.NONE: "nothing to change"}


@click.command("csv", short_help="Record domains from a spreadsheet.")
@click.argument("file", metavar="FILE", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only print what would be recorded.")
@json_option
@click.pass_obj
def command(app: App, *, file: BinaryIO, dry_run: bool, as_json: bool) -> int:
    """Record the domains in the CSV FILE, and what it says about them; - is standard input. The next ticks order their certificates.

    The first line names the columns: domain, sans (the other names of the certificate), customer, note, assignee, key_type,
    profile and preferred_chain, in any order; only domain is needed. The values are those of the options of `add`, of `note`
    and of `assign`; `default` in the last three is what the configuration says. An empty cell changes nothing. The columns that
    `export inventory` writes besides are ignored, and any other one is an error. Commas, semicolons and tabs separate fields.

    If a line cannot be used, nothing is recorded, and each such line is printed with its number. Text certificates stay: this is no
    consent to replace one. Run it again with an edited table: what is recorded already does not change.
    """
    listed = read_names((), file, columns=_columns())
    table = Table(listed.domains, listed.sans, listed.values)
    table.require_few_names(app.config.acme.profile)
    if dry_run:
        app.only_reads = True
        rows = table_import.plan(app.store if app.has_state() else None, table)
    else:
        if app.make_state():
            print_created(app)
        rows = table_import.record(app.store, table, app.clock(), configured_profile=app.config.acme.profile)
        warnings.print_maintenance(app.store.maintenance_pause(app.clock()))
    if as_json:
        fields = {"dry_run": True} if dry_run else {}
        write_json_list(json_shapes.envelope(**fields), "domains", map(_to_json, rows))
    else:
        _print(rows, dry_run=dry_run)
    _print_end(rows, dry_run=dry_run)
    return Exit.SOME_NOT_WELL if any(row.error is not None for row in rows) else Exit.OK


def _columns() -> Columns:
    readers = {
        "customer": read_customer,
        "note": read_note,
        "assignee": read_assignee,
        "key_type": _read_key_type,
        "profile": lambda text: _read_chosen(text, read_profile),
        "preferred_chain": lambda text: _read_chosen(text, read_preferred_chain),
    }
    return Columns(readers, frozenset(CSV_COLUMNS))


def _read_key_type(text: str) -> str:
    """Return a kind of keys, empty if `text` is. Raise `BadInput` if there is no such kind."""
    kind = text.strip()
    if kind not in ("", CONFIGURED, *KEY_TYPES):
        raise BadInput(f'unknown key type "{clean(kind, 40)}"; use {", ".join(KEY_TYPES)} or {CONFIGURED}')
    return kind


def _read_chosen(text: str, read: Callable[[str], str]) -> str:
    """Return what `read` returns for a cell that is not empty. `default` stays what it is."""
    value = text.strip()
    return value if value in ("", CONFIGURED) else read(value)


def _print(rows: Sequence[Row], *, dry_run: bool) -> None:
    """Print the first hundred domains, and the first hundred that were refused."""
    print_some([f"error: {row.name}: {row.error.message}" for row in rows if row.error is not None])
    done = [row for row in rows if row.error is None]
    for row in done[:_MOST_PRINTED]:
        write_line(_describe(row, dry_run=dry_run))
    if len(done) > _MOST_PRINTED:
        write_line(f"and {len(done) - _MOST_PRINTED:,} more like these")


def _describe(row: Row, *, dry_run: bool) -> str:
    would = "would be " if dry_run and row.action is not Action.NONE else ""
    changes = f": {', '.join(row.changes)}" if row.changes else ""
    return f"{row.name}: {would}{_WORDS[row.action]}{changes}"


def _print_end(rows: Sequence[Row], *, dry_run: bool) -> None:
    tally = Counter(row.action for row in rows)
    parts = (
        (tally[Action.ADD], "new"),
        (tally[Action.CHANGE], "changed"),
        (tally[Action.NONE], "with nothing to change"),
        (tally[Action.REFUSE], "refused"),
    )
    listed = ", ".join(f"{number:,} {text}" for number, text in parts if number)
    domains = "1 domain" if len(rows) == 1 else f"{len(rows):,} domains"
    print_summary(f"{domains}: {listed}{'; nothing was recorded' if dry_run else ''}")
    if tally[Action.ADD] and not dry_run:
        print_summary("the next ticks, or `sslctl recheck`, order the certificates")


def _to_json(row: Row) -> dict[str, object]:
    return {
        "domain": row.name,
        "action": row.action,
        "changes": row.changes,
        "error": None if row.error is None else row.error.code,
        "message": None if row.error is None else row.error.message,
    }
