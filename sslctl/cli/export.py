"""`sslctl export`: the inventory and the history for other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from sslctl.app import App
from sslctl.cli.audit import find_ever_managed, print_archived
from sslctl.cli.completion_names import complete_name
from sslctl.cli.options import (
    filter_options,
    json_option,
    match_option,
    parse_pattern,
    require_filters_of_deleted,
    suits_deleted,
    trail_options,
)
from sslctl.cli.output import json_shapes
from sslctl.cli.output.exports import Format, Tally, history_texts, inventory_texts
from sslctl.cli.output.files import writing_one
from sslctl.cli.output.phrases import domain_or_domains
from sslctl.cli.output.selection import describe_no_match
from sslctl.cli.output.stdout import write_json, write_line, write_texts
from sslctl.config.own_files import require_foreign_file
from sslctl.rules import names
from sslctl.rules.name_pattern import NamePattern
from sslctl.store.interface.domains import EVERYTHING, Query
from sslctl.text import clean

Function = TypeVar("Function", bound=Callable[..., Any])

_STANDARD_OUTPUT = Path("-")
_ENDINGS = {
    ".csv": Format.CSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".ics": Format.CALENDAR,
}


@click.group("export")
def command() -> None:
    """Write the inventory or the history for other programs: as CSV, as JSON lines, or as a calendar.

    An export never has a private key.
    """


def _target_options(function: Function) -> Function:
    """Add the options of format and file. The command gets `kind` (None: not given), `file`, `force` and `as_json`."""
    for option in (
        json_option,
        click.option("--force", is_flag=True, help="Overwrite FILE if it exists."),
        click.option(
            "-o", "--output", "file", type=click.Path(path_type=Path), metavar="FILE",
            default=_STANDARD_OUTPUT, help="The file to write, mode 0600; default: standard output.",
        ),
        click.option(
            "--format",
            "kind",
            type=click.Choice([kind.value for kind in Format]),
            help="The format; default: by the ending of FILE (.csv, .jsonl, .ics), otherwise csv.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@command.command("inventory", short_help="Write the managed domains, as `sslctl list` shows them.")
@click.argument("pattern", required=False, callback=parse_pattern, shell_complete=complete_name)
@filter_options
@click.option("--deleted", is_flag=True, help="Write the deleted domains instead of the managed ones.")
@_target_options
@click.pass_obj
def inventory(
    app: App, *, pattern: NamePattern | None, filters: Query, deleted: bool, kind: str | None, file: Path,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write the managed domains, by name. PATTERN and the filters are those of `sslctl list`.

    csv: the columns of `list --csv`. jsonl: one JSON object on each line, as in `list --json`. Times are in UTC.

    ics: a calendar (RFC 5545) with the time at which each certificate expires: that which is served, or else the one that waits
    to be. Domains without a certificate are left out. A calendar program that imports it again replaces the entries, and keeps those of
    domains that are no longer in it.
    """
    form = _choose(kind, file, as_json=as_json)
    if deleted and form is Format.CALENDAR:
        raise click.UsageError("a calendar has no deleted domains: nobody waits for their expiry")
    if deleted:
        require_filters_of_deleted(filters)
    app.only_reads = True
    require_foreign_file(app.config, file)
    now, tally = app.clock(), Tally()
    query = replace(filters, pattern=pattern, deleted=deleted)
    found = app.store.listing(query, now)
    if not found.number:
        click.echo(describe_no_match(app.store, query), err=True)
    size = _write(inventory_texts(found.domains, now, form, tally), file, force=force)
    _report(file, form, tally, domain_or_domains(tally.rows), size, as_json=as_json)


@command.command("history", short_help="Write who did what to which domain, the oldest event first.")
@trail_options
@match_option
@filter_options
@_target_options
@click.pass_obj
def history(
    app: App, *, since: datetime | None, actor: str, name: str | None, pattern: NamePattern | None,
    filters: Query, kind: str | None, file: Path, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write who did what to which domain and certificate version, when and why; the oldest event first.

    csv: a header with the fields of an event. jsonl: one JSON object on each line, as in `audit list --json`. ics: a calendar (RFC
    5545) with each event at its time. Times are in UTC.

    With --match or a filter of `sslctl list`, only the events of the domains that match now are written. Deleted domains match
    --match, --source and --customer only.
    """
    form = _choose(kind, file, as_json=as_json)
    app.only_reads = True
    require_foreign_file(app.config, file)
    tally, query = Tally(), replace(filters, pattern=pattern)
    domain = None if name is None else find_ever_managed(app, names.normalise(name))
    print_archived(app.store.history_cut(), since)
    trail = app.store.audit_trail(since=since, actor=actor, domain=domain)
    if query != EVERYTHING:
        matching = _names(app, query)
        if not matching:
            click.echo(describe_no_match(app.store, query), err=True)
        trail = (found for found in trail if found[0] in matching)
    size = _write(history_texts(trail, form, tally), file, force=force)
    _report(file, form, tally, "event" if tally.rows == 1 else "events", size, as_json=as_json)


def _names(app: App, query: Query) -> set[str]:
    """Return the names of the domains that match `query`, deleted ones too if it restricts only what these still have."""
    queries = [query, replace(query, deleted=True)] if suits_deleted(query) else [query]
    now = app.clock()
    return {each.name for one in queries for each in app.store.listing(one, now).domains}


def _choose(kind: str | None, file: Path, *, as_json: bool) -> Format:
    """Return the format `kind`, or that of the ending of `file`. Raise `UsageError` if `as_json` has no file to report on."""
    if as_json and file == _STANDARD_OUTPUT:
        raise click.UsageError(
            "--json describes the file of -o; for domains or events as JSON use --format jsonl"
        )
    return _ENDINGS.get(file.suffix.lower(), Format.CSV) if kind is None else Format(kind)


def _write(texts: Iterable[str], file: Path, *, force: bool) -> int:
    """Write `texts` to `file` or to standard output, and return how many bytes the file has."""
    if file == _STANDARD_OUTPUT:
        write_texts(texts)
        return 0
    with writing_one(file, force=force) as opened:
        # As on standard output, a character that UTF-8 does not have is written as its escape.
        return sum(opened.write(text.encode(errors="backslashreplace")) for text in texts)


def _report(file: Path, form: Format, tally: Tally, noun: str, size: int, *, as_json: bool) -> None:
    """Print what `file` contains; nothing if that is standard output, which has the data."""
    if as_json:
        counts = {"rows": tally.rows, "left_out": tally.left_out, "bytes": size}
        write_json(json_shapes.envelope(file=str(file), format=form, **counts))
    elif file != _STANDARD_OUTPUT:
        left_out = f", {tally.left_out:,} without a certificate left out" if tally.left_out else ""
        write_line(f"{clean(file, 4096)}: {tally.rows:,} {noun}{left_out}, {size:,} bytes")
