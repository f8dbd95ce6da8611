"""The password of a PKCS#12 file: the first line of a file, or typed in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sslctl.errors import BadInput
from sslctl.system.files import read_bounded
from sslctl.text import decode_text

_LARGEST = 1 << 16


def read_password(file: Path | None, *, is_new: bool) -> bytes:
    """Return the password in `file`, or ask for it, in UTF-8; with `is_new` twice. Only a password that exists may be empty.

    Raise `BadInput` if the file cannot be read, and `click.UsageError` if there is no terminal to ask.
    """
    if file is None and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password; give it with --password-file")
    if file is None:
        default = None if is_new else ""
        password: str = click.prompt(
            "Password for the PKCS#12 file",
            hide_input=True,
            confirmation_prompt=is_new,
            default=default,
            show_default=False,
            err=True,
        )
        return password.encode()
    try:
        line = decode_text(read_bounded(file, _LARGEST)).partition("\n")[0].encode()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadInput(f"the password file {file} is not text in UTF-8 or UTF-16") from None
    if is_new and not line:
        raise BadInput(f"the password file {file} is empty; a PKCS#12 file with a key needs a password")
    return line
