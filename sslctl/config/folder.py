"""The section `[folder]`: an edge that reads PEM files, in place of C4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslctl.config import values as read
from sslctl.errors import ConfigError
from sslctl.text import clean


@dataclass(frozen=True, slots=True)
class FolderSection:
    """The control plane that writes PEM files, if `dir` is set.

    `cname_target` is the name of the edge, that customers point their domains at. `names_file` lists the domains; without it every
    domain is known. `reload_command` makes the edge load its files. `read_back` is the edge's address and port for TLS.
    """

    dir: Path | None = None
    cname_target: str = ""
    names_file: Path | None = None
    reload_command: tuple[str, ...] = ()
    reload_seconds: float = 30
    read_back: tuple[tuple[str, int], ...] = ()


def _argument(value: object) -> str:
    if not isinstance(value, str) or not value or clean(value) != value:
        raise ValueError("must be a list of texts: the program and its arguments")
    return value


def _edge(value: object) -> tuple[str, int]:
    """Read `address:port`, for which the port is required."""
    address, port = read.resolver(value)
    if not str(value).endswith(f":{port}"):
        raise ValueError("must be an address with a port, such as 127.0.0.1:443")
    return address, port


READ: Mapping[str, Callable[[object], object]] = {
    "dir": read.optional_path,
    "cname_target": lambda value: value if value == "" else read.name(value),
    "names_file": read.optional_path,
    "reload_command": read.many(_argument),
    "reload_seconds": read.seconds,
    "read_back": read.many(_edge),
}
"""The reader of each key."""


def require_complete(section: FolderSection, *, is_c4_set: bool) -> None:
    """Raise `ConfigError` if C4 is configured too, or if the name of the edge is missing."""
    if is_c4_set:
        raise ConfigError("c4.base_url and folder.dir are both set, but there can be only one control plane")
    if not section.cname_target:
        raise ConfigError(
            "folder.dir is set without folder.cname_target, the name that domains must point at"
        )
