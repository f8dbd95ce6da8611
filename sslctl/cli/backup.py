"""`sslctl backup`."""

from __future__ import annotations

from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.store.interface.maintenance import Copy
from sslctl.text import clean


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over the file where it exists.")
@json_option
@click.pass_obj
def command(app: App, *, file: Path, force: bool, as_json: bool) -> None:
    """Write a copy of the state into FILE, mode 0600, while others work.

    It is read back and checked before it has that name. The key file is not in it, so nobody who has FILE alone can read
    a private key: keep a copy of the key file in another place.
    """
    copy = app.store.back_up(file, force=force)
    say(app, file, copy, as_json=as_json)
    key = clean(app.keyring.path)
    click.echo(
        f"Without the key file it is of no use, and that is not in it: keep a copy of {key} elsewhere.",
        err=True,
    )


def say(app: App, file: Path, copy: Copy, *, as_json: bool) -> None:
    """Tell what the backup `file` holds."""
    if as_json:
        counts = {"domains": copy.domains, "certificates": copy.certificates, "bytes": copy.size}
        render.json_object(json_shapes.envelope(file=str(file), key_file=str(app.keyring.path), **counts))
        return
    what = f"{copy.domains} domains, {copy.certificates} certificates, {copy.size:,} bytes"
    render.line(f"{clean(file, 4096)}: {what}")
