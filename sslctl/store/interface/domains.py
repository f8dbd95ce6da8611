"""Domains: what is wanted of each, what the last pass found, and queries over many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from sslctl.rules.certificate_choice import CertificateChoice
from sslctl.rules.model import Certificate, Domain, DomainSummary, Finding, Installed, PassResult, Source
from sslctl.rules.name_pattern import NamePattern
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.remarks import Remarks


class Sort(StrEnum):
    """What `list` may be sorted by."""

    NAME = "name"
    STATUS = "status"
    CREATED = "created"
    EXPIRES = "expires"
    URGENCY = "urgency"


@dataclass(frozen=True, slots=True)
class Query:
    """A selection of domains. Empty fields do not restrict it; of several values in one field, any may hold.

    At most `limit` domains are selected, after the first `offset` in the order of `sort`. `pattern` is over the names of the
    certificate. `owners` are those who must act because of the status or of a warning.
    `reasons` are codes of the status, of what prevents a renewal, of warnings, or of a step that did not answer; `warnings` are
    codes of warnings alone. `customers` are as in `Domain.customer`, `assignees` as in `Remarks.assignee`; an empty one stands for domains
    without one. `expiring_within` counts from now; expired domains are included. `served_source` is that of the certificate that C4 had, ours or not, or else of the wanted one.
    `warned` leaves out most of the domains without a warning (`warnings.find_warnings`), and none that has one. `abandoned` leaves
    out all others (`onboarding.is_abandoned`). `needing_within` leaves out most of the domains that need nobody
    (`concerns.find_concerns`), and none that does if its renewal is late at most so long before its expiry.
    """

    statuses: tuple[Status, ...] = ()
    source: Source | None = None
    expiring_within: timedelta | None = None
    deleted: bool = False
    sort: Sort = Sort.NAME
    limit: int | None = None
    warned: bool = False
    abandoned: bool = False
    pattern: NamePattern | None = None
    owners: tuple[Owner, ...] = ()
    reasons: tuple[Code, ...] = ()
    customers: tuple[str, ...] = ()
    warnings: tuple[Code, ...] = ()
    needing_within: timedelta | None = None
    served_source: Source | None = None
    assignees: tuple[str, ...] = ()
    offset: int = 0


EVERYTHING = Query()
"""Every managed domain."""


class Codes(NamedTuple):
    """What the domains of one group have in common: their status and their codes.

    `blamed` is the code whose owner must act because of the status, None in Success. `warnings` are the codes of
    `warnings.find_warnings`. `unconfirmed` is the code of a step that did not answer.
    """

    status: Status
    blamed: Code | None
    warnings: frozenset[Code]
    unconfirmed: Code | None

    @property
    def owners(self) -> frozenset[Owner]:
        """Those who must act because of the status or of a warning."""
        acting = self.warnings if self.blamed is None else {self.blamed, *self.warnings}
        return frozenset(REASONS[code].owner for code in acting)

    @property
    def reasons(self) -> frozenset[Code]:
        """The codes by which `Query.reasons` finds these domains."""
        found = {self.blamed, self.unconfirmed, *self.warnings} - {None}
        expired = {Code.CERT_EXPIRED} if self.status is Status.EXPIRED else set()
        return frozenset(code for code in found | expired if code is not None)


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a `Query`: the number of domains, and the domains.

    `longest_name` is the length of the longest name with the number of its other names: `shop.example.com +2`. A certificate has
    at most 100 names.
    """

    number: int
    longest_name: int
    domains: Iterator[DomainSummary]


class Domains(Protocol):
    """The managed domains. Each change is compare-and-set (see `sslctl.store.interface`)."""

    def domain(self, name: str) -> Domain:
        """Return the managed domain `name`. Raise `NotManaged` if it was never added or is deleted.

        The error says whose certificate has `name`, if one has it.
        """

    def find(self, name: str) -> Domain | None:
        """Return the domain `name`, deleted or not, or None if it was never added."""

    def holders(self, names: Sequence[str]) -> dict[str, str]:
        """Return those of `names` that are other names (SANs) of a managed domain, each with that domain, the first by name."""

    # Iterators read some hundred domains at a time and hold no transaction open, so they block no other process. The call
    # fixes which domains and their order. Each is then read when its turn comes, and skipped if it no longer matches.

    def listing(self, query: Query, now: datetime, *, measure_names: bool = False) -> Listing:
        """Return summaries of the domains that match `query`, with statuses as of `now`.

        The length of the longest name is 0 without `measure_names`: it takes as long as to find the domains.
        """

    def domains(self, query: Query, now: datetime) -> Iterator[Domain]:
        """Yield the domains that match `query`, with statuses as of `now`."""

    def domains_named(self, names: Sequence[str]) -> Iterator[Domain]:
        """Yield the domains `names`, deleted or not, in that order. Names that were never added are skipped."""

    def candidates(self, now: datetime, horizon: timedelta) -> Iterator[Domain]:
        """Yield at least every domain for which `schedule.due` may have work, soonest expiry first.

        `horizon` is the longest time before expiry at which a renewal can fall due.
        """

    def interrupted(self) -> list[Domain]:
        """Return c4 domains with an open order and no finding: their pass was interrupted."""

    def count_managed(self) -> int:
        """Return the number of managed domains. It costs much less than `count_by_status`."""

    def count_by_status(self, now: datetime, query: Query = EVERYTHING) -> dict[Status, int]:
        """Return the number of domains by status as of `now`, of those that match `query`; limit and offset do not count.

        Statuses without a domain are left out.
        """

    def count_by_codes(self, now: datetime, query: Query = EVERYTHING) -> dict[Codes, int]:
        """Return the number of domains by status and codes as of `now`, of those that match `query`.

        Limit and offset do not count. The numbers by status, by owner and by reason follow from these.
        """

    def add_domain(
        self, name: str, sans: tuple[str, ...], source: Source, wanted: Certificate | None = None
    ) -> Domain:
        """Record `name` as new, or as managed again after a deletion. Its finding is `QUEUED`.

        `wanted` is an earlier version that is to be served again. Raise `Busy` if the domain is managed already.
        """

    def add_domains(self, names: Sequence[str]) -> list[str]:
        """Bulk insert those of `names` that were never added, with source c4 and no other names; return the rest, in order.

        A few thousand are committed at a time, so that other processes do not wait long. After an error, the
        batches before it stay recorded.
        """

    def update_domain(self, domain: Domain, sans: tuple[str, ...], source: Source) -> Domain:
        """Change the other names and the source of a managed domain, and queue it."""

    def record_finding(self, domain: Domain, finding: Finding | None) -> Domain:
        """Record the result of a pass over `domain`; None means healthy. An event is written if the result changed."""

    def record_result(self, domain: Domain, result: PassResult, *, observed: bool = False) -> Domain:
        """Record all that is known of `domain` after a pass. An event is written for each part that changed.

        With `observed`, C4's record was read in the pass.
        """

    def record_dns_check(self, domain: Domain, result: PassResult) -> Domain:
        """Record that DNS, CAA and ports of `domain` were checked now, and what is known since."""

    def record_observation(self, domain: Domain, foreign: Installed | None) -> Domain:
        """Record that C4's record was read now, and what C4 has instead of our certificate (None: nothing else).

        Consent to replace a text certificate ends if C4 does not have that one any more.
        """

    def adopt_certificate(self, domain: Domain, installed: Installed) -> Domain:
        """Record that `installed`, whose key is not stored, is the domain's text certificate from now on."""

    def confirm_observations(self, names: Sequence[str], at: datetime) -> None:
        """Bulk record that C4's records of `names` were read at `at`, and are as they were known."""

    def record_customers(self, customers: Mapping[str, str]) -> None:
        """Bulk record the customers that C4 named, by domain. Nothing else of a domain changes, its revision included."""

    def customers(self) -> dict[str, str]:
        """Return the customer of each managed domain that has one: that of C4, otherwise the one that a person recorded."""

    def assignees(self) -> list[str]:
        """Return who takes care of managed domains, each once, sorted."""

    def record_choice(self, domain: Domain, choice: CertificateChoice) -> Domain:
        """Record what a person chose for the next orders of `domain`, with an event of the old and the new choice.

        The revision stays. Raise `Busy` if the domain was deleted meanwhile, or its choice changed.
        """

    def record_remarks(self, domain: Domain, remarks: Remarks) -> Domain:
        """Record what a person wrote about `domain`. An event with the old and the new value is written for each change.

        The revision stays, so a pass over the domain is not disturbed. Raise `Busy` if the domain was deleted meanwhile, or
        another process changed one of the values that change.
        """

    def forget_customer(self, domain: Domain) -> None:
        """Forget the customer that C4 named for `domain`, with an event. The revision stays, as in `record_remarks`.

        Raise `Busy` if the domain was deleted meanwhile, or if C4 named another one.
        """

    def snoozed(self) -> list[Domain]:
        """Return the managed domains with a snooze, in force or not, by name."""

    def forget_text_consents(self) -> None:
        """Forget every consent to replace a text certificate."""

    def record_text_consent(self, domain: Domain, fingerprint: str) -> Domain:
        """Record that a person agreed to replace the text certificate `fingerprint`, as long as C4 has it."""

    def confirm_dns_checks(self, names: Sequence[str], at: datetime) -> None:
        """Bulk record that DNS, CAA and ports of `names` were checked at `at`, and nothing changed."""

    def suspected(self, since: datetime | None) -> list[Domain]:
        """Return the domains with a suspicion, by name; with `since`, those that was heard then or later."""

    def count_findings(self, code: Code, since: datetime | None = None) -> int:
        """Return the number of managed domains with a certificate that have the finding `code`; with `since`, since then."""

    def count_new_findings(self, code: Code, since: datetime) -> int:
        """Return the number of managed domains with a certificate that have the finding `code`, and got it at `since` or later.

        Findings that are repeated daily are not new. The history is only read as far back as a day goes in most fleets.
        """

    def count_cautions(self, code: Code, since: datetime) -> int:
        """Return the number of managed domains that have had the stored warning `code` since `since` or later."""

    def count_checked(self, since: datetime) -> int:
        """Return the number of managed domains whose last pass ended at `since` or later."""

    def unwell_since(self, since: datetime) -> list[Domain]:
        """Return the managed domains whose last pass ended at `since` or later and left something that may be trouble, by name."""

    def count_dns_checks(self, since: datetime) -> int:
        """Return the number of managed domains whose DNS, CAA and ports were checked at `since` or later."""

    def least_observed(self, before: datetime, limit: int) -> Iterator[Domain]:
        """Yield at most `limit` domains whose C4 record was last read before `before` or never, the oldest first.

        A time in the future counts as never: the clock was ahead. A domain that is retried within a day is left out: its pass
        reads the record.
        """

    def dns_checks_due(
        self, now: datetime, every: timedelta, margin: timedelta, limit: int
    ) -> Iterator[Domain]:
        """Yield domains of source c4 that are well and served, and whose DNS is to be checked, the oldest check first.

        At most `limit` were last checked longer than `every` ago, or longer than a day ago if they have a warning. Others
        were not checked since `margin` before the expiry of the served certificate, and that time has come.
        """

    def new_domains_to_look_at(self, now: datetime, limit: int) -> list[Domain]:
        """Return at most `limit` domains for which `onboarding.is_look_due` holds, the oldest look first."""

    def record_look(self, domain: Domain, result: PassResult) -> Domain:
        """Record that DNS of a new domain was looked at now, and what is known since.

        An event is written only if the code of the finding changed: addresses in an answer may change all the time.
        """

    def delete_domain(self, domain: Domain) -> Domain:
        """Stop managing `domain`, and forget its remarks. Its history stays."""
