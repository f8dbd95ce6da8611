"""What a pass that failed changes about a domain: a pure function of its facts, the problem and `now`.

A pass goes through steps (`Step`). A step that did not answer never means "no": it keeps what an earlier pass found at the
same step or a later one. A bad answer of a shared party about a domain that is served is a suspicion first. Trouble that
would only prevent a renewal that is not due yet is a warning (`Caution`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

from sslctl.rules import schedule
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Caution, Domain, Finding, PassResult, Suspicion, Unconfirmed
from sslctl.rules.reasons import FINDINGS, Code, Status
from sslctl.rules.versions import is_expired

# C4 does not know a served domain: believed when a second tick hears the same so much later.
DISCARD_AFTER = timedelta(minutes=50)


class Step(IntEnum):
    """The steps of a pass, in their order."""

    QUEUE = 0
    C4_RECORD = 1
    PORTS = 2
    DNS = 3
    CAA = 4
    PROBE = 5
    CA = 6
    UPLOAD = 7
    READ_BACK = 8


_STEPS = {
    Code.QUEUED: Step.QUEUE,
    Code.C4_UNANSWERED: Step.C4_RECORD,
    Code.C4_TOKEN_REFUSED: Step.C4_RECORD,
    Code.C4_UNKNOWN_DOMAIN: Step.C4_RECORD,
    Code.C4_LOST: Step.C4_RECORD,
    Code.OTHER_CERTIFICATE: Step.C4_RECORD,
    Code.OTHER_EXPIRED: Step.C4_RECORD,
    Code.FOREIGN_TEXT: Step.C4_RECORD,
    Code.TEXT_MISSING: Step.C4_RECORD,
    Code.PORTS_NOT_ENABLED: Step.PORTS,
    Code.CNAME_MISSING: Step.DNS,
    Code.CNAME_ELSEWHERE: Step.DNS,
    Code.NXDOMAIN: Step.DNS,
    Code.TARGET_MISSING: Step.DNS,
    Code.AAAA_ELSEWHERE: Step.DNS,
    Code.DNS_UNANSWERED: Step.DNS,
    Code.TARGET_UNANSWERED: Step.DNS,
    Code.RESOLVERS_DISAGREE: Step.DNS,
    Code.DNSSEC_BOGUS: Step.DNS,
    Code.ADDRESS_UNANSWERED: Step.DNS,
    Code.TARGET_ADDRESS_UNANSWERED: Step.DNS,
    Code.SUFFIX_UNKNOWN: Step.DNS,
    Code.BEFORE_CUTOVER: Step.DNS,
    Code.CUTOVER_LATE: Step.DNS,
    Code.CAA_FORBIDS: Step.CAA,
    Code.TARGET_CAA_FORBIDS: Step.CAA,
    Code.PORT_80_CLOSED: Step.PROBE,
    Code.PORT_443_CLOSED: Step.PROBE,
    Code.CHALLENGE_UNREACHABLE: Step.PROBE,
    Code.EDGE_THUMBPRINT: Step.PROBE,
    Code.CERT_WORSE: Step.UPLOAD,
    Code.PAIR_WORSE: Step.UPLOAD,
    Code.KEY_COMPROMISED: Step.UPLOAD,
    Code.C4_UPLOAD_FAILED: Step.UPLOAD,
    Code.C4_REJECTED: Step.UPLOAD,
    Code.C4_UNAUTHORIZED: Step.UPLOAD,
    Code.C4_CHANGED: Step.UPLOAD,
    Code.NOTHING_INSTALLED: Step.UPLOAD,
    Code.UPLOAD_PAUSED: Step.UPLOAD,
    Code.C4_MISMATCH: Step.READ_BACK,
    Code.C4_ACTIVATING: Step.READ_BACK,
}
UNANSWERED = frozenset(
    {
        Code.C4_UNANSWERED,
        Code.C4_TOKEN_REFUSED,
        Code.DNS_UNANSWERED,
        Code.TARGET_UNANSWERED,
        Code.RESOLVERS_DISAGREE,
        Code.CA_UNAVAILABLE,
        Code.CA_RATE_LIMITED,
        # Nobody was asked.
        Code.MAINTENANCE,
    }
)
_UNANSWERED_BY_CA = (Code.CA_UNAVAILABLE, Code.CA_RATE_LIMITED)

CHECKED_AGAIN = (Code.C4_LOST, Code.OTHER_CERTIFICATE, Code.OTHER_EXPIRED)
"""The codes of suspicions about what C4 has installed: a second look or pass finds out."""

SUSPECTED = (
    *CHECKED_AGAIN,
    Code.C4_UNKNOWN_DOMAIN,
    *(
        code
        for code, step in _STEPS.items()
        if Step.PORTS <= step <= Step.PROBE and code in FINDINGS and code not in UNANSWERED
    ),
)
"""The codes that a suspicion can have."""


def step_of(code: Code) -> Step:
    """Return the step of a pass that ends with `code`. A code that is not of a certain step is the CA's."""
    return _STEPS.get(code, Step.CA)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pass ended: the reason, and the step at which it ended.

    `retry_after` is the earliest retry (UTC) that C4 or the CA asked for. `step` is that of `code` unless it is given.
    `is_served` is whether the pass had verified what C4 serves, so that all that is left of it was a check ahead of time.
    `records` are the DNS records that cure it.
    """

    code: Code
    found: str = ""
    wanted: str = ""
    retry_after: datetime | None = None
    step: Step | None = None
    is_served: bool = False
    records: tuple[DnsRecord, ...] = ()

    @property
    def at_step(self) -> Step:
        """The step at which the pass ended."""
        return step_of(self.code) if self.step is None else self.step


def conclude_pass(
    domain: Domain,
    problem: Problem | None,
    now: datetime,
    *,
    is_due: bool,
    is_dns_good: bool,
    warning: Problem | None = None,
) -> PassResult:
    """Return what is known of `domain` after a pass that ended with `problem` at `now`; None means that it succeeded.

    `is_due` is whether the domain needs a new certificate now, `is_dns_good` whether the pass found its DNS good. A pass
    that verified only what C4 serves leaves what is known about DNS as it is. `warning` is what the check of DNS noticed that
    prevents no order.
    """
    if warning is not None:
        result = conclude_pass(domain, problem, now, is_due=is_due, is_dns_good=is_dns_good)
        return replace(result, caution=_caution(domain, warning, now))
    if problem is None and is_dns_good:
        return PassResult()
    if problem is None:
        return PassResult(suspicion=_about_dns(domain.suspicion), caution=domain.caution)
    if problem.is_served:
        verified = conclude_pass(domain, None, now, is_due=is_due, is_dns_good=False)
        domain = replace(
            domain, finding=None, unconfirmed=None, suspicion=verified.suspicion, caution=verified.caution
        )
    before = _without_passed(domain, problem.at_step)
    if _keeps_what_is_known(domain, problem):
        return _unconfirmed(domain, before, problem, now)
    if is_suspicious(domain, problem.code, now, is_due=is_due):
        return PassResult(before.finding, None, suspect(domain, problem, now), before.caution)
    if _is_early(domain, problem, now, is_due=is_due):
        return PassResult(before.finding, None, before.suspicion, _caution(domain, problem, now))
    return PassResult(_finding(domain, problem, now), None, before.suspicion, None)


def conclude_suspicion(domain: Domain, now: datetime, *, is_due: bool, accepted: bool = False) -> PassResult:
    """Return what is known of `domain` if its suspicion is to be believed; a served domain is Discard only at the second time.

    With `accepted` a person looked, and it is believed at once.
    """
    suspicion = domain.suspicion
    if suspicion is None or suspicion.code in CHECKED_AGAIN:
        return domain.result
    is_young = now - suspicion.since < DISCARD_AFTER
    if suspicion.code is Code.C4_UNKNOWN_DOMAIN and is_young and not accepted:
        return domain.result
    problem = Problem(suspicion.code, suspicion.found, suspicion.wanted, records=suspicion.records)
    if _is_early(domain, problem, now, is_due=is_due):
        return PassResult(domain.finding, domain.unconfirmed, None, _caution(domain, problem, now))
    return PassResult(_finding(domain, problem, now))


def conclude_dns_check(domain: Domain, problem: Problem | None, now: datetime) -> PassResult:
    """Return what is known of `domain`, which is not due, after a check of its ports, DNS and CAA.

    `problem` may be of a code that is of warnings only: then an order would succeed.
    """
    if problem is not None and problem.code not in FINDINGS:
        return replace(conclude_dns_check(domain, None, now), caution=_caution(domain, problem, now))
    if problem is None:
        about_c4 = None if _about_dns(domain.suspicion) else domain.suspicion
        return PassResult(domain.finding, domain.unconfirmed, about_c4)
    if problem.code in UNANSWERED:
        return domain.result
    if is_suspicious(domain, problem.code, now, is_due=False):
        return PassResult(domain.finding, domain.unconfirmed, suspect(domain, problem, now), domain.caution)
    return PassResult(domain.finding, domain.unconfirmed, domain.suspicion, _caution(domain, problem, now))


def is_suspicious(domain: Domain, code: Code, now: datetime, *, is_due: bool) -> bool:
    """Return whether `code` about `domain` is only a suspicion: a shared party may be wrong about all domains.

    The domain must be served, with a certificate that is valid, or have been served if C4 does not know the domain; and the
    answer must be news. A warning is none, but once the renewal is due it would become a finding.
    """
    if domain.finding is not None and domain.finding.code is code:
        return False
    if domain.caution is not None and domain.caution.code is code and not is_due:
        return False
    if code is Code.C4_UNKNOWN_DOMAIN:
        return _was_served(domain)
    if code is Code.OTHER_EXPIRED:
        return domain.foreign is not None
    return _is_served(domain, now) and code in SUSPECTED


def _was_served(domain: Domain) -> bool:
    """Return whether C4 has a certificate of `domain`, or had ours; after a restore it is not known what C4 has."""
    wanted = domain.wanted
    return domain.in_service is not None or (wanted is not None and wanted.verified_at is not None)


def _is_served(domain: Domain, now: datetime) -> bool:
    """Return whether a valid certificate is in service, ours or not."""
    current = domain.in_service
    return current is not None and not is_expired(current, now)


def _is_before_order(step: Step) -> bool:
    """Return whether `step` checks what an order needs: ports, DNS, CAA."""
    return Step.PORTS <= step <= Step.PROBE


def _without_passed(domain: Domain, step: Step) -> PassResult:
    """Return what is known without the findings, suspicions and warnings of steps before `step`, which were passed."""
    finding, suspicion, caution = domain.finding, domain.suspicion, domain.caution
    return PassResult(
        finding if finding is not None and step_of(finding.code) >= step else None,
        None,
        suspicion if suspicion is not None and step_of(suspicion.code) >= step else None,
        caution if caution is not None and step_of(caution.code) >= step else None,
    )


def _keeps_what_is_known(domain: Domain, problem: Problem) -> bool:
    """Return whether `problem` is "did not answer", and something is known that it does not contradict."""
    if problem.code not in UNANSWERED:
        return False
    finding = domain.finding
    is_over = finding is not None and (finding.code, problem.code) == (Code.UPLOAD_PAUSED, Code.MAINTENANCE)
    if (
        finding is not None
        and not is_over
        and finding.code not in UNANSWERED
        and step_of(finding.code) >= problem.at_step
    ):
        return True
    # Findings of steps that were passed are gone. Of a served domain it is known what is served, also after its expiry. Once
    # the CA is asked or an upload began, it is under way, unless all that the CA missed is an answer of DNS.
    step = step_of(problem.code) if problem.at_step is Step.CA else problem.at_step
    return domain.in_service is not None and step < Step.CA


def _unconfirmed(domain: Domain, before: PassResult, problem: Problem, now: datetime) -> PassResult:
    known = domain.unconfirmed
    tries = known.tries + 1 if known is not None else 1
    retry_at = schedule.retry_at(problem.code, now, problem.retry_after, tries)
    assert retry_at is not None  # noqa: S101 - only Discard has no retry
    since = now if known is None else known.since
    finding = before.finding
    if finding is not None and finding.code in UNANSWERED and step_of(finding.code) == problem.at_step:
        since, finding = min(since, finding.at), None
    is_held = problem.code is Code.MAINTENANCE
    if (
        finding is not None
        and finding.reason.status is Status.EMERGENCY
        and problem.retry_after is None
        and not is_held
    ):
        # C4 is the only one that is asked, and the edge waits for the upload: as often as always in Emergency.
        retry_at = _retry_at(domain, replace(problem, code=finding.code), now, finding.tries + tries) or now
    return PassResult(
        finding,
        Unconfirmed(problem.code, problem.found, since, retry_at, tries),
        before.suspicion,
        before.caution,
    )


def _is_early(domain: Domain, problem: Problem, now: datetime, *, is_due: bool) -> bool:
    """Return whether `problem` would prevent an order that is not due: what is served is valid."""
    return _is_served(domain, now) and not is_due and _is_before_order(problem.at_step)


def _finding(domain: Domain, problem: Problem, now: datetime) -> Finding:
    tries = schedule.count_tries(domain.finding, problem.code)
    if problem.code is Code.BUDGET_HELD and domain.unconfirmed is not None:
        # What the CA refused was tried, although the earlier finding stayed.
        tries += domain.unconfirmed.tries if domain.unconfirmed.code in _UNANSWERED_BY_CA else 0
    retry_at = _retry_at(domain, problem, now, tries)
    return Finding(problem.code, problem.found, problem.wanted, now, retry_at, tries, problem.records)


def _retry_at(domain: Domain, problem: Problem, now: datetime, tries: int) -> datetime | None:
    is_urgent = schedule.is_upload_urgent(domain, now)
    return schedule.retry_at(problem.code, now, problem.retry_after, tries, is_upload_urgent=is_urgent)


def suspect(domain: Domain, problem: Problem, now: datetime) -> Suspicion:
    """Return the suspicion that `problem` makes of `domain` at `now`. It began when the same one did."""
    since = _began_at(domain.suspicion, problem.code, now)
    return Suspicion(problem.code, problem.found, problem.wanted, since, now, problem.records)


def _caution(domain: Domain, problem: Problem, now: datetime) -> Caution:
    since = _began_at(domain.caution, problem.code, now)
    return Caution(problem.code, problem.found, problem.wanted, since, problem.records)


def _began_at(known: Suspicion | Caution | None, code: Code, now: datetime) -> datetime:
    """Return since when `code` is known; `now` if `known` is of another code."""
    return known.since if known is not None and known.code is code else now


def _about_dns(suspicion: Suspicion | None) -> Suspicion | None:
    """Return the suspicion if it is about ports, DNS or CAA; None if it is about C4's record, or if there is none."""
    return suspicion if suspicion is not None and step_of(suspicion.code) > Step.C4_RECORD else None


def is_discard(result: PassResult) -> bool:
    """Return whether the finding of `result` is Discard."""
    return result.finding is not None and result.finding.reason.status is Status.DISCARD
