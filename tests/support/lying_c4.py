"""A C4 that answers wrongly about every domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sslctl.control_plane import ControlPlane, Installed, NoInventory, Record


class LyingC4:
    """The real client, for which C4 answers with `lie` about each domain, and has no inventory."""

    def __init__(self, real: ControlPlane, lie: Callable[[str], Record]) -> None:
        self._real = real
        self.domain = lie

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def certificate(self, name: str) -> Installed | None:
        """Answer as `domain` does."""
        return self.domain(name).certificate

    def inventory(self) -> Iterator[Record]:
        """Raise `NoInventory`."""
        raise NoInventory("C4 cannot list its domains")
