"""The versions of a domain's certificate: which is usable, which must be uploaded, whose key is still needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from sslctl.rules.model import Certificate, Domain, DomainSummary, Installed, Source


class Expiring(Protocol):
    """A leaf or a certificate: anything with an expiry date."""

    @property
    def not_after(self) -> datetime:
        """The expiry date, aware UTC."""


def is_expired(certificate: Expiring, now: datetime) -> bool:
    """Return whether `certificate` has passed its expiry date: `not_after <= now`."""
    return certificate.not_after <= now


def needs_upload(domain: Domain, now: datetime) -> bool:
    """Return whether the store holds a usable certificate that C4 is not known to serve, and that may replace what is there."""
    wanted = domain.wanted
    if wanted is None or (domain.serving is not None and domain.serving.id == wanted.id):
        return False
    if not is_usable(wanted, domain.names, now) or wanted.source is not domain.source:
        return False
    foreign = domain.foreign
    if foreign is None or may_replace(domain, now):
        return True
    # One that was in service before was replaced by somebody else; one that never was is what an order was placed for.
    return wanted.verified_at is None and _is_newer(wanted, foreign)


def is_adopted(domain: Domain | DomainSummary) -> bool:
    """Return whether the certificate of `domain` is a text certificate of which sslctl has no copy (`sslctl adopt`)."""
    return domain.source is Source.TEXT and domain.wanted is None


def may_replace(domain: Domain, now: datetime) -> bool:
    """Return whether the foreign certificate of `domain` may be replaced before it is due.

    It may if it has expired, or if it is the text certificate that a person agreed to replace.
    """
    foreign = domain.foreign
    if foreign is None or is_expired(foreign, now):
        return True
    return foreign.source is Source.TEXT and foreign.fingerprint == domain.text_consent


def is_replacement_due(domain: Domain, now: datetime, before: timedelta) -> bool:
    """Return whether the foreign certificate of `domain` is to be replaced at `now`: a valid text one never is by itself."""
    foreign = domain.foreign
    if may_replace(domain, now):
        return True
    return foreign is not None and foreign.source is Source.C4 and foreign.not_after - before <= now


def _is_newer(wanted: Certificate, foreign: Installed) -> bool:
    return foreign.source is Source.C4 and wanted.not_after > foreign.not_after


def is_usable(certificate: Certificate, names: Iterable[str], now: datetime) -> bool:
    """Return whether `certificate` may be installed for exactly these names.

    It must not be expired or revoked, and its key must be stored. A text certificate may have more names than
    requested; a certificate that the CA issued must have exactly those.
    """
    if certificate.revoked_at or certificate.key_destroyed_at or is_expired(certificate, now):
        return False
    return certificate.source is Source.TEXT or set(certificate.leaf.names) == set(names)


def pick_reusable(
    certificates: Iterable[Certificate], names: Iterable[str], now: datetime
) -> Certificate | None:
    """Return the version to reinstall when a deleted domain is added again: the usable `c4` one that expires last."""
    wanted = set(names)
    fitting = [c for c in certificates if c.source is Source.C4 and is_usable(c, wanted, now)]
    return max(fitting, key=lambda c: c.not_after, default=None)


@dataclass(frozen=True, slots=True)
class SpareKey:
    """A private key that is not needed since `superseded_at` (UTC), and the version that it belongs to."""

    domain: Domain
    certificate: Certificate
    superseded_at: datetime


def key_unneeded_since(
    certificate: Certificate, domain: Domain, versions: Sequence[Certificate], now: datetime
) -> datetime | None:
    """Return when the key of `certificate` became unneeded, or None while it is needed.

    The key is unneeded from the time at which the certificate was replaced or revoked or expired. If the certificate
    was never served, the key is also unneeded from the time at which a newer one of the domain's `versions` was issued or
    the domain was deleted. The keys of the wanted and the served certificate are needed. Needed too is the key of a
    version that may be reinstalled: when a deleted domain is added again, or after a failed upload, as long as the version
    is not replaced.
    """
    in_use = {one.id for one in (domain.wanted, domain.serving) if one is not None}
    if domain.deleted_at is not None:
        put_back = pick_reusable(versions, domain.names, now)
        in_use |= {put_back.id} if put_back else set()
    if certificate.id in in_use:
        return None
    ends = [certificate.replaced_at, certificate.revoked_at]
    if is_expired(certificate, now):
        ends.append(certificate.not_after)
    if certificate.verified_at is None:
        ends += [domain.deleted_at, *(one.issued_at for one in versions if one.version > certificate.version)]
    return min((end for end in ends if end is not None), default=None)


def days_left(certificate: Expiring, now: datetime) -> int:
    """Return the whole days until expiry, rounded down.

    After the expiry, return the days since then as a negative number, -1 or less.
    """
    if is_expired(certificate, now):
        return -max(1, (now - certificate.not_after).days)
    return (certificate.not_after - now).days


class VersionState(StrEnum):
    """The state of a version of a certificate in one word."""

    SERVING = "serving"
    UPLOADING = "uploading"
    ACTIVATING = "activating"
    REPLACED = "replaced"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNUSED = "unused"


def version_state(certificate: Certificate, domain: Domain, now: datetime) -> VersionState:
    """Return the state of a version of the certificate of `domain`."""
    is_over = is_expired(certificate, now)
    if certificate.revoked_at is not None:
        return VersionState.REVOKED
    if domain.serving is not None and domain.serving.id == certificate.id:
        return VersionState.EXPIRED if is_over else VersionState.SERVING
    if domain.wanted is not None and domain.wanted.id == certificate.id and domain.foreign is None:
        return VersionState.UPLOADING if certificate.uploaded_at is None else VersionState.ACTIVATING
    if is_over:
        return VersionState.EXPIRED
    # One that was imported was replaced before C4 could be asked about it.
    was_used = certificate.verified_at or certificate.replaced_at
    return VersionState.REPLACED if was_used else VersionState.UNUSED
