"""Destroy private keys that are no longer needed: a key that does not exist cannot be stolen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.issuance.claims import claim_domains, release_domains, require_claim
from sslctl.rules.model import Milestone
from sslctl.rules.versions import SpareKey, key_unneeded_since
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.keys import Keys
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# The number of domains that are claimed together, and whose keys are destroyed in one transaction.
_BLOCK = 200


class _Store(Claims, Domains, Keys, Maintenance, Transactions, Versions, Protocol):
    """What pruning reads and writes."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The destroyed keys, and the number of domains skipped because another process works on them."""

    keys: list[SpareKey]
    busy: int


def find(store: _Store, now: datetime, older_than: timedelta) -> Iterator[SpareKey]:
    """Yield the keys that have not been needed for `older_than`, by domain name; see `versions.key_unneeded_since`."""
    return _spare(store, store.domains_with_spare_keys(now - older_than), now, older_than)


def prune(store: _Store, now: datetime, older_than: timedelta) -> Pruned:
    """Destroy the keys that `find` yields. If it is killed, some are destroyed; the next run destroys the rest."""
    names = store.domains_with_spare_keys(now - older_than)
    keys, busy = list[SpareKey](), 0
    for start in range(0, len(names), _BLOCK):
        block = names[start : start + _BLOCK]
        # Without the claim, an `add` running now could make an old version the wanted one again.
        ours = claim_domains(store, block)
        busy += len(block) - len(ours)
        try:
            with store.transaction():
                for name in ours:
                    require_claim(store, name)
                found = list(_spare(store, ours, now, older_than))
                for key in found:
                    store.destroy_key(key.domain, key.certificate)
            keys += found
        finally:
            release_domains(store, ours)
    store.record_milestone(Milestone.KEYS_PRUNED, f"{len(keys)} destroyed")
    return Pruned(keys, busy)


def _spare(store: _Store, names: list[str], now: datetime, older_than: timedelta) -> Iterator[SpareKey]:
    for domain in store.domains_named(names):
        versions = store.certificates(domain)
        for certificate in reversed(versions):
            since = key_unneeded_since(certificate, domain, versions, now)
            if certificate.key_destroyed_at is None and since is not None and since <= now - older_than:
                yield SpareKey(domain, certificate, since)
