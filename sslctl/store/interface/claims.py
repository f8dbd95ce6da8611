"""Claims: leases on names, so that two processes do not work on one domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol


class Claims(Protocol):
    """The claims. `sslctl.rules.claim_names` builds their names."""

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        """Claim each of `names` for this process, and return those that were free. Claiming again renews a claim.

        A claim ends with `release`, at its deadline, or when the process of this host that holds it has ended.
        """

    def release(self, names: Iterable[str]) -> None:
        """Release claims of this process."""
