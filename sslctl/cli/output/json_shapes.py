"""The JSON of every command, documented field by field in docs/json.md. Times are RFC 3339, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sslctl import text
from sslctl.rules.claim_names import describe
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.history_seal import HistoryCut, Seal
from sslctl.rules.limits import Pause
from sslctl.rules.model import (
    Certificate,
    CertificateSummary,
    Claim,
    Domain,
    DomainSummary,
    Event,
    MaintenancePause,
    Mark,
    RenewalInfo,
    Unconfirmed,
    Verdict,
)
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.reasons import REASONS
from sslctl.rules.renewal import Alert, Renewal
from sslctl.rules.snoozing import snoozed_until
from sslctl.rules.status import derive_status
from sslctl.rules.versions import SpareKey, days_left, is_expired, version_state
from sslctl.rules.warnings import DomainWarning, find_warnings

# Each command has the module of what it prints; the others need not be imported.
if TYPE_CHECKING:
    from sslctl.diagnosis import Diagnosis
    from sslctl.doctor import Check
    from sslctl.issuance.suspicions import Withheld
    from sslctl.rules.audit_chain import Audit
    from sslctl.rules.check_steps import StepResult
    from sslctl.rules.customer_message import CustomerMessage, LeftOut
    from sslctl.rules.maintenance_pause import Endangered

SCHEMA_VERSION = 1


def envelope(**fields: Any) -> dict[str, Any]:
    """Return the outermost object of the output."""
    return {"schema_version": SCHEMA_VERSION, **fields}


def instant(at: datetime | None) -> str | None:
    """Return a time as in the JSON: `2026-11-23T16:00:00Z`."""
    return None if at is None else text.instant(at)


def domain(domain: Domain | DomainSummary, now: datetime) -> dict[str, Any]:
    """Return a domain with its status as of `now`."""
    current = domain.in_service or domain.wanted
    verdict = None if domain.deleted_at else derive_status(domain, now)
    return {
        "domain": domain.name,
        "sans": list(domain.sans),
        "status": verdict and verdict.status,
        "source": domain.source,
        "created_at": text.instant(domain.created_at),
        "deleted_at": instant(domain.deleted_at),
        "checked_at": instant(domain.checked_at),
        "expires_at": text.instant(current.not_after) if current else None,
        "days_left": days_left(current, now) if current else None,
        "serving": domain.serving and _serving(domain.serving, now),
        "reason": verdict and reason(verdict),
        "observed": _observed(domain),
        "unconfirmed": domain.unconfirmed and _unconfirmed(domain.unconfirmed),
        "warnings": list(map(_warning, find_warnings(domain, now))),
        "abandoned": is_abandoned(domain, now),
        "customer": domain.customer or None,
        "note": domain.remarks.note or None,
        "assignee": domain.remarks.assignee or None,
        "snoozed_until": instant(snoozed_until(domain, now)),
    }


def _observed(domain: Domain | DomainSummary) -> dict[str, Any] | None:
    """Return what C4 was last seen to have, None if its record was not read yet."""
    if domain.observed_at is None:
        return None
    seen = domain.in_service
    return {
        "at": text.instant(domain.observed_at),
        "source": seen and seen.source,
        "fingerprint_sha256": seen and seen.fingerprint,
        "expires_at": seen and text.instant(seen.not_after),
        "ours": None if seen is None else domain.foreign is None,
    }


def _unconfirmed(unconfirmed: Unconfirmed) -> dict[str, Any]:
    return {
        "since": text.instant(unconfirmed.since),
        "code": unconfirmed.code,
        "owner": REASONS[unconfirmed.code].owner,
        "sentence": REASONS[unconfirmed.code].explain(unconfirmed.found, ""),
        "retry_at": text.instant(unconfirmed.retry_at),
    }


def _warning(warning: DomainWarning) -> dict[str, Any]:
    return {
        "code": warning.code,
        "owner": warning.owner,
        "sentence": warning.sentence,
        "next_step": warning.next_step,
        "records": list(map(DnsRecord.to_json, warning.records)),
        "since": instant(warning.since),
        "suspected": not warning.is_certain,
    }


def _serving(certificate: Certificate | CertificateSummary, now: datetime) -> dict[str, Any]:
    return {
        "version": certificate.version,
        "source": certificate.source,
        "fingerprint_sha256": certificate.fingerprint,
        "expires_at": text.instant(certificate.not_after),
        "valid": not is_expired(certificate, now),
    }


def reason(verdict: Verdict) -> dict[str, Any] | None:
    """Return why a domain is not well, None for Success."""
    if verdict.code is None:
        return None
    return {
        "code": verdict.code,
        "also": verdict.also.code if verdict.also else None,
        "owner": verdict.owner,
        "sentence": verdict.sentence,
        "next_step": verdict.next_step,
        "records": list(map(DnsRecord.to_json, verdict.records)),
        "link": verdict.link or None,
        "retry_at": instant(verdict.retry_at),
    }


def customer_message(message: CustomerMessage) -> dict[str, Any]:
    """Return a message to a customer."""
    return {
        "customer": message.customer or None,
        "lang": message.language,
        "subject": message.subject,
        "body": message.body,
        "domains": list(message.domains),
    }


def left_out(left_out: LeftOut) -> dict[str, Any]:
    """Return a domain for which a customer has nothing to do."""
    return {
        "domain": left_out.name,
        "status": left_out.status,
        "code": left_out.code,
        "owner": left_out.owner,
        "next_step": left_out.next_step or None,
    }


def withheld(withheld: Withheld) -> dict[str, Any]:
    """Return which bad answers about served domains were too many to be believed."""
    return {"code": withheld.code, "domains": withheld.domains, "looked_at": withheld.looked_at}


def pause(pause: Pause) -> dict[str, Any]:
    """Return which requests to the CA are paused, and until when."""
    return {
        "kind": pause.scope.kind,
        "key": pause.scope.key or None,
        "until": instant(pause.until),
        "why": pause.why,
        "ca": pause.ca,
    }


def notice(notice: Notice) -> dict[str, Any] | None:
    """Return the result of the last notice, None if there was none."""
    if notice.at is None:
        return None
    return {
        "at": instant(notice.at),
        "troubled": len(notice.troubles),
        "missed": list(notice.missed),
        "missed_since": instant(notice.missed_since),
        "why": notice.why or None,
    }


def maintenance(pause: MaintenancePause | None) -> dict[str, Any] | None:
    """Return a maintenance pause; None if there is none."""
    if pause is None:
        return None
    return {
        "since": instant(pause.at),
        "until": instant(pause.until),
        "reason": pause.reason,
        "actor": pause.actor,
    }


def endangered(each: Endangered) -> dict[str, Any]:
    """Return a certificate that a maintenance pause lets expire."""
    return {"domain": each.name, "expires_at": instant(each.expires_at)}


def notices(notices: Mapping[NoticeKey, Notice]) -> dict[str, Any]:
    """Return the fields with the results of the last notices: `notice` without a route, `notices` of each route and kind."""
    each = [
        {"route": key.route or None, "kind": key.kind, **shown}
        for key, one in notices.items()
        if (shown := notice(one)) is not None
    ]
    return {"notice": notice(notices.get(NoticeKey(), Notice())), "notices": each}


def delivery(position: int, scheme: str, why: str | None, route: str = "") -> dict[str, Any]:
    """Return whether a message was delivered to one URL, of a route if it is not empty."""
    return {
        "position": position,
        "scheme": scheme,
        "delivered": why is None,
        "why": why,
        "route": route or None,
    }


def alert(alert: Alert) -> dict[str, Any]:
    """Return which certificates the CA newly wants replaced early."""
    return {
        "domains": alert.domains,
        "start_at": instant(alert.start_at),
        "end_at": instant(alert.end_at),
        "explanation_url": alert.explanation_url or None,
    }


def certificate(certificate: Certificate, domain: Domain, now: datetime) -> dict[str, Any]:
    """Return one version of a certificate and its state."""
    leaf = certificate.leaf
    return {
        "version": certificate.version,
        "fate": version_state(certificate, domain, now),
        "source": certificate.source,
        "names": list(leaf.names),
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint,
        "issuer": leaf.issuer,
        "ca": certificate.ca or None,
        "key_type": leaf.key_type,
        "not_before": instant(leaf.not_before),
        "not_after": instant(leaf.not_after),
        "issued_at": instant(certificate.issued_at),
        "uploaded_at": instant(certificate.uploaded_at),
        "verified_at": instant(certificate.verified_at),
        "replaced_at": instant(certificate.replaced_at),
        "revoked_at": instant(certificate.revoked_at),
        "key_destroyed_at": instant(certificate.key_destroyed_at),
        "renewal_info": certificate.renewal_info and _renewal_info(certificate.renewal_info),
    }


def renewal(renewal: Renewal | None) -> dict[str, Any] | None:
    """Return when a domain is next due for a renewal, and by which rule; None if none is planned."""
    return None if renewal is None else {"due_at": text.instant(renewal.at), "rule": renewal.trigger}


def _renewal_info(info: RenewalInfo) -> dict[str, Any]:
    return {
        "start_at": instant(info.start_at),
        "end_at": instant(info.end_at),
        "renew_at": instant(info.renew_at),
        "poll_at": instant(info.poll_at),
        "explanation_url": info.explanation_url or None,
    }


def audit(found: Audit) -> dict[str, Any]:
    """Return the result of verifying the history."""
    return {
        "whole": not found.broken,
        "events": found.intact,
        "head": found.head and str(found.head),
        "begun_at": instant(found.begun_at),
        "inherited": found.inherited,
        "broken": found.broken or None,
        "archived": found.archived,
    }


def archive(seal: Seal) -> dict[str, Any]:
    """Return an archive of old history."""
    return {
        "number": seal.number,
        "file": seal.file,
        "sha256": seal.sha256,
        "bytes": seal.size,
        "older_than": seal.until,
        "first_event": seal.after + 1 if seal.events else None,
        "last_event": seal.cut if seal.events else None,
        "events": seal.events,
        "certificates": seal.certificates,
        "orders": seal.orders,
    }


def history_archived_until(cut: HistoryCut | None) -> dict[str, Any]:
    """Return the field that says what is missing from a history."""
    return {"history_archived_until": cut and text.instant(cut.until)}


def event(event: Event) -> dict[str, Any]:
    """Return one event of a domain's history."""
    return {
        "at": instant(event.at),
        "actor": event.actor,
        "kind": event.kind,
        "detail": event.detail,
        "version": event.version,
    }


def listed_event(domain: str | None, event_: Event) -> dict[str, Any]:
    """Return one event of the history of all domains; `domain` is None if it concerns no single domain."""
    return {"id": event_.id, "domain": domain, **event(event_)}


def spare_key(key: SpareKey) -> dict[str, Any]:
    """Return a private key that is no longer needed."""
    return {
        "domain": key.domain.name,
        "version": key.certificate.version,
        "superseded_at": instant(key.superseded_at),
    }


def check(check: Check) -> dict[str, Any]:
    """Return the result of one check of `doctor`."""
    return {"check": check.name, "grade": check.grade, "detail": check.detail, "hint": check.hint or None}


def diagnosis(diagnosis: Diagnosis, now: datetime) -> dict[str, Any]:
    """Return what an order of a name would meet, and each step with what was found."""
    subject, problem = diagnosis.subject, diagnosis.problem
    managed = subject.domain
    code = problem and problem.code
    hold = subject.hold
    return {
        "name": subject.asked,
        "domain": managed and managed.name,
        "names": list(subject.names),
        "managed": None if subject.trouble else managed is not None,
        "status": managed and derive_status(managed, now).status,
        "customer": diagnosis.customer or None,
        "code": code,
        "owner": code and REASONS[code].owner,
        "sentence": diagnosis.sentence or None,
        "next_step": code and diagnosis.next_step(code),
        "records": list(map(DnsRecord.to_json, diagnosis.records)),
        "next_order_at": None if subject.trouble else instant(now if hold is None else hold.until),
        "exit_code": int(diagnosis.exit_code),
        "steps": list(map(_step, diagnosis.steps)),
    }


def _step(step: StepResult) -> dict[str, Any]:
    return {
        "step": step.step,
        "name": step.name,
        "grade": step.grade,
        "found": step.found,
        "wanted": step.wanted or None,
        "code": step.code,
        "owner": step.code and REASONS[step.code].owner,
        "records": list(map(DnsRecord.to_json, step.records)),
        "hops": [
            {"at": hop.at, "to": hop.to or None, "address": hop.address or None, "status": hop.status}
            for hop in step.hops
        ],
    }


def mark(mark: Mark) -> dict[str, Any]:
    """Return when something was done last, by whom, and the result in words."""
    return {"at": instant(mark.at), "actor": mark.actor, "detail": mark.detail}


def claim(claim: Claim) -> dict[str, Any]:
    """Return a claim with its owner."""
    owner = claim.owner
    return {
        "claim": text.clean(claim.name),
        "about": text.clean(describe(claim.name)),
        "host": owner.host,
        "pid": owner.pid,
        "since": instant(owner.since),
        "until": instant(claim.until),
        "boot_id": owner.boot or None,
        "pid_namespace": owner.pid_namespace or None,
        "life": claim.life,
    }
