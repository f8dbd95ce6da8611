"""Taking domains in and letting them go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

from sslctl.certificates import x509
from sslctl.control_plane import ControlPlane, ControlPlaneError, Unanswered, Unauthorized, UnknownDomain
from sslctl.errors import BadInput, Busy, ConfigError, NotManaged, TryLater
from sslctl.issuance import delivery
from sslctl.issuance.claims import claimed
from sslctl.issuer import IssueError, Issuer
from sslctl.rules import schedule, status
from sslctl.rules.model import Bundle, Certificate, Domain, Finding, Leaf, Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.schedule import count_tries
from sslctl.rules.versions import pick_reusable
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.history import History
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# Threads share their commits (`interface.database`).
_AT_ONCE = 32
_MOST_QUEUED = 1000


class _Store(Claims, Domains, History, Transactions, Versions, Protocol):
    """What taking domains in and out of management reads and writes."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of many names: how many came under management, how many were there already, and what was refused."""

    recorded: int
    known: int
    refused: dict[str, Busy]


def enrol(
    store: _Store, name: str, sans: tuple[str, ...] | None, now: datetime, *, new: bool = False
) -> Domain:
    """Take `name` under management with a certificate of source c4; harmless when it is managed already.

    `sans` None leaves the other names as they are. A deleted domain comes back with its certificate where that may
    still be used, unless `new`. Raises `Busy`, `StateError`.
    """
    known = store.find(name)
    if known is None:
        return store.add_domain(name, sans or (), Source.C4)
    if _is_as_wished(known, sans):
        return known
    names = known.sans if sans is None else sans
    with claimed(store, name):
        if known.deleted_at is None:
            return store.update_domain(known, names, Source.C4)
        versions = [] if new else store.certificates(known)
        return store.add_domain(name, names, Source.C4, pick_reusable(versions, (name, *names), now))


def _is_as_wished(domain: Domain, sans: tuple[str, ...] | None) -> bool:
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
    """Do for each of `names` what `enrol` does, and with `requeue` what `queue` does.

    The other names of those that are known are left as they are, unless `drop_sans`. One that somebody else works on
    does not stop the others. Raises `StateError`; what was done before stays.
    """
    sans = () if drop_sans else None

    def take_up(domain: Domain) -> Busy | None:
        try:
            enrolled = enrol(store, domain.name, sans, now, new=new)
            if requeue:
                queue(store, enrolled, now)
        except Busy as error:
            return error
        return None

    known = store.add_domains(names)
    unlike = (
        domain
        for domain in store.domains_named(known)
        if not _is_as_wished(domain, sans) or (requeue and _waits_long(domain))
    )
    taken_back, refused = 0, {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while queued := list(islice(unlike, _MOST_QUEUED)):
            for domain, error in zip(queued, pool.map(take_up, queued), strict=True):
                if error is not None:
                    refused[domain.name] = error
                elif domain.deleted_at is not None:
                    taken_back += 1
    recorded = len(names) - len(known) + taken_back
    return Enrolled(recorded, len(names) - recorded - len(refused), refused)


def queue(store: _Store, domain: Domain, now: datetime) -> Domain:
    """Have the next tick take `domain` up where it would wait for midnight or for a person: a person has spoken."""
    if not _waits_long(domain):
        return domain
    with claimed(store, domain.name):
        return store.record_finding(domain, status.queued_finding(now))


def _waits_long(domain: Domain) -> bool:
    return domain.finding is not None and domain.finding.reason.status in (Status.FAILURE, Status.DISCARD)


def paste(store: _Store, name: str, sans: tuple[str, ...] | None, bundle: Bundle, now: datetime) -> Domain:
    """Take `name` under management with the pasted `bundle`; the same pair again is harmless.

    `sans` None leaves the other names as they are. Raises `BadInput` saying which of key, name, date or chain is
    wrong; nothing is recorded then.
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


def _is_pasted(domain: Domain, leaf: Leaf, sans: tuple[str, ...]) -> bool:
    # A failed `add` over text leaves the pasted certificate wanted, and the source changed.
    return (
        domain.source is Source.TEXT
        and domain.sans == sans
        and domain.wanted is not None
        and domain.wanted.leaf.fingerprint == leaf.fingerprint
    )


def remove(
    store: _Store,
    control_plane: ControlPlane | None,
    issuer: Issuer,
    name: str,
    now: datetime,
    *,
    revoke: bool = False,
) -> Domain:
    """Take the managed domain `name` out of management: at the CA where wanted, from C4, then here.

    Without a `control_plane` the certificate stays on C4. Every step is harmless when done twice, so a delete that failed midway is simply repeated. Raises `NotManaged`,
    `Busy`, `BadInput` when there is nothing to revoke, `TryLater` when C4 or the CA could not be asked.
    """
    with claimed(store, name):
        domain = store.domain(name)
        for certificate in _revocable(domain) if revoke else ():
            _revoke(store, issuer, domain, certificate)
        if control_plane is None:
            store.record_event(domain, "kept on C4", "", domain.serving.version if domain.serving else None)
        else:
            _remove_from_c4(store, control_plane, domain, now)
        return store.delete_domain(store.domain(name))


def _revocable(domain: Domain) -> list[Certificate]:
    """Give what is served and what was to be served, as far as the CA issued it and did not revoke it yet."""
    current = {one.id: one for one in (domain.serving, domain.wanted) if one is not None}
    if not current:
        raise BadInput(f"{domain.name} has no certificate to revoke", hint="delete it without --revoke")
    issued = [one for one in current.values() if one.source is Source.C4]
    if not issued:
        raise BadInput(
            f"the certificate of {domain.name} was added by text, so only who ordered it can revoke it",
            hint="delete it without --revoke",
        )
    return [one for one in issued if one.revoked_at is None]


def _remove_from_c4(store: _Store, control_plane: ControlPlane, domain: Domain, now: datetime) -> None:
    served = domain.serving
    if served is not None:
        # A kill may keep us from hearing that C4 did it: until it is seen there again, nobody says that it is served.
        domain = store.mark_not_serving(domain, "it is being removed from C4")
    try:
        removed = delivery.remove(control_plane, domain.name)
    except UnknownDomain:
        removed = False
    except ControlPlaneError as error:
        if isinstance(error, delivery.Doubtful):
            _leave_to_tick(store, domain, error, now)
        elif served is not None:
            store.mark_serving(domain, served, wanted=domain.wanted)
        if isinstance(error, Unauthorized):
            raise ConfigError(
                f"C4 refused our token, so {domain.name} stays managed: {error}", hint="see c4.token_file"
            ) from error
        raise TryLater(
            f"C4 could not be asked, so {domain.name} stays managed: {error}",
            hint="try again later, or leave the certificate there with --keep-on-c4",
        ) from error
    if removed:
        store.record_event(domain, "removed", "from C4", served.version if served else None)


def _leave_to_tick(store: Domains, domain: Domain, error: Unanswered, now: datetime) -> None:
    """Have the tick see what C4 has of a domain whose certificate may be gone."""
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
    """Have the next tick see for itself what C4 serves: of what is well, nobody has seen it since.

    What is not well is looked at again anyhow. An upload of what C4 has already is not made, and no order is placed.
    """
    names = [domain.name for domain in store.domains(Query(statuses=(Status.SUCCESS,)), now)]
    for start in range(0, len(names), _MOST_QUEUED):
        with store.transaction():
            for domain in store.domains_named(names[start : start + _MOST_QUEUED]):
                if domain.serving is not None and domain.serving == domain.wanted:
                    store.mark_not_serving(domain, why)


def managed(store: Domains, names: Iterable[str]) -> list[Domain]:
    """Give the managed domains `names`, in that order. Raises `NotManaged` for the first that is not."""
    wanted = list(names)
    try:
        return [store.domain(name) for name in wanted]
    except NotManaged as error:
        if len(wanted) == 1:
            raise
        raise NotManaged(f"{error.message}; nothing was done", hint=error.hint) from error
