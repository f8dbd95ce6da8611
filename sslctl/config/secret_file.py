"""Files that decide whom sslctl trusts: they must be its user's own. Some contain only a secret: C4's token, the URLs for notifications."""

from __future__ import annotations

import stat
from pathlib import Path

from sslctl.errors import ConfigError
from sslctl.system.files import read_regular
from sslctl.system.ownership import find_intruder
from sslctl.text import clean, decode_text

_LARGEST = 1 << 16
EVERYONE = 0o007
"""The bits of a file mode that give access to everyone."""


def read_secret(path: Path, key: str, what: str) -> str:
    """Return the content of `path`, which the configuration's `key` names and which contains `what`.

    Raise `ConfigError` if it cannot be read, is not text, if everyone can read it, or if another user can change it. No
    message quotes the content.
    """
    shown = clean(path)
    try:
        content, state = read_regular(path, _LARGEST)
    except (OSError, ValueError) as error:
        why = clean(getattr(error, "strerror", None) or error).lower()
        raise ConfigError(
            f"{key}: {shown} cannot be read: {why}", hint=f"the file must contain only {what}, with mode 0600"
        ) from error
    mode = stat.S_IMODE(state.st_mode)
    if mode & EVERYONE:
        raise ConfigError(
            f"{key}: everyone has access to {shown} (mode {mode:04o})", hint=f"chmod 600 {shown}"
        )
    require_trusted(path, key)
    try:
        return decode_text(content)
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {shown} is not text in UTF-8 or UTF-16") from None


def require_trusted(path: Path, shown_as: str) -> None:
    """Raise `ConfigError` if another user than root and ours can change `path` or a folder above it.

    Such a user could send our token and the private keys to a server of their own.
    """
    try:
        intruder = find_intruder(path)
    except OSError as error:
        raise ConfigError(
            f"{shown_as}: {clean(path)} cannot be examined: {clean(error.strerror).lower()}"
        ) from error
    if intruder is not None:
        raise ConfigError(
            f"{shown_as} is not used: {clean(intruder.problem)}",
            hint=f"make sure that nobody changed it, then: {clean(intruder.cure)}",
        )
