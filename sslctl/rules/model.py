"""What sslctl knows: domains, certificates, orders, findings and events, as immutable values.

Every `datetime` here is aware and in UTC; every name is a lower-case A-label without a trailing dot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sslctl.rules.reasons import REASONS, Code, Owner, Reason, Status


class Source(StrEnum):
    """Where a certificate comes from: generated here by the CA (`c4`), or pasted by someone (`text`)."""

    C4 = "c4"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate with its chain and key, as PEM text. The key stays out of every repr; it is empty once destroyed."""

    certificate: str
    chain: str
    private_key: str = field(repr=False)

    @property
    def fullchain(self) -> str:
        """Leaf first, then the chain, as a TLS server sends it."""
        return self.certificate + self.chain


@dataclass(frozen=True, slots=True)
class Leaf:
    """The facts of one leaf certificate, read from its PEM.

    `fingerprint` is the SHA-256 of the DER form and `serial` the serial number, both in lower-case hex.
    """

    names: tuple[str, ...]
    fingerprint: str
    serial: str
    issuer: str
    key_type: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """What the CA last said of when a certificate should be renewed (ARI, RFC 9773, section 4.2).

    `renew_at` was picked at random in the window from `start_at` to `end_at`, and is kept until the window changes.
    `poll_at` is when the CA is asked again. `explanation_url` is the CA's, cleaned, empty where it gave none.
    """

    start_at: datetime
    end_at: datetime
    renew_at: datetime
    poll_at: datetime
    explanation_url: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One version of a domain's certificate, as stored. Key and PEM are fetched apart, as a `Bundle`."""

    id: int
    domain_id: int
    version: int
    source: Source
    leaf: Leaf
    issued_at: datetime
    uploaded_at: datetime | None = None
    verified_at: datetime | None = None
    replaced_at: datetime | None = None
    revoked_at: datetime | None = None
    renewal_info: RenewalInfo | None = None
    key_destroyed_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """That of its leaf."""
        return self.leaf.fingerprint

    @property
    def not_after(self) -> datetime:
        """That of its leaf."""
        return self.leaf.not_after


@dataclass(frozen=True, slots=True)
class Order:
    """An order for one certificate, from the moment its key exists. `url` is known once the CA has accepted it."""

    id: int
    domain_id: int
    names: tuple[str, ...]
    csr_pem: str
    opened_at: datetime
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the last pass over a domain did not end well.

    `retry_at` is when the tick takes it up again, None when that waits for a person. `tries` counts the passes in a
    row that ended in trouble which backs off (`schedule.retry_at`), this one included.
    """

    code: Code
    found: str
    wanted: str
    at: datetime
    retry_at: datetime | None
    tries: int = 1

    @property
    def reason(self) -> Reason:
        """The row of the table of reasons that this finding stands for."""
        return REASONS[self.code]


@dataclass(frozen=True, slots=True)
class Domain:
    """A managed domain and the facts of now; its status is derived by `status.derive_status`.

    `wanted` is the certificate that belongs on the edge, `serving` the one that C4 was last seen to serve. They
    differ while an upload is owed. `finding` is None when the last pass ended well, or none was made
    (`checked_at` is None). `revision` counts the changes, for compare-and-set.
    """

    id: int
    name: str
    sans: tuple[str, ...]
    source: Source
    created_at: datetime
    deleted_at: datetime | None = None
    checked_at: datetime | None = None
    finding: Finding | None = None
    wanted: Certificate | None = None
    serving: Certificate | None = None
    revision: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the certificate must carry, the domain itself first."""
        return (self.name, *self.sans)


class CertificateSummary(NamedTuple):
    """What a list of domains shows of a `Certificate`."""

    version: int
    source: Source
    fingerprint: str
    not_after: datetime


class DomainSummary(NamedTuple):
    """What a list of domains shows of a `Domain`: enough for its status, and read in half the time."""

    name: str
    sans: tuple[str, ...]
    source: Source
    created_at: datetime
    deleted_at: datetime | None
    checked_at: datetime | None
    finding: Finding | None
    wanted: CertificateSummary | None
    serving: CertificateSummary | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A derived status with its reason. For Success `code` is None.

    `also` is a finding that holds below an Expired certificate: why the renewal does not succeed. `owner`,
    `next_step` and `retry_at` speak of what must happen next, so they are those of `also` where it exists.
    """

    status: Status
    code: Code | None = None
    sentence: str = ""
    owner: Owner | None = None
    next_step: str = ""
    retry_at: datetime | None = None
    also: Finding | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """The last message that was to reach a person, and whether it did.

    It was made up at `at` (None: there was none yet), and told of `troubles`, domains with their statuses; of none
    where it said that all is well again. `missed` has the positions of the URLs that did not take it, none since
    `missed_since`, because of `why` (cleaned).
    """

    at: datetime | None = None
    troubles: frozenset[tuple[str, Status]] = frozenset()
    missed: tuple[int, ...] = ()
    missed_since: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a domain's history: who did what, when."""

    id: int
    domain_id: int
    at: datetime
    actor: str
    kind: str
    detail: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A place in the chain of all events: right after the event `id`, whose MAC (hex) covers all before it."""

    id: int
    mac: str

    def __str__(self) -> str:
        return f"{self.id}:{self.mac}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What a look at the whole chain of events found.

    `whole` events, from the first on, are as they were written; `head` is the last of them. `broken` says what comes
    next (cleaned), empty where nothing is amiss. The chain was begun at `begun_at`, over `inherited` events that were
    there already.
    """

    whole: int
    head: Head | None
    begun_at: datetime
    inherited: int
    broken: str = ""


class Milestone(StrEnum):
    """What concerns the whole state, and is of interest when it was last done."""

    TICK = "tick"
    KEYS_ROTATED = "keys rotated"
    KEYS_PRUNED = "keys pruned"
    BACKED_UP = "backed up"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Mark:
    """When a milestone was last reached, by whom, and what came of it, for people."""

    at: datetime
    actor: str
    detail: str
