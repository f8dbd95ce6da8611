"""Files that hold a secret and nothing else: C4's token, the URLs of notices."""

from __future__ import annotations

import stat
from pathlib import Path

from sslctl.errors import ConfigError
from sslctl.system.files import read_regular
from sslctl.text import clean

_LARGEST = 1 << 16
EVERYONE = 0o007
"""The bits of a mode that let everyone reach a file."""


def read_secret(path: Path, key: str, what: str) -> bytes:
    """Give the content of `path`, which the configuration's `key` names and which holds `what`.

    Raises `ConfigError` where it cannot be read, and where everyone can; no message tells of the content.
    """
    shown = clean(path)
    try:
        content, state = read_regular(path, _LARGEST)
    except (OSError, ValueError) as error:
        why = clean(getattr(error, "strerror", None) or error).lower()
        raise ConfigError(
            f"{key}: {shown} cannot be read: {why}", hint=f"it holds {what} and nothing else, mode 0600"
        ) from error
    mode = stat.S_IMODE(state.st_mode)
    if mode & EVERYONE:
        raise ConfigError(f"{key}: everyone can reach {shown} (mode {mode:04o})", hint=f"chmod 600 {shown}")
    return content
