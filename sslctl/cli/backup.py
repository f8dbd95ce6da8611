"""`sslctl backup`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.store.interface.maintenance import Copy
from sslctl.text import clean


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@json_option
@click.pass_obj
def command(app: App, *, file: Path, force: bool, as_json: bool) -> None:
    """Write a copy of the state into FILE, mode 0600. Other commands may run meanwhile.

    The copy is read back and checked before it gets that name. The key file is not part of it, so FILE alone reveals no
    private key. A restore needs both: back the key file up too, in another place.
    """
    copy = app.store.back_up(file, force=force)
    print_copy(app, file, copy, as_json=as_json)
    key = clean(app.keyring.path)
    click.echo(f"It cannot be restored without the key file {key}; back that up separately.", err=True)


def print_copy(
    app: App, file: Path, copy: Copy, *, as_json: bool, keys_missing: Sequence[str] | None = None
) -> None:
    """Print what the backup `file` contains; after a restore also the domains whose keys it does not contain."""
    if as_json:
        counts = {"domains": copy.domains, "certificates": copy.certificates, "bytes": copy.size}
        more = {} if keys_missing is None else {"keys_missing": list(keys_missing)}
        write_json(json_shapes.envelope(file=str(file), key_file=str(app.keyring.path), **counts, **more))
        return
    contents = f"{copy.domains} domains, {copy.certificates} certificates, {copy.size:,} bytes"
    write_line(f"{clean(file, 4096)}: {contents}")
