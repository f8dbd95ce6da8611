"""Destroy private keys that are no longer needed: a key that does not exist cannot be stolen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
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


def find(store: _Store, now: datetime, older_than: timedelta) -> Iterator[SpareKey]:
    """Yield the keys that have not been needed for `older_than`, by domain name; see `versions.key_unneeded_since`."""
    for block in _blocks(store.domains_with_spare_keys(now - older_than)):
        yield from _spare(store, block, now, older_than)


class Pruning:
    """The destruction of the keys that `find` yields. Iterate over it once, to the end; it yields each destroyed key.

    `destroyed` counts the keys, `busy` the domains that were skipped because another process works on them. If it is killed,
    some keys are destroyed; the next one destroys the rest.
    """

    def __init__(self, store: _Store, now: datetime, older_than: timedelta) -> None:
        self._store = store
        self._now = now
        self._older_than = older_than
        self.destroyed = 0
        self.busy = 0

    def __iter__(self) -> Iterator[SpareKey]:
        for block in _blocks(self._store.domains_with_spare_keys(self._now - self._older_than)):
            keys = self._prune(block)
            self.destroyed += len(keys)
            yield from keys
        self._store.record_milestone(Milestone.KEYS_PRUNED, f"{self.destroyed} destroyed")

    def _prune(self, names: list[str]) -> list[SpareKey]:
        store = self._store
        # Without the claim, an `add` running now could make an old version the wanted one again.
        ours = claim_domains(store, names)
        self.busy += len(names) - len(ours)
        try:
            with store.transaction():
                for name in ours:
                    require_claim(store, name)
                found = list(_spare(store, ours, self._now, self._older_than))
                for key in found:
                    store.destroy_key(key.domain, key.certificate)
        finally:
            release_domains(store, ours)
        return found


def _blocks(names: Iterator[str]) -> Iterator[list[str]]:
    while block := list(islice(names, _BLOCK)):
        yield block


def _spare(store: _Store, names: list[str], now: datetime, older_than: timedelta) -> Iterator[SpareKey]:
    domains = list(store.domains_named(names))
    certificates = store.certificates_of(domains)
    for domain in domains:
        versions = certificates[domain.id]
        for certificate in reversed(versions):
            since = key_unneeded_since(certificate, domain, versions, now)
            if certificate.key_destroyed_at is None and since is not None and since <= now - older_than:
                yield SpareKey(domain, certificate, since)
