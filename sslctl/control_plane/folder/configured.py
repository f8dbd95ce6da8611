"""The control plane of the section `[folder]`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from sslctl.config.folder import require_complete
from sslctl.config.settings import Config
from sslctl.control_plane.folder.client import FolderControlPlane
from sslctl.control_plane.folder.reloading import Reload


def make_control_plane(
    config: Config,
    root: Path,
    read_served: Callable[[str, int, str], str | None],
    clock: Callable[[], datetime],
) -> FolderControlPlane:
    """Return the control plane that writes PEM files below `root`. Raise `ConfigError` if it is not configured wholly.

    `read_served` returns the fingerprint that the edge at an address and a port serves for a name.
    """
    section = config.folder
    require_complete(section, is_c4_set=bool(config.c4.base_url))
    return FolderControlPlane(
        root,
        cname_target=section.cname_target,
        names_file=section.names_file,
        reload=Reload(section.reload_command, section.reload_seconds),
        look_at=[partial(read_served, address, port) for address, port in section.read_back],
        clock=clock,
    )
