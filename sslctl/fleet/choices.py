"""Record what a person chose for the certificates of domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.errors import BadInput, Busy, SslctlError
from sslctl.rules.certificate_choice import CertificateChange
from sslctl.rules.model import Domain, Source
from sslctl.rules.names import require_few
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions

# Other processes wait while a block is written.
_BLOCK = 1000


class _Store(Domains, Transactions, Protocol):
    """What choices are read from and written to."""


def record(
    store: _Store, domains: Sequence[Domain], change: CertificateChange, *, configured_profile: str
) -> dict[str, SslctlError]:
    """Record `change` for each of `domains`; return the error of each that is refused, by name.

    A domain with a text certificate is refused, since it has no orders, and one with more names than the profile allows. Raise
    `StateError`, `StateBusy`; the blocks before it stay recorded.
    """
    errors: dict[str, SslctlError] = {}
    for start in range(0, len(domains), _BLOCK):
        with store.transaction():
            for domain in domains[start : start + _BLOCK]:
                choice = domain.choice.changed(change)
                try:
                    _require_ordered(domain)
                    require_few(domain.names, choice.profile or configured_profile)
                    store.record_choice(domain, choice)
                except (BadInput, Busy) as error:
                    errors[domain.name] = error
    return errors


def _require_ordered(domain: Domain) -> None:
    if domain.source is Source.TEXT:
        raise BadInput(f"{domain.name} has a text certificate, which sslctl does not order")
