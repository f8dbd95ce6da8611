"""Claims on names, so that two processes do not work on one domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from sslctl.rules.model import Claim


class Claims(Protocol):
    """The claims. `sslctl.rules.claim_names` builds their names."""

    def prove_alive(self) -> None:
        """Begin to prove that this process lives, as the first claim does: call it before a transaction that claims.

        The proof may need a connection of its own, for which threads that are inside a transaction could wait for one another.
        """

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        """Claim each of `names` for this process, and return those that were free. Claiming again renews a claim.

        A claim ends with `release`, with `break_claim`, or with its process, however that ends. `duration` is how long it
        should last: who lives longer keeps the claim.
        """

    def release(self, names: Iterable[str]) -> None:
        """Release claims of this process."""

    def require_claims(self, names: Iterable[str]) -> None:
        """Raise `ClaimLost` unless this process still holds all the claims `names`."""

    def claims(self) -> list[Claim]:
        """Return all claims, by name, those of dead processes too."""

    def break_claim(self, name: str, *, force: bool = False) -> Claim | None:
        """Delete the claim `name`, record that, and return the claim as it was; None if there is none.

        Raise `Busy` if its owner may be alive, unless `force`.
        """
