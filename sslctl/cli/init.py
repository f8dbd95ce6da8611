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

    Nothing is changed if there is a state already. If something of a state is there without its database, the state was
    lost: use `sslctl restore`. The first `add` creates a state too; every other command needs one.
    """
    created = app.make_state(with_key=True)
    state = app.config.state
    if as_json:
        files = {"database": str(state.database_path), "key_file": str(state.master_key_path)}
        write_json(json_shapes.envelope(created=created, **files))
    elif created:
        write_line(
            f"Created a new state: {clean(state.database_path, 4096)}, with the key file "
            f"{clean(state.master_key_path, 4096)}. Back the key file up."
        )
    else:
        write_line(f"There is a state already: {clean(state.database_path, 4096)}. Nothing was changed.")
