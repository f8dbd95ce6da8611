"""The JSON of every command, documented field by field in docs/json.md. Times are RFC 3339, UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sslctl import lifecycle, text
from sslctl.model import Certificate, Domain, Event, Verdict

SCHEMA_VERSION = 1


def envelope(**fields: Any) -> dict[str, Any]:
    """Give the outermost object of an answer."""
    return {"schema_version": SCHEMA_VERSION, **fields}


def instant(at: datetime | None) -> str | None:
    """Give a time as in the JSON: `2026-11-23T16:00:00Z`."""
    return None if at is None else text.instant(at)


def domain(domain: Domain, now: datetime) -> dict[str, Any]:
    """Give a domain with its status as of `now`."""
    current = domain.serving or domain.wanted
    return {
        "domain": domain.name,
        "sans": list(domain.sans),
        "status": None if domain.deleted_at else lifecycle.verdict(domain, now).status,
        "source": domain.source,
        "created_at": instant(domain.created_at),
        "deleted_at": instant(domain.deleted_at),
        "checked_at": instant(domain.checked_at),
        "expires_at": instant(current.leaf.not_after) if current else None,
        "days_left": lifecycle.days_left(current.leaf, now) if current else None,
        "serving": _serving(domain, now),
        "reason": None if domain.deleted_at else reason(lifecycle.verdict(domain, now)),
    }


def _serving(domain: Domain, now: datetime) -> dict[str, Any] | None:
    if domain.serving is None:
        return None
    return {
        "version": domain.serving.version,
        "source": domain.serving.source,
        "fingerprint_sha256": domain.serving.leaf.fingerprint,
        "expires_at": instant(domain.serving.leaf.not_after),
        "valid": not lifecycle.is_expired(domain.serving.leaf, now),
    }


def reason(verdict: Verdict) -> dict[str, Any] | None:
    """Give why a domain is not well, None for Success."""
    if verdict.code is None:
        return None
    return {
        "code": verdict.code,
        "also": verdict.also.code if verdict.also else None,
        "owner": verdict.owner,
        "sentence": verdict.sentence,
        "next_step": verdict.next_step,
        "retry_at": instant(verdict.retry_at),
    }


def certificate(certificate: Certificate, domain: Domain, now: datetime) -> dict[str, Any]:
    """Give one version of a certificate and what became of it."""
    leaf = certificate.leaf
    return {
        "version": certificate.version,
        "fate": lifecycle.fate(certificate, domain, now),
        "source": certificate.source,
        "names": list(leaf.names),
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint,
        "issuer": leaf.issuer,
        "key_type": leaf.key_type,
        "not_before": instant(leaf.not_before),
        "not_after": instant(leaf.not_after),
        "issued_at": instant(certificate.issued_at),
        "uploaded_at": instant(certificate.uploaded_at),
        "verified_at": instant(certificate.verified_at),
        "replaced_at": instant(certificate.replaced_at),
        "revoked_at": instant(certificate.revoked_at),
    }


def event(event: Event) -> dict[str, Any]:
    """Give one line of a domain's history."""
    return {
        "at": instant(event.at),
        "actor": event.actor,
        "kind": event.kind,
        "detail": event.detail,
        "version": event.version,
    }
