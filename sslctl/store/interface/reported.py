"""What `daemon-tick -q` has printed, on any host that uses the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sslctl.rules.reported import Printed


class ReportedTroubles(Protocol):
    """What was printed of each subject (`rules.reported`), which decides what is news."""

    def printed(self) -> dict[str, Printed]:
        """Return what was printed of each subject."""

    def record_printed(self, printed: Mapping[str, Printed]) -> None:
        """Store `printed` in place of all that was stored."""
