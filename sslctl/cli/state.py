"""`sslctl state`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.config.state import StateSection
from sslctl.text import clean

_LONGEST = 4096
_NOTICE_SECONDS = 10


@click.group("state")
def command() -> None:
    """Move the state into another database."""


@command.command("migrate", short_help="Move the state into PostgreSQL, or back into SQLite.")
@click.option(
    "--to",
    metavar="URL|DIR",
    default="",
    help="The URL of a PostgreSQL database, without a password, or a folder.",
)
@click.option(
    "--to-file",
    "url_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with mode 0600 that contains the URL; it may have a password.",
)
@click.option(
    "--undo", is_flag=True, help="Take the move to that place back, unless the state was changed there."
)
@json_option
@click.pass_obj
def migrate(app: App, *, to: str, url_file: Path | None, undo: bool, as_json: bool) -> None:
    """Move the state that is configured into an empty PostgreSQL database, or from one into a folder.

    Nothing else may write meanwhile: stop the ticks, and `sslctl serve`. Every row is compared, and the history verified, before
    the old database is marked: every command refuses it from then on and names the new place. An interrupted move goes on when the
    command is run again.

    The key file stays where it is. The role of the URL must be able to create tables (docs/postgres.md).
    """
    if bool(to) == (url_file is not None):
        raise click.UsageError("name the new place with --to, or with --to-file")
    from sslctl.fleet.moving import find_place  # noqa: PLC0415 - slow to import

    place = find_place(app.config.state, to, url_file)
    move = app.make_move(_Progress())
    if undo:
        database = move.undo(place)
        if as_json:
            write_json(json_shapes.envelope(undone=True, database=database))
        else:
            write_line(f"The state is in {clean(database, _LONGEST)} again.")
        return
    moved = move.run(place)
    if as_json:
        numbers = {"domains": moved.domains, "certificates": moved.certificates, "rows": moved.rows}
        places = {"from": moved.source, "to": moved.target}
        write_json(
            json_shapes.envelope(**places, **numbers, written=moved.written, **json_shapes.audit(moved.audit))
        )
    else:
        write_line(
            f"Moved {moved.domains} domains and {moved.certificates} certificates into {place.shown_database}: "
            f"{moved.rows:,} rows, each compared; {moved.audit.intact} events unchanged, head {moved.audit.head or '-'}."
        )
    click.echo(f"Next: {_next_step(app, place)}, then `sslctl doctor`.", err=True)


def _next_step(app: App, place: StateSection) -> str:
    path = clean(app.config.path or "the configuration file", _LONGEST)
    if place.url_file:
        return f"set state.url_file = {clean(place.url_file, _LONGEST)} in {path}"
    if place.url:
        return f"set state.url = {clean(place.url, _LONGEST)} in {path}, with the role of the daily work"
    step = f"remove state.url from {path}"
    if place.dir == app.config.state.dir:
        return step
    return f"{step}, set state.dir = {clean(place.dir, _LONGEST)}, and move the other files of {clean(app.config.state.dir, _LONGEST)} there"


class _Progress:
    """A line on standard error every 10 seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, step: str, table: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _NOTICE_SECONDS:
            self._last = now
            click.echo(f"sslctl: {step} {done:,} of {total:,} rows, now {table}", err=True)
