"""The files of a pair that a person adds by text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sslctl.app import App
from sslctl.certificates.pasted import Pasted, read_pair
from sslctl.errors import BadInput
from sslctl.system.files import read_bounded
from sslctl.text import decode_text

_LARGEST_PEM = 1 << 20


def read_pasted(app: App, names: Sequence[str], cert: Path, key: Path, chain: Path | None) -> Pasted:
    """Return the pair in these files, for a domain with `names`. Raise `BadInput` if it cannot be used."""
    texts = [_read(path) if path else "" for path in (cert, key, chain)]
    return read_pair(texts[0], texts[1], texts[2], names, app.clock(), app.trusted_roots)


def print_notes(name: str, notes: Sequence[str]) -> None:
    """Print what a person should know about the pair that was pasted for the domain `name`."""
    for note in notes:
        click.echo(f"sslctl: {name}: {note}", err=True)


def _read(path: Path) -> str:
    try:
        return decode_text(read_bounded(path, _LARGEST_PEM), "replace")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
