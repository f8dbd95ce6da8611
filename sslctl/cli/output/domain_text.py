"""A domain as JSON text, for a list of a hundred thousand: most of them are in Success."""

from __future__ import annotations

from datetime import datetime

from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import encode_json, encode_text
from sslctl.rules.model import CertificateSummary, DomainSummary, Source
from sslctl.rules.remarks import NO_REMARKS
from sslctl.rules.status import derive_status
from sslctl.rules.versions import days_left, is_expired
from sslctl.rules.warnings import find_warnings
from sslctl.text import instant


def domain_text(domain: DomainSummary, now: datetime) -> str:
    """Return `json_shapes.domain` as JSON text. That of a domain in Success is written directly, in a third of the time."""
    certificate, observed_at = domain.serving, domain.observed_at
    if certificate is None or observed_at is None or not _is_plain_success(domain, certificate, now):
        return encode_json(json_shapes.domain(domain, now))
    return _success(domain, certificate, observed_at, now)


def _is_plain_success(domain: DomainSummary, certificate: CertificateSummary, now: datetime) -> bool:
    """Return whether `domain` is in Success, and nothing else is known of it but a customer, a note and an assignee."""
    if domain.deleted_at is not None or domain.foreign is not None or domain.unconfirmed is not None:
        return False
    if domain.remarks.snooze is not None:
        return False
    if domain.source is Source.C4 and not (domain.finding or domain.suspicion or domain.caution):
        # Neither the status nor the warnings have anything else to look at.
        return not is_expired(certificate, now)
    return derive_status(domain, now).code is None and not find_warnings(domain, now)


def _remarks(domain: DomainSummary) -> str:
    """Return the end of the text: what people recorded, without a snooze."""
    if domain.remarks is NO_REMARKS and not domain.c4_customer:
        return ' "customer": null, "note": null, "assignee": null, "snoozed_until": null}'
    customer, note, assignee = (
        encode_text(text) if text else "null"
        for text in (domain.customer, domain.remarks.note, domain.remarks.assignee)
    )
    return f' "customer": {customer}, "note": {note}, "assignee": {assignee}, "snoozed_until": null}}'


def _success(
    domain: DomainSummary, certificate: CertificateSummary, observed_at: datetime, now: datetime
) -> str:
    """Return the same text as `json_shapes.domain` would make; a test compares the two."""
    sans = encode_json(domain.sans) if domain.sans else "[]"
    checked_at = f'"{instant(domain.checked_at)}"' if domain.checked_at else "null"
    expires_at = instant(certificate.not_after)
    seen = (
        f'"source": "{certificate.source}", "fingerprint_sha256": {encode_text(certificate.fingerprint)},'
        f' "expires_at": "{expires_at}"'
    )
    return (
        f'{{"domain": {encode_text(domain.name)}, "sans": {sans}, "status": "Success",'
        f' "source": "{domain.source}", "created_at": "{instant(domain.created_at)}", "deleted_at": null,'
        f' "checked_at": {checked_at}, "expires_at": "{expires_at}", "days_left": {days_left(certificate, now)},'
        f' "serving": {{"version": {certificate.version}, {seen}, "valid": true}}, "reason": null,'
        f' "observed": {{"at": "{instant(observed_at)}", {seen}, "ours": true}}, "unconfirmed": null, "warnings": [],'
        f' "abandoned": false,{_remarks(domain)}'
    )
