"""The optional packages of an installation, which its extras name."""

from __future__ import annotations

import shlex
import sys

from sslctl.errors import ConfigError


def missing_package(extra: str, needing: str, package: str) -> ConfigError:
    """Return the error that `needing` (a subject with its verb) needs `package`, with the command that installs `extra`.

    The command names this Python: another `pip` of the `PATH` would install it elsewhere.
    """
    install = shlex.join([sys.executable, "-m", "pip", "install", f".[{extra}]"])
    return ConfigError(
        f"{needing} {package}, which is not installed",
        hint=f"in the folder of sslctl's source: {install}",
    )
