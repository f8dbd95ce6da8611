"""Record what a person chose for the certificates of domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.errors import BadInput, SslctlError
from sslctl.fleet.recording import record_each
from sslctl.rules.certificate_choice import CertificateChange
from sslctl.rules.model import Domain, Source
from sslctl.rules.names import require_few
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions


class _Store(Domains, Transactions, Protocol):
    """What choices are read from and written to."""


def record(
    store: _Store, domains: Sequence[Domain], change: CertificateChange, *, configured_profile: str
) -> dict[str, SslctlError]:
    """Record `change` for each of `domains`, as `record_each` does.

    A domain with a text certificate is refused, since it has no orders, and one with more names than the profile allows.
    """

    def write(domain: Domain) -> None:
        if domain.source is Source.TEXT:
            raise BadInput(f"{domain.name} has a text certificate, which sslctl does not order")
        choice = domain.choice.changed(change)
        require_few(domain.names, choice.profile or configured_profile)
        store.record_choice(domain, choice)

    return record_each(store, domains, write)
