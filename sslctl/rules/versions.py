"""The versions of a domain's certificate: which may be used, which is owed to C4, whose key is still needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sslctl.rules.model import Certificate, Domain, Source


class Expiring(Protocol):
    """What has an expiry date: a leaf, or a certificate."""

    @property
    def not_after(self) -> datetime:
        """The last moment at which it is valid."""


def is_expired(certificate: Expiring, now: datetime) -> bool:
    """Say whether `certificate` has passed its expiry date: `not_after <= now`."""
    return certificate.not_after <= now


def needs_upload(domain: Domain, now: datetime) -> bool:
    """Say whether a usable certificate is held that C4 has not been seen to serve."""
    wanted = domain.wanted
    if wanted is None or (domain.serving is not None and domain.serving.id == wanted.id):
        return False
    return is_usable(wanted, domain.names, now) and wanted.source is domain.source


def is_usable(certificate: Certificate, names: Iterable[str], now: datetime) -> bool:
    """Say whether `certificate` may go on the edge for exactly these names: not expired, not revoked, its key here.

    A text certificate may carry more names than were asked for; one of the CA's carries what was ordered.
    """
    if certificate.revoked_at or certificate.key_destroyed_at or is_expired(certificate, now):
        return False
    return certificate.source is Source.TEXT or set(certificate.leaf.names) == set(names)


def pick_reusable(
    certificates: Iterable[Certificate], names: Iterable[str], now: datetime
) -> Certificate | None:
    """Pick the version to put back when a deleted domain is added again: the usable `c4` one that lasts longest."""
    wanted = set(names)
    fitting = [c for c in certificates if c.source is Source.C4 and is_usable(c, wanted, now)]
    return max(fitting, key=lambda c: c.not_after, default=None)


def key_unneeded_since(
    certificate: Certificate, domain: Domain, versions: Sequence[Certificate], now: datetime
) -> datetime | None:
    """Give since when nobody needs the key of `certificate` any more; None while somebody does, or may.

    That is since it was replaced, revoked or expired, or was passed over: a newer one of the domain's `versions` was
    issued, or the domain deleted, before it was ever served. What is wanted or served is needed, and what would be put
    back: when a deleted domain is added again, or in the place of an upload that failed, where it is not yet replaced.
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
    """Give the whole days until expiry, rounded down; once expired the days since, at least one, as a negative number."""
    if is_expired(certificate, now):
        return -max(1, (now - certificate.not_after).days)
    return (certificate.not_after - now).days


def version_state(certificate: Certificate, domain: Domain, now: datetime) -> str:
    """Say in one word what became of a certificate version."""
    if certificate.revoked_at is not None:
        return "revoked"
    if domain.serving is not None and domain.serving.id == certificate.id:
        return "expired" if is_expired(certificate, now) else "serving"
    if domain.wanted is not None and domain.wanted.id == certificate.id:
        return "uploading" if certificate.uploaded_at is None else "activating"
    return "expired" if is_expired(certificate, now) else "replaced" if certificate.verified_at else "unused"
