"""`sslctl init`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.text import clean


@click.command("init")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> None:
    """Create an empty state: the database in state.dir, and the key file unless one was prepared.

    With state.url the tables of a PostgreSQL database are created, or brought up to date, by a role that may do that
    (docs/postgres.md).

    Nothing else is changed if there is a state already. If something of a state is there without its database, the state was
    lost: use `sslctl restore`. The first `add` creates a state too; every other command needs one.
    """
    created = app.make_state(with_key=True)
    state = app.config.state
    if as_json:
        database = state.shown_database if state.is_on_server else str(state.database_path)
        files = {"database": database, "key_file": str(state.master_key_path)}
        write_json(json_shapes.envelope(created=created, **files))
    elif created:
        write_line(
            f"Created a new state: {state.shown_database}, with the key file "
            f"{clean(state.master_key_path, 4096)}. Back the key file up."
        )
    elif state.is_on_server:
        write_line(
            f"There is a state already: {state.shown_database}. Its tables are those of this sslctl now."
        )
    else:
        write_line(f"There is a state already: {state.shown_database}. Nothing was changed.")
