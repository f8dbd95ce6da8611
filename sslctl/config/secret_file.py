"""Files that contain only a secret: C4's token, the URLs for notifications."""

from __future__ import annotations

import stat
from pathlib import Path

from sslctl.errors import ConfigError
from sslctl.system.files import read_regular
from sslctl.text import clean

_LARGEST = 1 << 16
EVERYONE = 0o007
"""The bits of a file mode that give access to everyone."""


def read_secret(path: Path, key: str, what: str) -> bytes:
    """Return the content of `path`, which the configuration's `key` names and which contains `what`.

    Raise `ConfigError` if it cannot be read, or if everyone can read it. No message quotes the content.
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
    return content
