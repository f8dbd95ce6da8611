"""The immutable values of sslctl: domains, certificates, orders, findings and events.

Every `datetime` is aware and in UTC. Every name is a lower-case A-label without a trailing dot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sslctl.rules.certificate_choice import AS_CONFIGURED, CertificateChoice
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.reasons import REASONS, Code, Owner, Reason, Status
from sslctl.rules.remarks import NO_REMARKS, Remarks


class Source(StrEnum):
    """The source of a certificate: issued by the CA through sslctl (`c4`), or a pasted PEM pair (`text`)."""

    C4 = "c4"
    TEXT = "text"


class State(StrEnum):
    """How far the control plane is with a certificate that it accepted."""

    ACTIVATING = "activating"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Installed:
    """The certificate that the control plane has for a domain, without its key.

    `fingerprint` is the SHA-256 of the DER encoding in lower-case hexadecimal.
    """

    source: Source
    fingerprint: str
    not_after: datetime
    state: State


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate with its chain and key, as PEM text. No repr shows the key. A destroyed key is empty.

    `ca` is that of `Certificate`.
    """

    certificate: str
    chain: str
    private_key: str = field(repr=False)
    ca: str = ""

    @property
    def fullchain(self) -> str:
        """The leaf, then the chain, as a TLS server sends them."""
        return self.certificate + self.chain


@dataclass(frozen=True, slots=True)
class Leaf:
    """The fields of a leaf certificate, read from its PEM text.

    `fingerprint` is the SHA-256 of the DER encoding and `serial` the serial number, both in lower-case hexadecimal.
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
    """The CA's last renewal information for a certificate (ARI, RFC 9773, section 4.2).

    The suggested window is `start_at` to `end_at`. `renew_at` is a random time in it, and is kept until the window changes.
    `poll_at` is the time of the next query. `explanation_url` is the CA's, cleaned, or empty.
    """

    start_at: datetime
    end_at: datetime
    renew_at: datetime
    poll_at: datetime
    explanation_url: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A stored version of a domain's certificate. Its key and PEM text are read separately, as a `Bundle`.

    `ca` is the URL of the directory of the CA that issued it on an order of ours, empty if it is not known.
    """

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
    ca: str = ""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the leaf."""
        return self.leaf.fingerprint

    @property
    def not_after(self) -> datetime:
        """The expiry date of the leaf."""
        return self.leaf.not_after


@dataclass(frozen=True, slots=True)
class Order:
    """An order for one certificate. It exists from the creation of its key; `url` is set when the CA has accepted it.

    `profile` and `preferred_chain` are those that were chosen for it, None for what is configured (`CertificateChoice`). `ca` is
    the URL of the directory of its CA, empty for the first CA.
    """

    id: int
    domain_id: int
    names: tuple[str, ...]
    csr_pem: str
    opened_at: datetime
    url: str | None = None
    profile: str | None = None
    preferred_chain: str | None = None
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the last pass over a domain did not succeed.

    `retry_at` is the time of the next try, or None if a person must act first. `tries` counts the passes in a row that
    failed with a code that backs off (`schedule.retry_at`), including this pass. `records` are the DNS records that cure it.
    """

    code: Code
    found: str
    wanted: str
    at: datetime
    retry_at: datetime | None
    tries: int = 1
    records: tuple[DnsRecord, ...] = ()

    @property
    def reason(self) -> Reason:
        """The row of the table of reasons for `code`."""
        return REASONS[self.code]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The step of a pass that did not answer since `since`, so that what was known before could not be confirmed.

    `code` and `found` are the reason. `retry_at` and `tries` are as in `Finding`.
    """

    code: Code
    found: str
    since: datetime
    retry_at: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A bad answer of a shared party (C4, DNS) about a domain that is served; it is not believed yet.

    It was first given at `since` and last at `at`. `issuance.suspicions` decides when it becomes a finding or a warning.
    `records` are as in `Finding`.
    """

    code: Code
    found: str
    wanted: str
    since: datetime
    at: datetime
    records: tuple[DnsRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Caution:
    """A stored warning: DNS, CAA or the ports would fail an order, but what is served is valid and not due yet.

    `records` are as in `Finding`.
    """

    code: Code
    found: str
    wanted: str
    since: datetime
    records: tuple[DnsRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class PassResult:
    """What is known of a domain after a pass. `finding` is None if the domain is well."""

    finding: Finding | None = None
    unconfirmed: Unconfirmed | None = None
    suspicion: Suspicion | None = None
    caution: Caution | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A managed domain with its current facts; `status.derive_status` derives its status from them.

    `wanted` is the certificate that belongs on the edge. `serving` is the one of ours that C4 served when last checked.
    They differ while an upload is missing. `foreign` is what C4 has instead of ours; then `serving` is None.
    `finding` is None if the last pass succeeded or no pass was made (`checked_at` is None).

    `observed_at` is when C4's record was last read, `dns_checked_at` when DNS, CAA and ports were last good or bad, or when DNS of a
    new domain was last looked at.
    `text_consent` is the fingerprint of the text certificate that a person agreed to replace; empty without consent, and as
    soon as C4 does not have that one any more. `c4_customer` is the customer that C4 last named, empty if it never named one.
    `before_cutover_since` is since when a certificate is wanted although DNS points elsewhere (`issuance.order_checks`); None if it is not.
    `revision` counts the changes, for compare-and-set; `remarks`, `choice`, `c4_customer` and `before_cutover_since` change without it.
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
    foreign: Installed | None = None
    unconfirmed: Unconfirmed | None = None
    suspicion: Suspicion | None = None
    caution: Caution | None = None
    observed_at: datetime | None = None
    dns_checked_at: datetime | None = None
    text_consent: str = ""
    revision: int = 0
    c4_customer: str = ""
    remarks: Remarks = NO_REMARKS
    choice: CertificateChoice = AS_CONFIGURED
    before_cutover_since: datetime | None = None

    @property
    def customer(self) -> str:
        """The customer that a person recorded, otherwise the one that C4 named; empty without one."""
        return self.remarks.customer or self.c4_customer

    @property
    def result(self) -> PassResult:
        """What was known after the last pass."""
        return PassResult(self.finding, self.unconfirmed, self.suspicion, self.caution)

    @property
    def in_service(self) -> Certificate | Installed | None:
        """The certificate that C4 had when its record was last read, ours or not."""
        return self.foreign or self.serving

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the certificate must have, the domain itself first."""
        return (self.name, *self.sans)


class CertificateSummary(NamedTuple):
    """The part of a `Certificate` that a list of domains shows."""

    version: int
    source: Source
    fingerprint: str
    not_after: datetime


class DomainSummary(NamedTuple):
    """The part of a `Domain` that a list of domains shows. It is enough to derive the status, and is read in half the time."""

    name: str
    sans: tuple[str, ...]
    source: Source
    created_at: datetime
    deleted_at: datetime | None
    checked_at: datetime | None
    finding: Finding | None
    wanted: CertificateSummary | None
    serving: CertificateSummary | None
    foreign: Installed | None
    unconfirmed: Unconfirmed | None
    suspicion: Suspicion | None
    caution: Caution | None
    observed_at: datetime | None
    c4_customer: str = ""
    remarks: Remarks = NO_REMARKS

    @property
    def customer(self) -> str:
        """The customer that a person recorded, otherwise the one that C4 named; empty without one."""
        return self.remarks.customer or self.c4_customer

    @property
    def in_service(self) -> CertificateSummary | Installed | None:
        """The certificate that C4 had when its record was last read, ours or not."""
        return self.foreign or self.serving


@dataclass(frozen=True, slots=True)
class Verdict:
    """A derived status with its reason. For Success `code` is None.

    For an Expired domain `also` is the finding that keeps the renewal from succeeding, if there is one. `owner`,
    `next_step`, `retry_at`, `link` and `records` are then those of `also`, because it must be solved first. `link` is a URL
    of the CA that a person must open, empty if there is none. `records` are as in `Finding`.
    """

    status: Status
    code: Code | None = None
    sentence: str = ""
    owner: Owner | None = None
    next_step: str = ""
    retry_at: datetime | None = None
    also: Finding | None = None
    link: str = ""
    records: tuple[DnsRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class MaintenancePause:
    """A pause of all orders and of all changes on C4, which an operator set.

    `actor` set it at `at`. It lasts until `until`; `reason` is cleaned text, never empty.
    """

    at: datetime
    until: datetime
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Event:
    """An entry in the history: who did what, and when. `domain_id` is None if it concerns no single domain."""

    id: int
    domain_id: int | None
    at: datetime
    actor: str
    kind: str
    detail: str
    version: int | None = None


class Milestone(StrEnum):
    """An action on the whole state whose last time is recorded."""

    TICK = "tick"
    TICK_ENDED = "tick ended"
    GOOD_TICK = "good tick"
    KEYS_ROTATED = "keys rotated"
    KEYS_PRUNED = "keys pruned"
    BACKED_UP = "backed up"
    RESTORED = "restored"
    CLAIM_BROKEN = "claim broken"
    PAUSE_LIFTED = "pause lifted"
    CHECKED = "checked for damage"
    DAMAGE_SEARCH = "damage search"
    INVENTORY = "inventory compared"


class Life(StrEnum):
    """Whether the owner of a claim lives."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Process:
    """The process that holds a claim. Owners written by earlier releases have no `since`, `boot` and `pid_namespace`."""

    host: str
    pid: int
    since: datetime | None
    boot: str = ""
    pid_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: its name, its owner, when it should have ended at the latest, and whether the owner lives."""

    name: str
    owner: Process
    until: datetime
    life: Life

    @property
    def is_valid(self) -> bool:
        """Whether the claim keeps other processes out."""
        return self.life is not Life.DEAD


@dataclass(frozen=True, slots=True)
class Mark:
    """The last time of a milestone, its actor, the result in words, and how long it took in seconds; None if that is unknown."""

    at: datetime
    actor: str
    detail: str
    seconds: float | None = None
