"""Take domains under management, and out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Protocol

from sslctl.certificates import x509
from sslctl.control_plane import (
    Changed,
    ControlPlane,
    ControlPlaneError,
    Installed,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.errors import BadInput, Busy, ConfigError, NotManaged, SslctlError, TryLater
from sslctl.issuance import delivery
from sslctl.issuance.claims import claimed, require_claim
from sslctl.issuer import IssueError, Issuer
from sslctl.rules import schedule, status
from sslctl.rules.model import Bundle, Certificate, Domain, Finding, Leaf, Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.schedule import count_tries
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_expired, pick_reusable
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.history import History
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# Several threads, because the store commits their writes together.
_THREADS = 32
_BLOCK = 1000
# Before each removal. If the certificate changes so often, somebody is at work there.
_LOOKS = 3


class _Store(Claims, Domains, History, Transactions, Versions, Protocol):
    """What enrolment and removal read and write."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many names were added, how many were managed already, and the errors of the names that were refused."""

    added: int
    already_managed: int
    refused: dict[str, Busy]


def enrol(
    store: _Store, name: str, sans: tuple[str, ...] | None, now: datetime, *, new: bool = False
) -> Domain:
    """Take `name` under management with a certificate of source c4, and return the domain. Idempotent.

    If `sans` is None, the other names stay as they are. A deleted domain gets its last certificate back if that is
    usable and `new` is false. Raise `Busy` if another process works on the domain, `StateError`.
    """
    known = store.find(name)
    if known is None:
        return store.add_domain(name, sans or (), Source.C4)
    if _is_up_to_date(known, sans):
        return known
    names = known.sans if sans is None else sans
    with claimed(store, name):
        if known.deleted_at is None:
            return store.update_domain(known, names, Source.C4)
        versions = [] if new else store.certificates(known)
        return store.add_domain(name, names, Source.C4, pick_reusable(versions, (name, *names), now))


def _is_up_to_date(domain: Domain, sans: tuple[str, ...] | None) -> bool:
    return domain.deleted_at is None and domain.source is Source.C4 and sans in (None, domain.sans)


def enrol_many(
    store: _Store,
    names: Sequence[str],
    now: datetime,
    *,
    drop_sans: bool = False,
    new: bool = False,
    requeue: bool = False,
) -> Enrolled:
    """Call `enrol` for each of `names`, and with `requeue` also `queue`.

    Domains that are managed keep their other names, unless `drop_sans` is true. A domain that another process works on
    is refused, and the rest go on. Raise `StateError`; what was recorded before it stays.
    """
    sans = () if drop_sans else None

    def update(domain: Domain) -> Busy | None:
        try:
            enrolled = enrol(store, domain.name, sans, now, new=new)
            if requeue:
                queue(store, enrolled, now)
        except Busy as error:
            return error
        return None

    known = store.add_domains(names)
    outdated = (
        domain
        for domain in store.domains_named(known)
        if not _is_up_to_date(domain, sans) or (requeue and _is_deferred(domain))
    )
    restored, refused = 0, {}
    pool = ThreadPoolExecutor(_THREADS)
    try:
        while block := list(islice(outdated, _BLOCK)):
            for domain, error in zip(block, pool.map(update, block), strict=True):
                if error is not None:
                    refused[domain.name] = error
                elif domain.deleted_at is not None:
                    restored += 1
    finally:
        # After Ctrl-C the threads may still wait for a locked database, until the store is closed.
        pool.shutdown(wait=False, cancel_futures=True)
    added = len(names) - len(known) + restored
    return Enrolled(added, len(names) - added - len(refused), refused)


def queue(store: _Store, domain: Domain, now: datetime) -> Domain:
    """Make `domain` due at the next tick if it would wait for midnight or for a person; return the domain.

    Raise `Busy` if another process works on it.
    """
    if not _is_deferred(domain):
        return domain
    with claimed(store, domain.name):
        return store.record_finding(domain, status.queued_finding(now))


def _is_deferred(domain: Domain) -> bool:
    """Return whether `domain` waits for midnight (Failure) or for a person (Discard)."""
    return domain.finding is not None and domain.finding.reason.status in (Status.FAILURE, Status.DISCARD)


def paste(store: _Store, name: str, sans: tuple[str, ...] | None, bundle: Bundle, now: datetime) -> Domain:
    """Take `name` under management with the pasted `bundle`, and return the domain. Idempotent.

    If `sans` is None, the other names stay as they are. Raise `BadInput` if the key, a name, a date or the chain is
    wrong (the message says which), `Busy` if another process works on the domain; nothing is recorded then.
    """
    known = store.find(name)
    if sans is None:
        sans = known.sans if known is not None else ()
    x509.check_pair(bundle.certificate, bundle.private_key, bundle.chain, (name, *sans), now)
    leaf = x509.read_leaf(bundle.certificate)
    with claimed(store, name):
        known = store.find(name)
        if known is not None and known.deleted_at is None and _is_pasted(known, leaf, sans):
            return known
        return store.add_text_certificate(name, sans, bundle, leaf)


def adopt(store: _Store, control_plane: ControlPlane, name: str, now: datetime) -> tuple[Domain, bool]:
    """Keep the certificate that somebody else installed on C4 as the text certificate of the managed domain `name`.

    Return the domain, and whether C4 has a certificate of ours; then nothing is changed. Raise `NotManaged`; `Busy` if
    another process works on the domain; `BadInput` if C4 has no certificate, or one that is expired at `now`; `ConfigError`
    if C4 refuses the token; `TryLater` if C4 did not answer.
    """
    with claimed(store, name):
        domain = store.domain(name)
        installed = _installed(control_plane, name)
        if installed is None:
            raise BadInput(
                f"C4 has no certificate for {name} that could be kept",
                hint=f"`sslctl add {name}` gets one from the CA",
            )
        if _is_ours(store, domain, installed):
            return domain, True
        if is_expired(installed, now):
            raise BadInput(
                f"C4's certificate for {name} expired {format_sgt(installed.not_after)}, so it is not worth keeping",
                hint=f"`sslctl add {name}` replaces it with one from the CA",
            )
        return store.adopt_certificate(domain, installed), False


def _installed(control_plane: ControlPlane, name: str) -> Installed | None:
    try:
        return control_plane.domain(name).certificate
    except UnknownDomain:
        return None
    except Unauthorized as error:
        raise ConfigError(f"C4 refused our token: {error}", hint="see c4.token_file") from error
    except ControlPlaneError as error:
        raise TryLater(f"C4 did not answer which certificate {name} has: {error}") from error


def _is_pasted(domain: Domain, leaf: Leaf, sans: tuple[str, ...]) -> bool:
    # After a failed `add` over a text certificate, that certificate is still the wanted one, but the source is c4.
    return (
        domain.source is Source.TEXT
        and domain.sans == sans
        and domain.wanted is not None
        and domain.wanted.leaf.fingerprint == leaf.fingerprint
    )


class OnC4(StrEnum):
    """What became of the certificate on C4 when a domain was deleted."""

    REMOVED = "removed"
    NONE = "none"
    KEPT = "kept"
    KEPT_FOREIGN = "kept_foreign"


@dataclass(frozen=True, slots=True)
class Removal:
    """A deleted domain, and what became of its certificate on C4. `foreign` is the one that stays, if sslctl did not install it."""

    domain: Domain
    on_c4: OnC4
    foreign: Installed | None = None


def _is_foreign_kept(_foreign: Installed) -> bool:
    return False


def remove(
    store: _Store,
    control_plane: ControlPlane | None,
    issuer: Issuer,
    name: str,
    now: datetime,
    *,
    revoke: bool = False,
    may_remove: Callable[[Installed], bool] = _is_foreign_kept,
) -> Removal:
    """Take the managed domain `name` out of management.

    1. Look which certificate C4 has; without a `control_plane` it stays there.
    2. With `revoke`: revoke its certificates at the CA.
    3. Remove the certificate from C4 if it is one of the domain's versions here. A foreign one stays, unless
       `may_remove` returns true for it.
    4. Mark the domain as deleted; its history stays.

    Each step is idempotent, so a delete that failed can be repeated. Raise `NotManaged`; `Busy` if another process works
    on the domain; `BadInput` if there is nothing to revoke; `ConfigError` if C4 refuses the token; `TryLater` if C4 or
    the CA did not answer.
    """
    with claimed(store, name):
        domain = store.domain(name)
        revocable = _revocable(domain) if revoke else ()
        installed = None if control_plane is None else _look(control_plane, domain)
        for certificate in revocable:
            require_claim(store, name)
            _revoke(store, issuer, domain, certificate)
        if control_plane is None:
            store.record_event(domain, "kept on C4", "", domain.serving.version if domain.serving else None)
            return Removal(store.delete_domain(store.domain(name)), OnC4.KEPT)
        on_c4, foreign = _clear_c4(store, control_plane, domain, installed, may_remove, now)
        require_claim(store, name)
        return Removal(store.delete_domain(store.domain(name)), on_c4, foreign)


def find_foreign(
    store: Versions, control_plane: ControlPlane, domains: Iterable[Domain]
) -> dict[str, Installed]:
    """Return the certificates on C4 that sslctl did not install, by domain. Raise `ConfigError` or `TryLater`."""
    found = {domain.name: (domain, _look(control_plane, domain)) for domain in domains}
    return {
        name: installed
        for name, (domain, installed) in found.items()
        if installed is not None and not _is_ours(store, domain, installed)
    }


def _revocable(domain: Domain) -> list[Certificate]:
    """Return the served and the wanted certificate, if the CA issued them and has not revoked them.

    Raise `BadInput` if there is none, or none from the CA.
    """
    current = {one.id: one for one in (domain.serving, domain.wanted) if one is not None}
    if not current:
        raise BadInput(f"{domain.name} has no certificate to revoke", hint="delete it without --revoke")
    issued = [one for one in current.values() if one.source is Source.C4]
    if not issued:
        raise BadInput(
            f"the certificate of {domain.name} was added by text, so only its owner can revoke it",
            hint="delete it without --revoke",
        )
    return [one for one in issued if one.revoked_at is None]


def _look(control_plane: ControlPlane, domain: Domain) -> Installed | None:
    """Return the certificate that C4 has for `domain`; None if there is none, or if C4 does not know the domain."""
    try:
        return control_plane.domain(domain.name).certificate
    except UnknownDomain:
        return None
    except ControlPlaneError as error:
        raise _not_removed(domain, "C4 did not answer which certificate it has", error) from error


def _is_ours(store: Versions, domain: Domain, installed: Installed) -> bool:
    return any(one.leaf.fingerprint == installed.fingerprint for one in store.certificates(domain))


def _clear_c4(
    store: _Store,
    control_plane: ControlPlane,
    domain: Domain,
    installed: Installed | None,
    may_remove: Callable[[Installed], bool],
    now: datetime,
) -> tuple[OnC4, Installed | None]:
    """Remove `installed`, which C4 has for `domain`, if it is ours or `may_remove` allows it; look again if it changed."""
    for _ in range(_LOOKS):
        if installed is None:
            return OnC4.NONE, None
        is_ours = _is_ours(store, domain, installed)
        if not is_ours and not may_remove(installed):
            detail = (
                f"{installed.source} certificate {installed.fingerprint[:16]}, which sslctl did not install"
            )
            store.record_event(domain, "kept on C4", detail)
            return OnC4.KEPT_FOREIGN, installed
        require_claim(store, domain.name)
        try:
            _remove_from_c4(store, control_plane, domain, installed, now)
        except Changed:
            domain = store.domain(domain.name)
            installed = _look(control_plane, domain)
        else:
            return OnC4.REMOVED, None
    raise TryLater(
        f"the certificate on C4 is changed again and again, so {domain.name} stays managed",
        hint="find out who else writes to C4",
    )


def _remove_from_c4(
    store: _Store, control_plane: ControlPlane, domain: Domain, installed: Installed, now: datetime
) -> None:
    """Remove `installed` from C4. Raise `Changed` if C4 has another certificate by now; `ConfigError` or `TryLater`."""
    served = domain.serving
    if served is not None:
        # If this process is killed before C4 answers, the certificate may be gone: do not claim that it is served.
        domain = store.mark_not_serving(domain, "it is being removed from C4")
    try:
        delivery.remove(control_plane, domain.name, installed.fingerprint)
    except UnknownDomain:
        return
    except Changed:
        raise
    except ControlPlaneError as error:
        if isinstance(error, delivery.OutcomeUnknown):
            _record_unanswered(store, domain, error, now)
        elif served is not None and served.leaf.fingerprint == installed.fingerprint:
            store.mark_serving(domain, served, wanted=domain.wanted)
        raise _not_removed(domain, "C4 did not remove the certificate", error) from error
    version = next(
        (one.version for one in store.certificates(domain) if one.leaf.fingerprint == installed.fingerprint),
        None,
    )
    store.record_event(domain, "removed", f"{installed.fingerprint[:16]}, from C4", version)


def _not_removed(domain: Domain, what: str, error: ControlPlaneError) -> SslctlError:
    if isinstance(error, Unauthorized):
        return ConfigError(
            f"C4 refused our token, so {domain.name} stays managed: {error}", hint="see c4.token_file"
        )
    return TryLater(
        f"{what}, so {domain.name} stays managed: {error}",
        hint="try again later, or leave the certificate on C4 with --keep-on-c4",
    )


def _record_unanswered(store: Domains, domain: Domain, error: Unanswered, now: datetime) -> None:
    """Record that C4 did not answer, so that the next tick looks at what C4 has."""
    code = Code.C4_UNANSWERED
    tries = count_tries(domain.finding, code)
    retry_at = schedule.retry_at(code, now, error.retry_at, tries)
    store.record_finding(domain, Finding(code, str(error), "", now, retry_at, tries))


def _revoke(store: Versions, issuer: Issuer, domain: Domain, certificate: Certificate) -> None:
    try:
        issuer.revoke(store.bundle(certificate))
    except IssueError as error:
        raise TryLater(
            f"the certificate of {domain.name} could not be revoked, so the domain stays managed: {error.found}",
            hint="try again later, or delete it without --revoke",
        ) from error
    store.mark_revoked(certificate)


def reverify(store: _Store, now: datetime, why: str) -> None:
    """Re-verify healthy domains on C4 in the next tick; `why` is written into their history.

    Other domains are rechecked anyway. This places no order, and uploads nothing that C4 has already.
    """
    names = [domain.name for domain in store.domains(Query(statuses=(Status.SUCCESS,)), now)]
    for start in range(0, len(names), _BLOCK):
        with store.transaction():
            for domain in store.domains_named(names[start : start + _BLOCK]):
                if domain.serving is not None and domain.serving == domain.wanted:
                    store.mark_not_serving(domain, why)


def require_managed(store: Domains, names: Iterable[str]) -> list[Domain]:
    """Return the managed domains `names`, in that order. Raise `NotManaged` for the first one that is not managed."""
    wanted = list(names)
    try:
        return [store.domain(name) for name in wanted]
    except NotManaged as error:
        if len(wanted) == 1:
            raise
        raise NotManaged(f"{error.message}; nothing was done", hint=error.hint) from error
