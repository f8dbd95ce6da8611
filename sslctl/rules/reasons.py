"""The one table of reasons: why a domain is not well, who must act, and what comes next.

docs/reasons.md is generated from this table. Codes are part of the JSON: add, never rename.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The CDN's six words for the state of a domain; declared in order of precedence, worst first."""

    DISCARD = "Discard"
    EMERGENCY = "Emergency"
    EXPIRED = "Expired"
    FAILURE = "Failure"
    PENDING = "Pending"
    SUCCESS = "Success"

    @property
    def rank(self) -> int:
        """Place in the order of precedence; 0 outranks all others."""
        return list(Status).index(self)


class Owner(StrEnum):
    """Who must act for a domain to get on."""

    CUSTOMER = "customer"
    CDN = "cdn"
    CA = "ca"
    C4 = "c4"
    OPERATOR = "operator"


class Code(StrEnum):
    """Stable reason codes."""

    CNAME_MISSING = "CNAME_MISSING"
    CNAME_ELSEWHERE = "CNAME_ELSEWHERE"
    NXDOMAIN = "NXDOMAIN"
    TARGET_MISSING = "TARGET_MISSING"
    AAAA_ELSEWHERE = "AAAA_ELSEWHERE"
    CAA_FORBIDS = "CAA_FORBIDS"
    PORT_80_CLOSED = "PORT_80_CLOSED"
    PORT_443_CLOSED = "PORT_443_CLOSED"
    PORTS_NOT_ENABLED = "PORTS_NOT_ENABLED"
    CHALLENGE_FAILED = "CHALLENGE_FAILED"
    NAME_REFUSED = "NAME_REFUSED"
    QUEUED = "QUEUED"
    CA_VALIDATING = "CA_VALIDATING"
    CA_RATE_LIMITED = "CA_RATE_LIMITED"
    CA_UNAVAILABLE = "CA_UNAVAILABLE"
    CA_REFUSED = "CA_REFUSED"
    ISSUER_FAILED = "ISSUER_FAILED"
    CLOCK_WRONG = "CLOCK_WRONG"
    BUDGET_HELD = "BUDGET_HELD"
    DNS_UNANSWERED = "DNS_UNANSWERED"
    C4_UNANSWERED = "C4_UNANSWERED"
    C4_TOKEN_REFUSED = "C4_TOKEN_REFUSED"  # noqa: S105 - a code, not a token
    C4_ACTIVATING = "C4_ACTIVATING"
    C4_UNKNOWN_DOMAIN = "C4_UNKNOWN_DOMAIN"
    CERT_EXPIRED = "CERT_EXPIRED"
    C4_UPLOAD_FAILED = "C4_UPLOAD_FAILED"
    C4_REJECTED = "C4_REJECTED"
    C4_UNAUTHORIZED = "C4_UNAUTHORIZED"
    C4_MISMATCH = "C4_MISMATCH"


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table.

    `sentence` is a template over `{found}` and `{wanted}`; `next_step` is what its owner does. A sentence that
    has no `{wanted}` needs none.
    """

    status: Status
    owner: Owner
    sentence: str
    next_step: str

    def explain(self, found: str, wanted: str) -> str:
        """Give the sentence with what was found and what was wanted (both already cleaned) filled in."""
        return self.sentence.format(
            found=found.rstrip(".") or "nothing", wanted=wanted.rstrip(".") or "nothing"
        )


_FAILURE, _PENDING, _EMERGENCY = Status.FAILURE, Status.PENDING, Status.EMERGENCY

REASONS: dict[Code, Reason] = {
    Code.CNAME_MISSING: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "There is no CNAME to the CDN: found {found}, wanted {wanted}.",
        "The customer sets the CNAME, or for an apex the CDN's addresses.",
    ),
    Code.CNAME_ELSEWHERE: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The CNAME leads elsewhere: found {found}, wanted {wanted}.",
        "The customer changes the CNAME.",
    ),
    Code.NXDOMAIN: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The name does not exist in DNS: found {found}, wanted {wanted}.",
        "The customer creates the DNS record.",
    ),
    Code.TARGET_MISSING: Reason(
        _FAILURE,
        Owner.CDN,
        "The domain points at the CDN, whose own name has no address: found {found}, wanted {wanted}.",
        "The CDN publishes an address for the target.",
    ),
    Code.AAAA_ELSEWHERE: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The IPv6 address is not the CDN's, and the CA prefers IPv6: found {found}, wanted {wanted}.",
        "The customer removes the AAAA record, or points it at the CDN.",
    ),
    Code.CAA_FORBIDS: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "A CAA record forbids the CA to issue: found {found}, wanted {wanted}.",
        "The customer allows the CA in the CAA record, or removes it.",
    ),
    Code.PORT_80_CLOSED: Reason(
        _FAILURE,
        Owner.CDN,
        "Port 80 does not answer, so the HTTP challenge cannot be read: found {found}, wanted {wanted}.",
        "The CDN opens port 80 for the domain.",
    ),
    Code.PORT_443_CLOSED: Reason(
        _FAILURE,
        Owner.CDN,
        "Port 443 does not answer, so a certificate would be of no use: found {found}, wanted {wanted}.",
        "The CDN opens port 443 for the domain.",
    ),
    Code.PORTS_NOT_ENABLED: Reason(
        _FAILURE,
        Owner.CUSTOMER,
        "The domain does not use both port 80 and port 443 on the CDN: found {found}, wanted {wanted}.",
        "The customer enables both ports for the domain on the CDN.",
    ),
    Code.CHALLENGE_FAILED: Reason(
        _FAILURE,
        Owner.CDN,
        "The CA could not validate the HTTP challenge: found {found}, wanted {wanted}.",
        "The CDN sees to it that /.well-known/acme-challenge/ reaches sslctl's webroot or port.",
    ),
    Code.NAME_REFUSED: Reason(
        _FAILURE,
        Owner.CA,
        "The CA does not issue for this name: it said {found}.",
        "The CA says why; until then the customer uses another name.",
    ),
    Code.QUEUED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "Recorded; nothing has been tried yet.",
        "The next tick takes it up, or `sslctl recheck` at once.",
    ),
    Code.CA_VALIDATING: Reason(
        _PENDING,
        Owner.CA,
        "The CA has not decided yet: found {found}.",
        "The next tick looks at the same order again.",
    ),
    Code.CA_RATE_LIMITED: Reason(
        _PENDING,
        Owner.CA,
        "The CA's rate limit is reached: it said {found}.",
        "The tick tries again when the CA allows it.",
    ),
    Code.CA_UNAVAILABLE: Reason(
        _PENDING,
        Owner.CA,
        "The CA could not be asked: {found}.",
        "The next tick tries again.",
    ),
    Code.CA_REFUSED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "The CA refused the request itself, not the name: it said {found}.",
        "The operator checks the account, the e-mail address and the profile.",
    ),
    Code.ISSUER_FAILED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "certbot did not run to its end: {found}.",
        "The operator mends what it names; the next tick tries again.",
    ),
    Code.CLOCK_WRONG: Reason(
        _PENDING,
        Owner.OPERATOR,
        "By this machine's clock the certificate just issued cannot be used: it is {found} here, wanted {wanted}.",
        "The operator sets the clock; the next tick collects the same certificate, without a new order.",
    ),
    Code.BUDGET_HELD: Reason(
        _PENDING,
        Owner.OPERATOR,
        "Held back, since the CA would not take it now: {found}.",
        "The tick orders when the time has come; nobody needs to act.",
    ),
    Code.DNS_UNANSWERED: Reason(
        _PENDING,
        Owner.CUSTOMER,
        "DNS could not be asked: {found}.",
        "The next tick asks again; if it lasts, the customer's name servers are at fault.",
    ),
    Code.C4_UNANSWERED: Reason(
        _PENDING,
        Owner.C4,
        "C4 could not be asked: {found}.",
        "The next tick asks again.",
    ),
    Code.C4_TOKEN_REFUSED: Reason(
        _PENDING,
        Owner.OPERATOR,
        "C4 refused our token, so nothing is known about the domain: {found}.",
        "The operator puts a valid token into c4.token_file.",
    ),
    Code.C4_ACTIVATING: Reason(
        _PENDING,
        Owner.C4,
        "C4 has the certificate and is still activating it: {found}.",
        "The next tick reads it back.",
    ),
    Code.C4_UNKNOWN_DOMAIN: Reason(
        Status.DISCARD,
        Owner.OPERATOR,
        "C4 has no such domain.",
        "The operator deletes it here, or creates it in C4 and rechecks.",
    ),
    Code.CERT_EXPIRED: Reason(
        Status.EXPIRED,
        Owner.OPERATOR,
        "The certificate expired: {found}.",
        "The tick renews a certificate of source c4; one of source text must be replaced by hand.",
    ),
    Code.C4_UPLOAD_FAILED: Reason(
        _EMERGENCY,
        Owner.C4,
        "The certificate is issued, but C4 did not take it: {found}.",
        "The next tick uploads the same certificate again; no new order is spent.",
    ),
    Code.C4_REJECTED: Reason(
        _EMERGENCY,
        Owner.C4,
        "The certificate is issued, but C4 refused it: {found}.",
        "C4's people say why it refuses this pair; every tick uploads it again.",
    ),
    Code.C4_UNAUTHORIZED: Reason(
        _EMERGENCY,
        Owner.OPERATOR,
        "The certificate is issued, but C4 refused our token for the upload: {found}.",
        "The operator puts a valid token into c4.token_file.",
    ),
    Code.C4_MISMATCH: Reason(
        _EMERGENCY,
        Owner.C4,
        "After the upload C4 holds another certificate: found {found}, wanted {wanted}.",
        "The next tick uploads again; if it lasts, someone else writes to C4.",
    ),
}


def codes_of(status: Status) -> list[Code]:
    """Give every code that stands for `status`, in the table's order."""
    return [code for code, reason in REASONS.items() if reason.status is status]
