"""`sslctl restore`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli import backup
from sslctl.cli.options import json_option
from sslctl.errors import SslctlError
from sslctl.fleet.looks import Looked
from sslctl.text import clean
from sslctl.wording import C4

_MOST_SHOWN = 10


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def command(app: App, *, file: Path, as_json: bool) -> None:
    """Restore the state from the backup FILE. state.dir must not contain a state, except one that never held a domain.

    Put the key file in its place first; it must decrypt every private key in FILE. Then sslctl looks at what C4 serves, and
    prints for which domains that is a certificate whose key is not in FILE. An unreadable database is kept under another name.
    """
    copy, kept = app.restore(file)
    looked = _look(app)
    backup.print_copy(app, file, copy, as_json=as_json, keys_missing=looked.foreign)
    for line in _missing_keys(looked):
        click.echo(line, err=True)
    if kept is not None:
        click.echo(f"The unreadable database was kept: {clean(kept, 4096)}", err=True)
    click.echo(
        f"Restored into {app.config.state.dir}. Next: `sslctl doctor`, then `sslctl daemon-tick`.", err=True
    )


def _look(app: App) -> Looked:
    """Look at what C4 has. Whatever goes wrong, the state is restored, and the next tick looks again."""
    try:
        return app.look_after_restore()
    except SslctlError as error:
        return Looked(trouble=error.message)


def _missing_keys(looked: Looked) -> Iterator[str]:
    if looked.trouble:
        yield f"{C4:The} gave no usable answer about what it serves; the next tick looks: {looked.trouble}"
    if looked.foreign:
        shown = ", ".join(looked.foreign[:_MOST_SHOWN])
        more = f" and {len(looked.foreign) - _MOST_SHOWN} more" if len(looked.foreign) > _MOST_SHOWN else ""
        yield (
            f"For {len(looked.foreign)} domains {C4} has a certificate whose key is not in this backup: {shown}{more}. They"
            " stay in service and are replaced when they are due."
        )
