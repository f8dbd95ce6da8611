"""Where state lives. `Store` is the seam: SQLite today, a shared database later, with the same claims.

Every change of a domain is compare-and-set on the `Domain` value it starts from: a method takes the domain as the
caller knows it and gives the domain as it is now, or raises `Busy` when somebody changed it in between. The event of
a change is committed with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sslctl.rules.limits import LimitKind, Pause, Scope
from sslctl.rules.model import (
    Audit,
    Bundle,
    Certificate,
    Domain,
    DomainSummary,
    Event,
    Finding,
    Head,
    Leaf,
    Mark,
    Milestone,
    Notice,
    Order,
    RenewalInfo,
    Source,
)
from sslctl.rules.reasons import Code, Status


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


@dataclass(frozen=True, slots=True)
class Listing:
    """What a `Query` found: how many domains, the length of the longest name, and each of them in turn."""

    number: int
    longest_name: int
    domains: Iterator[DomainSummary]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Managed domains of source c4 that are alike: the code of their finding, and when their certificate expires.

    `expires_at` is to the hour, rounded down; for a revoked certificate it is when that was done. It and `lifetime`
    are None for domains that the CA has issued nothing for.
    """

    count: int
    code: Code | None
    expires_at: datetime | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation of the keys came to.

    `rewrapped` is how many values were sealed anew. `went_on` says that the new key had been put into the key file
    before, by a rotation that was killed or by hand; `left` is how many old keys stay in a file that is not sslctl's to
    write, and may be taken out of it.
    """

    rewrapped: int
    went_on: bool
    left: int


@dataclass(frozen=True, slots=True)
class Copy:
    """What a backup holds: how many domains (deleted ones too), certificates, and bytes."""

    domains: int
    certificates: int
    size: int


class BudgetHeld(Exception):
    """An order is not placed, because the CA would refuse it: it is one of its limits, or a pause.

    `found` says which, and how much of it is spent; `scope` is what it covers. It lasts until `until`, or where others
    wait for the same, until the turn of this order comes.
    """

    def __init__(self, scope: Scope, found: str, until: datetime) -> None:
        super().__init__(found)
        self.scope = scope
        self.found = found
        self.until = until


class Store(Protocol):
    """Domains, certificates, orders, events and claims. Raises `StateError` when state cannot be used."""

    def domain(self, name: str) -> Domain:
        """Give the managed domain `name`. Raises `NotManaged`; a deleted domain is not managed."""

    def find(self, name: str) -> Domain | None:
        """Give the domain `name`, deleted or not; None where it was never added."""

    # A fleet is read as it is consumed, some hundred domains at a time, and nobody is kept from writing meanwhile.
    # Which domains and in which order is settled by the call; each is then as it is when its turn comes, and left out
    # where it is no longer what was asked for.

    def listing(self, query: Query, now: datetime) -> Listing:
        """Give a summary of the domains that `query` asks for, with statuses as of `now`."""

    def domains(self, query: Query, now: datetime) -> Iterator[Domain]:
        """Give the whole of the domains that `query` asks for, with statuses as of `now`."""

    def named(self, names: Sequence[str]) -> Iterator[Domain]:
        """Give the domains `names`, deleted or not, in that order; those never added are left out."""

    def candidates(self, now: datetime, horizon: timedelta) -> Iterator[Domain]:
        """Give at least every domain for which `schedule.find_due_work` may have work, soonest expiry first.

        `horizon` is the longest time before expiry at which a renewal can fall due.
        """

    def interrupted(self) -> list[Domain]:
        """Give the domains of source c4 that nothing is found of, while an order of theirs is open: its pass ended midway."""

    def counts(self, now: datetime) -> dict[Status, int]:
        """Count the managed domains by status as of `now`; statuses without a domain are left out."""

    def cohorts(self) -> list[Cohort]:
        """Count the managed domains of source c4 by their finding and by the certificate that they are to have."""

    def renewed_since(self, at: datetime) -> int:
        """Count the certificates issued from `at` on that took the place of another one from the CA."""

    def renewable(self, now: datetime, expires_from: datetime, limit: int) -> list[Domain]:
        """Give at most `limit` domains that may be renewed early, soonest expiry first.

        They are well, of source c4, their certificate expires at `expires_from` or later, and half of its lifetime is
        over at `now`.
        """

    def renewal_infos_due(self, now: datetime, limit: int) -> list[tuple[Certificate, str]]:
        """Give at most `limit` certificates for which the CA is to be asked when to renew them, with their PEM.

        They are of source c4, served, neither expired nor revoked, and were never asked for or are to be asked for
        again by `now`; those never asked for come first.
        """

    def record_renewal_infos(self, said: Iterable[tuple[Certificate, RenewalInfo]]) -> None:
        """Keep what the CA said of when to renew each certificate."""

    def postpone_renewal_infos(self, postponed: Iterable[tuple[Certificate, datetime]]) -> None:
        """Have the CA asked about each certificate not before that time; what it said before stays."""

    def enrol(
        self, name: str, sans: tuple[str, ...], source: Source, wanted: Certificate | None = None
    ) -> Domain:
        """Record `name` as new, or as managed again after a delete; its finding is `QUEUED`.

        `wanted` is a version of before that is taken up again.

        Raises `Busy` when it is managed already.
        """

    def enrol_many(self, names: Sequence[str]) -> list[str]:
        """Record those of `names` that were never added, with source c4 and no other names; give the others, in order.

        Some thousand are committed at a time, so that nobody else waits long: what was recorded before an error stays.
        """

    def amend(self, domain: Domain, sans: tuple[str, ...], source: Source) -> Domain:
        """Change what is wanted of a managed domain, and queue it."""

    def settle(self, domain: Domain, finding: Finding | None) -> Domain:
        """Record how a pass over `domain` ended; None is well. An event is written when that changed."""

    def delete(self, domain: Domain) -> Domain:
        """Take `domain` out of management; its history stays."""

    def open_order(self, domain: Domain, names: tuple[str, ...], key_pem: str, csr_pem: str) -> Order:
        """Keep key and CSR before the CA hears of them.

        Raises `Busy` while another order of the domain is open, and `BudgetHeld`: see `require_budget`.
        """

    def require_budget(self, domain: Domain, names: tuple[str, ...]) -> None:
        """Return where an order of `domain` for `names` may be placed now, within the CA's limits and pauses.

        An order for names that had a certificate before, exactly these, is a renewal, and limited less. Raises `BudgetHeld`.
        """

    def room(self, now: datetime) -> int | None:
        """Give how many orders may be placed at `now` that are no renewals; None where there is no limit."""

    def waiting_for_budget(self, now: datetime, number: int) -> list[Domain]:
        """Give the first `number` of the domains that wait for the limit of new orders, and for some time after `now`."""

    def pause(self, scope: Scope, until: datetime, why: str) -> None:
        """Ask nothing of the CA that `scope` covers before `until`, because of `why` (cleaned)."""

    def pauses(self, now: datetime) -> list[Pause]:
        """Give the pauses that last at `now` and hold back orders, the longest first."""

    def active_pause(self, now: datetime, *scopes: Scope) -> Pause | None:
        """Give the pause that covers everything asked of the CA at `now`: its own wish, or the circuit breaker's.

        What covers one of `scopes` counts too.
        """

    @property
    def is_tripped(self) -> bool:
        """Say whether the circuit breaker was opened, and the CA has not been heard of since."""

    def trip(self, why: str, kind: LimitKind = LimitKind.BREAKER) -> None:
        """Open the circuit breaker, unless it is open: for a minute, each time after that twice as long, up to an hour.

        `LimitKind.RENEWAL_INFO` has one of its own.
        """

    def recover(self, kind: LimitKind = LimitKind.BREAKER) -> None:
        """Close the circuit breaker: the CA was heard of."""

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
        """Give `certificate` with its chain and its key. Raises `StateError` where they are not as they were stored."""

    def require_unchanged(self, certificate: Certificate) -> None:
        """Return where `certificate` is as it was stored. Raises `StateError`: disks give back other bits at times."""

    def require_whole(self, seconds: float) -> bool:
        """Look for damage to the state for so long, and say whether that was long enough to see all of it.

        Raises `StateError` for damage; nothing is written.
        """

    def order_key(self, order: Order) -> str:
        """Give the private key of an open order, PEM. Raises `Busy` when it was closed meanwhile."""

    def certificates(self, domain: Domain) -> list[Certificate]:
        """Give every version of the domain's certificate, newest first."""

    def record(self, domain: Domain, kind: str, detail: str, version: int | None = None) -> None:
        """Write an event into the history of `domain`."""

    def events(self, domain: Domain) -> list[Event]:
        """Give the history of `domain`, oldest first."""

    def trail(
        self, *, since: datetime | None = None, actor: str = "", domain: Domain | None = None
    ) -> Iterator[tuple[str, Event]]:
        """Give every event with the name of its domain, oldest first: those from `since` on, by `actor`, of `domain`."""

    def audit(self, noted: Head | None = None) -> Audit:
        """Look whether every event is as it was written, and whether `noted`, a head of before, is still among them."""

    def mark(self, milestone: Milestone, detail: str) -> None:
        """Record that `milestone` was reached now."""

    def milestones(self) -> dict[Milestone, Mark]:
        """Give the milestones that were ever reached."""

    def rotate_keys(self) -> Rotated:
        """Seal everything with a new key, and drop the old ones; others may work meanwhile.

        Killed at any moment, it leaves a key file that opens everything, and the next call does the rest. Raises `Busy`
        while another one does so, and `StateError` where the key file cannot be changed or does not open everything.
        """

    def require_keys(self) -> None:
        """Return where the key file opens every key that is held. Raises `StateError`."""

    def with_spare_keys(self, issued_until: datetime) -> list[str]:
        """Name the domains that have the key of a certificate which is neither wanted nor served, and as old as that."""

    def destroy_key(self, domain: Domain, certificate: Certificate) -> None:
        """Destroy the private key of `certificate`, for good. Raises `Busy` where it is wanted or served after all."""

    def back_up(self, path: Path, *, force: bool = False) -> Copy:
        """Write a copy of everything but the key file into the new file `path`; others may work meanwhile.

        It was read back before it has that name. Raises `BadInput` where `path` cannot be written, or is there already
        and not to be written over (`force`); `StateError` where what was copied is damaged.
        """

    def notice(self) -> Notice:
        """Give the last message that was to reach a person."""

    def record_notice(self, notice: Notice) -> None:
        """Keep `notice` in the place of the one before."""

    def transaction(self) -> AbstractContextManager[object]:
        """Commit what is written in the block at its end, at once; where it raises, nothing of it is kept.

        Every other method that writes does so with what it writes itself. Nobody outside is to be asked in the block.
        """

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        """Claim each of `names` for this process; give those that were free. Claimed again, a claim is prolonged.

        A claim ends with `release`, at its deadline, or when the process that holds it on this host is gone.
        """

    def release(self, names: Iterable[str]) -> None:
        """Give up claims of this process."""

    def close(self) -> None:
        """Close the database."""
