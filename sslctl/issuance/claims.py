"""Claims on domains: only one process at a time changes a domain or destroys its keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from sslctl.errors import Busy, StateBusy
from sslctl.rules.claim_names import domain_claim
from sslctl.store.interface.claims import Claims

# Longer than any pass, including the wait for the port in standalone mode. A process that lives longer keeps its claim.
_DURATION = timedelta(days=1)


def claim_domain(store: Claims, name: str) -> None:
    """Claim the domain `name` for this process. Raise `Busy` while another process holds it."""
    if not claim_domains(store, [name]):
        raise Busy(f"another sslctl works on {name}", hint="try again in a minute")


def claim_domains(store: Claims, names: Sequence[str]) -> list[str]:
    """Claim the domains `names` for this process; return those that no other process holds, in order."""
    ours = store.claim(map(domain_claim, names), _DURATION)
    return [name for name in names if domain_claim(name) in ours]


def require_claim(store: Claims, *names: str) -> None:
    """Raise `ClaimLost` unless this process still holds the claims on the domains `names`; call it before each change."""
    store.require_claims(map(domain_claim, names))


def release_domains(store: Claims, names: Sequence[str]) -> None:
    """Release the claims of this process on the domains `names`.

    While the database is locked they stay until this process ends, which voids them. The outcome of the work is not changed
    by that, and no error is replaced.
    """
    with suppress(StateBusy):
        store.release(map(domain_claim, names))


@contextmanager
def claimed(store: Claims, name: str) -> Iterator[None]:
    """Hold the claim on the domain `name` for the block. Raise `Busy` while another process holds it."""
    claim_domain(store, name)
    try:
        yield
    finally:
        release_domains(store, [name])
