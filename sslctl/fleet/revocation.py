"""Revoke certificates for cause, while their domains stay managed.

1. The request is committed, and with `KEY_COMPROMISE` the key is marked: it is never uploaded again.
2. The CA revokes the certificate. If a replacement was asked for, it is installed before.
3. The revocation is recorded. The next tick replaces a revoked certificate that is still served.

A process that is killed between two steps, or a CA that does not answer, leaves a request that the next tick carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.errors import BadInput, Busy, ClaimLost, NotManaged, StateError
from sslctl.issuance.claims import claimed, require_claim
from sslctl.issuer import IssueError, Issuer
from sslctl.rules.model import Certificate, Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import Revocation, RevocationReason, may_revoke
from sslctl.rules.schedule import is_retry_due
from sslctl.rules.status import queued_finding
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

_RETRY = timedelta(hours=1)
# The CA is down, most likely: the other revocations wait for the next tick.
_MOST_FAILURES = 3


class _Store(Claims, Domains, History, Revocations, Transactions, Versions, Protocol):
    """What revocation reads and writes."""


@dataclass(frozen=True, slots=True)
class Requested:
    """The revocations that a request led to, those of the named domain first.

    `texts` are certificates that were added by text and have the same compromised key, with the names of their domains: only
    their owners can revoke them.
    """

    revocations: Sequence[Revocation]
    texts: Sequence[tuple[str, Certificate]] = ()


def find_revocable(store: _Store, name: str) -> tuple[Domain, list[Certificate]]:
    """Return the managed domain `name` and its certificates that are to be revoked.

    These are the ones of a request that was not carried out yet, otherwise the served and the wanted one from the CA; revoked ones too.
    Raise `NotManaged`; `BadInput` if there is none.
    """
    domain = store.domain(name)
    requested = [each.certificate for each in store.open_revocations(domain)]
    if requested:
        return domain, requested
    current = {one.id: one for one in (domain.serving, domain.wanted) if one is not None}
    if not current:
        raise BadInput(f"{name} has no certificate to revoke", hint=f"`sslctl view {name}` shows why")
    issued = [one for one in current.values() if one.source is Source.C4]
    if not issued:
        raise BadInput(
            f"the certificate of {name} was added by text, so only its owner can revoke it",
            hint=f"`sslctl add {name}` replaces it with one from the CA",
        )
    return domain, issued


def request(store: _Store, name: str, reason: RevocationReason, *, replace: bool) -> Requested:
    """Record that the certificates of the managed domain `name` are to be revoked for `reason`; idempotent.

    With `replace` a certificate that is served is revoked after its replacement. With `KEY_COMPROMISE` the revocation waits for nothing, their keys
    are marked, and all other certificates with these keys that were issued here are to be revoked too. Raise `Busy`, `NotManaged`, `BadInput`.
    """
    from sslctl.certificates.x509 import key_fingerprint  # noqa: PLC0415 - slow to import, and each tick imports this

    with claimed(store, name):
        _, certificates = find_revocable(store, name)
        is_compromise = reason is RevocationReason.KEY_COMPROMISE
        keys = (
            {key_fingerprint(store.bundle(one).certificate) for one in certificates}
            if is_compromise
            else set()
        )
        shared = [
            (holder, other)
            for holder, other, pem in (store.unexpired_certificates() if keys else ())
            if key_fingerprint(pem) in keys
        ]
        known = {one.id for one in certificates}
        others = [other for _, other in shared if other.id not in known and other.source is Source.C4]
        with store.transaction():
            require_claim(store, name)
            for key in keys:
                store.mark_key_compromised(key)
            for one in (*certificates, *others):
                if one.revoked_at is None:
                    store.request_revocation(one, reason, waits=replace and not is_compromise)
        ids = known | {one.id for one in others}
        revocations = [each for each in store.open_revocations() if each.certificate.id in ids]
    revocations.sort(key=lambda each: each.name != name)
    return Requested(revocations, [each for each in shared if each[1].source is Source.TEXT])


def carry_out(store: _Store, issuer: Issuer, revocation: Revocation, now: datetime) -> bool:
    """Revoke the certificate of `revocation` at the CA, and return whether it was revoked: it may wait for its replacement.

    Raise `Busy` if another process works on the domain; `IssueError` if the CA did not revoke it.
    """
    certificate, reason = revocation.certificate, revocation.reason
    with claimed(store, revocation.name):
        domain = store.find(revocation.name)
        if domain is None:
            raise NotManaged(f"{revocation.name} is not managed")
        if not may_revoke(revocation, domain):
            return False
        try:
            issuer.revoke(store.bundle(certificate), reason)
        except IssueError as error:
            store.postpone_revocation(certificate, now + _RETRY, error.found)
            raise
        with store.transaction():
            require_claim(store, revocation.name)
            store.mark_revoked(certificate, reason)
            domain = store.find(revocation.name) or domain
            if domain.deleted_at is None:
                _make_due(store, domain, certificate, now)
    return True


def _make_due(store: _Store, domain: Domain, certificate: Certificate, now: datetime) -> None:
    """Make the next tick order a new certificate, after `certificate` was revoked before it was served, or while its upload was refused."""
    is_unserved = domain.wanted is not None and domain.wanted.id == certificate.id
    is_unserved &= domain.serving is None or domain.serving.id != certificate.id
    if is_unserved:
        domain = store.drop_wanted(domain, certificate, "it is revoked")
    is_refused = domain.finding is not None and domain.finding.code is Code.KEY_COMPROMISED
    if is_unserved or is_refused:
        store.record_finding(domain, queued_finding(now))


def carry_out_open(
    store: _Store, issuer: Callable[[], Issuer], now: datetime, on_notice: Callable[[str], None]
) -> Sequence[str]:
    """Carry out the requests that earlier commands left open, and return the domains that need a replacement first.

    `issuer` is called only if there is a request to carry out. `on_notice` is called with each failure; it is tried again after an hour.
    """
    found = [each for each in store.open_revocations() if each.retry_at is None or each.retry_at <= now]
    waiting: dict[str, Certificate] = {}
    failures = 0
    for revocation in found:
        if failures == _MOST_FAILURES:
            break
        try:
            if not carry_out(store, issuer(), revocation, now):
                waiting[revocation.name] = revocation.certificate
        except (Busy, ClaimLost, NotManaged):
            continue
        except StateError as error:
            # One damaged certificate does not hold up the others.
            store.postpone_revocation(revocation.certificate, now + _RETRY, error.message)
            on_notice(error.message)
        except IssueError as error:
            failures += 1
            on_notice(
                f"version {revocation.certificate.version} of {revocation.name} could not be revoked ({revocation.reason}): "
                f"{error.found}; it is tried again in an hour"
            )
    domains = store.domains_named(list(waiting))
    return [each.name for each in domains if _needs_replacement(each, waiting[each.name], now)]


def _needs_replacement(domain: Domain, certificate: Certificate, now: datetime) -> bool:
    """Return whether an order for `domain` may be placed at `now` to replace `certificate`; a newer one may await its upload."""
    is_newest = domain.wanted is None or domain.wanted.id == certificate.id
    return domain.deleted_at is None and is_newest and is_retry_due(domain, now)
