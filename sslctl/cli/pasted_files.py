"""The files of a pair that a person adds by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sslctl.app import App
from sslctl.cli.passwords import read_password
from sslctl.errors import BadInput
from sslctl.system.files import read_bounded
from sslctl.text import clean

# Slow to import, so that `add` without files does it later.
if TYPE_CHECKING:
    from sslctl.certificates.pasted import Pasted

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class PastedFiles:
    """The files that the options name: `cert` and `key`, or `pkcs12`; and with either `chain`."""

    cert: Path | None
    key: Path | None
    chain: Path | None
    pkcs12: Path | None
    password_file: Path | None

    @property
    def exist(self) -> bool:
        """Whether a certificate was given."""
        return self.cert is not None or self.pkcs12 is not None

    def check_usage(self) -> None:
        """Raise `click.UsageError` for options that do not go together."""
        if self.pkcs12 is not None and (self.cert is not None or self.key is not None):
            raise click.UsageError(
                "--pkcs12 contains certificate and key; it cannot be combined with --cert and --key"
            )
        if (self.cert is None) != (self.key is None) or (self.chain is not None and not self.exist):
            raise click.UsageError(
                "--cert and --key go together, and --chain goes with them or with --pkcs12"
            )
        if self.password_file is not None and self.pkcs12 is None:
            raise click.UsageError("--password-file goes with --pkcs12")

    def read(self, app: App, names: Sequence[str]) -> Pasted:
        """Return the pair in these files, for a domain with `names`. Raise `BadInput` if it cannot be used."""
        from sslctl.certificates.formats import read_pkcs12  # noqa: PLC0415
        from sslctl.certificates.pasted import make_pair, read_chain, read_pair  # noqa: PLC0415

        chain = _read_text(self.chain)
        now, trusted = app.clock(), app.trusted_roots
        if self.pkcs12 is not None:
            content = _read(self.pkcs12)
            password = read_password(self.password_file, is_new=False)
            key, certificates = read_pkcs12(content, password, clean(self.pkcs12))
            return make_pair(key, [*certificates, *read_chain(chain)], names, now, trusted)
        return read_pair(_read_text(self.cert), _read_text(self.key), chain, names, now, trusted)


def print_notes(name: str, notes: Sequence[str]) -> None:
    """Print what a person should know about the pair that was pasted for the domain `name`."""
    for note in notes:
        click.echo(f"sslctl: {name}: {note}", err=True)


def _read_text(path: Path | None) -> str:
    """Return the PEM text of a file; empty without a file."""
    from sslctl.certificates.formats import read_pem  # noqa: PLC0415

    return "" if path is None else read_pem(_read(path), clean(path))


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _LARGEST)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
