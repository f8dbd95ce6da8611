"""Where state lives. `Store` is the seam: SQLite today, a shared database later, with the same claims.

Every change of a domain is compare-and-set on the `Domain` value it starts from: a method takes the domain as the
caller knows it and gives the domain as it is now, or raises `Busy` when somebody changed it in between. The event of
a change is committed with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from sslctl.model import Bundle, Certificate, Domain, Event, Finding, Leaf, Order, Source
from sslctl.reasons import Status


class Sort(StrEnum):
    """What `list` may be sorted by."""

    NAME = "name"
    STATUS = "status"
    CREATED = "created"
    EXPIRES = "expires"


@dataclass(frozen=True, slots=True)
class Query:
    """Which domains to list; empty fields do not restrict. `expiring_within` counts from now, expired included."""

    statuses: tuple[Status, ...] = ()
    source: Source | None = None
    expiring_within: timedelta | None = None
    deleted: bool = False
    sort: Sort = Sort.NAME
    limit: int | None = None


class Store(Protocol):
    """Domains, certificates, orders, events and claims. Raises `StateError` when state cannot be used."""

    def domain(self, name: str) -> Domain:
        """Give the managed domain `name`. Raises `NotManaged`; a deleted domain is not managed."""

    def find(self, name: str) -> Domain | None:
        """Give the domain `name`, deleted or not; None where it was never added."""

    def domains(self, query: Query, now: datetime) -> list[Domain]:
        """Give the domains that `query` asks for, with statuses as of `now`."""

    def candidates(self, now: datetime, horizon: timedelta) -> list[Domain]:
        """Give at least every domain for which `lifecycle.due` may have work, soonest expiry first.

        `horizon` is the longest time before expiry at which a renewal can fall due.
        """

    def counts(self, now: datetime) -> dict[Status, int]:
        """Count the managed domains by status as of `now`; statuses without a domain are left out."""

    def enrol(
        self, name: str, sans: tuple[str, ...], source: Source, wanted: Certificate | None = None
    ) -> Domain:
        """Record `name` as new, or as managed again after a delete; its finding is `QUEUED`.

        `wanted` is a version of before that is taken up again.

        Raises `Busy` when it is managed already.
        """

    def amend(self, domain: Domain, sans: tuple[str, ...], source: Source) -> Domain:
        """Change what is wanted of a managed domain, and queue it."""

    def settle(self, domain: Domain, finding: Finding | None) -> Domain:
        """Record how a pass over `domain` ended; None is well. An event is written when that changed."""

    def delete(self, domain: Domain) -> Domain:
        """Take `domain` out of management; its history stays."""

    def open_order(self, domain: Domain, names: tuple[str, ...], key_pem: str, csr_pem: str) -> Order:
        """Keep key and CSR before the CA hears of them. Raises `Busy` while another order of the domain is open."""

    def order(self, domain: Domain) -> Order | None:
        """Give the open order of `domain`."""

    def record_url(self, order: Order, url: str) -> Order:
        """Keep the URL under which the CA has the order."""

    def close_order(self, order: Order, outcome: str) -> None:
        """Let an order go that came to nothing, and its key with it."""

    def keep_issued(self, domain: Domain, order: Order, certificate: str, chain: str, leaf: Leaf) -> Domain:
        """Keep what the CA issued for `order` as a new version, make it the wanted one, close the order."""

    def paste(self, name: str, sans: tuple[str, ...], bundle: Bundle, leaf: Leaf) -> Domain:
        """Keep a pasted pair as a new version of the domain `name`, managed before or not, and make it the wanted one."""

    def mark_uploading(self, certificate: Certificate) -> None:
        """Keep the intent to upload, before C4 hears of it."""

    def mark_uploaded(self, certificate: Certificate) -> None:
        """Record that C4 accepted the upload."""

    def mark_serving(self, domain: Domain, certificate: Certificate, *, wanted: Certificate | None) -> Domain:
        """Record that C4 was seen to serve `certificate`, while `wanted` belongs there; the one before is replaced."""

    def mark_not_serving(self, domain: Domain, why: str) -> Domain:
        """Record that C4 was seen not to serve the certificate it used to; it is wanted still."""

    def mark_revoked(self, certificate: Certificate) -> None:
        """Record that the CA revoked `certificate`."""

    def bundle(self, certificate: Certificate) -> Bundle:
        """Give `certificate` with its chain and its key."""

    def order_key(self, order: Order) -> str:
        """Give the private key of an open order, PEM. Raises `Busy` when it was closed meanwhile."""

    def certificates(self, domain: Domain) -> list[Certificate]:
        """Give every version of the domain's certificate, newest first."""

    def record(self, domain: Domain, kind: str, detail: str, version: int | None = None) -> None:
        """Write an event into the history of `domain`."""

    def events(self, domain: Domain) -> list[Event]:
        """Give the history of `domain`, oldest first."""

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        """Claim each of `names` for this process; give those that were free. Claimed again, a claim is prolonged.

        A claim ends with `release`, at its deadline, or when the process that holds it on this host is gone.
        """

    def release(self, names: Iterable[str]) -> None:
        """Give up claims of this process."""

    def close(self) -> None:
        """Close the database."""
