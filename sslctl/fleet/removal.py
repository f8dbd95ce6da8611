"""Take domains out of management, and their certificates off C4."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sslctl.control_plane import (
    Changed,
    ControlPlane,
    ControlPlaneError,
    Installed,
    Unanswered,
    UnknownDomain,
)
from sslctl.errors import BadInput, SslctlError, TryLater
from sslctl.fleet.installed import is_ours, not_answered, read_installed
from sslctl.issuance import changes_on_c4
from sslctl.issuance.claims import claimed, require_claim
from sslctl.issuance.observation import find_version
from sslctl.issuer import IssueError, Issuer
from sslctl.rules import schedule
from sslctl.rules.maintenance_pause import describe
from sslctl.rules.model import Certificate, Domain, Finding, Source
from sslctl.rules.reasons import Code
from sslctl.rules.schedule import count_tries
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.wording import C4

# Before each removal. If the certificate changes so often, somebody is at work there.
_LOOKS = 3


class _Store(Claims, Domains, History, MaintenancePauses, Transactions, Versions, Protocol):
    """What removal reads and writes."""


class OnC4(StrEnum):
    """What became of the certificate on C4 when a domain was deleted."""

    REMOVED = "removed"
    NONE = "none"
    KEPT = "kept"
    KEPT_FOREIGN = "kept_foreign"


@dataclass(frozen=True, slots=True)
class Removal:
    """A deleted domain, and what became of its certificate on C4.

    If sslctl did not install that certificate, `foreign` is the one that stays, or `removed_foreign` the one that was removed.
    `is_missing` is whether C4 had none, although it had ours when it was last looked at.
    """

    domain: Domain
    on_c4: OnC4
    foreign: Installed | None = None
    removed_foreign: Installed | None = None
    is_missing: bool = False


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
    force: bool = False,
) -> Removal:
    """Take the managed domain `name` out of management.

    1. Look which certificate C4 has; without a `control_plane` it stays there. If C4 has none although it had ours when it
       was last looked at, nothing is revoked without `force`: C4 may be wrong, and the edge would serve a revoked one.
    2. With `revoke`: revoke its certificates at the CA.
    3. Remove the certificate from C4 if it is one of the domain's versions here. A foreign one stays, unless
       `may_remove` returns true for it.
    4. Mark the domain as deleted; its history stays.

    Each step is idempotent, so a delete that failed can be repeated. Raise `NotManaged`; `Busy` if another process works
    on the domain; `BadInput` if there is nothing to revoke; `ConfigError` if C4 refuses the token; `TryLater` if C4 or
    the CA did not answer, if C4's answer may be wrong, or if changes on C4 are paused.
    """
    with claimed(store, name):
        domain = store.domain(name)
        revocable = _revocable(domain) if revoke else ()
        installed = None if control_plane is None else _read(control_plane, domain)
        is_missing = control_plane is not None and installed is None and domain.serving is not None
        if is_missing and revocable and not force:
            raise TryLater(
                f"{C4} has no certificate for {name}, although it had ours when it was last looked at, so nothing was revoked and"
                f" {name} stays managed",
                hint=f"if {C4} is right, --force revokes it all the same; without --revoke it is only deleted",
            )
        if control_plane is not None:
            require_no_pause(store, now, f"{name} stays managed")
        for certificate in revocable:
            require_claim(store, name)
            _revoke(store, issuer, domain, certificate)
        if control_plane is None:
            store.record_event(domain, "kept on C4", "", domain.serving.version if domain.serving else None)
            return Removal(store.delete_domain(store.domain(name)), OnC4.KEPT)
        on_c4, foreign = _clear_c4(
            store, control_plane, domain, installed, may_remove, now, is_revoked=bool(revocable)
        )
        require_claim(store, name)
        deleted = store.delete_domain(store.domain(name))
        if on_c4 is OnC4.REMOVED:
            return Removal(deleted, on_c4, removed_foreign=foreign)
        return Removal(deleted, on_c4, foreign, is_missing=is_missing)


@dataclass(frozen=True, slots=True)
class Found:
    """The certificate that C4 has for a domain, None for nothing, and whether sslctl installed it."""

    installed: Installed | None
    is_ours: bool


def find_installed(
    store: Versions, control_plane: ControlPlane, domains: Iterable[Domain]
) -> dict[str, Found]:
    """Return what C4 has for each of `domains`, by name. Raise `ConfigError` or `TryLater`."""
    found = {}
    for domain in domains:
        installed = _read(control_plane, domain)
        is_known = installed is not None and is_ours(store, domain, installed)
        found[domain.name] = Found(installed, is_known)
    return found


def require_no_pause(store: MaintenancePauses, now: datetime, consequence: str) -> None:
    """Raise `TryLater` while an operator has paused all changes on C4; `consequence` says what stays as it is."""
    pause = store.maintenance_pause(now)
    if pause is not None:
        raise TryLater(
            f"nothing is removed from {C4}, because changes there are paused {describe(pause)}; {consequence}",
            hint=f"delete it after the pause, or leave the certificate on {C4} with --keep-on-c4",
        )


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


def _clear_c4(
    store: _Store,
    control_plane: ControlPlane,
    domain: Domain,
    installed: Installed | None,
    may_remove: Callable[[Installed], bool],
    now: datetime,
    *,
    is_revoked: bool,
) -> tuple[OnC4, Installed | None]:
    """Remove `installed`, which C4 has for `domain`, if it is ours or `may_remove` allows it; look again if it changed.

    A maintenance pause that began after the certificate was revoked stops nothing: the edge would serve it until the end.
    Return what became of it, and the certificate if it is foreign.
    """
    for _ in range(_LOOKS):
        if installed is None:
            return OnC4.NONE, None
        is_known = is_ours(store, domain, installed)
        if not is_known and not may_remove(installed):
            detail = (
                f"{installed.source} certificate {installed.fingerprint[:16]}, which sslctl did not install"
            )
            store.record_event(domain, "kept on C4", detail)
            return OnC4.KEPT_FOREIGN, installed
        require_claim(store, domain.name)
        if not is_revoked:
            require_no_pause(store, now, f"{domain.name} stays managed")
        try:
            _remove_from_c4(store, control_plane, domain, installed, now)
        except Changed:
            domain = store.domain(domain.name)
            installed = _read(control_plane, domain)
        else:
            return OnC4.REMOVED, None if is_known else installed
    raise TryLater(
        f"the certificate on {C4} is changed again and again, so {domain.name} stays managed",
        hint=f"find out who else writes to {C4}",
    )


def _remove_from_c4(
    store: _Store, control_plane: ControlPlane, domain: Domain, installed: Installed, now: datetime
) -> None:
    """Remove `installed` from C4. Raise `Changed` if C4 has another certificate by now; `ConfigError` or `TryLater`."""
    served = domain.serving
    if served is not None:
        # If this process is killed before C4 answers, the certificate may be gone: do not claim that it is served.
        domain = store.mark_not_serving(domain, f"it is being removed from {C4}")
    try:
        changes_on_c4.remove(control_plane, domain.name, installed.fingerprint)
    except UnknownDomain:
        return
    except Changed:
        raise
    except ControlPlaneError as error:
        if isinstance(error, changes_on_c4.OutcomeUnknown):
            _record_unanswered(store, domain, error, now)
        elif served is not None and served.leaf.fingerprint == installed.fingerprint:
            store.mark_serving(domain, served, wanted=domain.wanted)
        raise _not_removed(domain, error) from error
    known = find_version(store, domain, installed)
    version = None if known is None else known.version
    store.record_event(domain, "removed", f"{installed.fingerprint[:16]}, from {C4}", version)


def _hint() -> str:
    return f"try again later, or leave the certificate on {C4} with --keep-on-c4"


def _read(control_plane: ControlPlane, domain: Domain) -> Installed | None:
    return read_installed(control_plane, domain.name, f"{domain.name} stays managed", _hint())


def _not_removed(domain: Domain, error: ControlPlaneError) -> SslctlError:
    consequence = f"{domain.name} stays managed"
    return not_answered(f"{C4} did not remove the certificate", consequence, error, _hint())


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
