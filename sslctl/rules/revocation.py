"""Why a certificate is revoked (RFC 5280, section 5.3.1), and which revocations were requested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sslctl.rules.model import Certificate, Domain


class RevocationReason(StrEnum):
    """A reason that a subscriber may name: the codes 1, 4 and 5 of RFC 5280, section 5.3.1."""

    KEY_COMPROMISE = "keyCompromise"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"


@dataclass(frozen=True, slots=True)
class Revocation:
    """A requested revocation of `certificate`, a version of the domain `name`.

    If `waits` is true, the certificate is revoked only when it is not served any more. `retry_at` is the time of the next try
    after one that failed, None before that.
    """

    name: str
    certificate: Certificate
    reason: RevocationReason
    waits: bool
    retry_at: datetime | None = None


def may_revoke(revocation: Revocation, domain: Domain) -> bool:
    """Return whether `revocation` may be carried out now: it waits for no replacement of the certificate that `domain` serves."""
    is_served = domain.serving is not None and domain.serving.id == revocation.certificate.id
    return not (revocation.waits and is_served and domain.deleted_at is None)
