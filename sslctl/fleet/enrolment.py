"""Take domains under management."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from types import MappingProxyType
from typing import Protocol

from sslctl.control_plane import ControlPlane
from sslctl.errors import BadInput, Busy, NotManaged, SslctlError
from sslctl.fleet.installed import require_installed
from sslctl.issuance.claims import claimed
from sslctl.issuance.observation import find_version
from sslctl.rules import status
from sslctl.rules.model import Bundle, Domain, Installed, Leaf, PassResult, Source
from sslctl.rules.reasons import Status
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_adopted, is_expired, pick_reusable
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.history import History
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.system.threads import map_in_threads
from sslctl.wording import C4

# Several threads, because the store commits their writes together.
_THREADS = 32
_BLOCK = 1000


class _Store(Claims, Domains, History, Revocations, Transactions, Versions, Protocol):
    """What enrolment reads and writes."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many names were added, how many were managed already, and the errors of the names that were refused."""

    added: int
    already_managed: int
    refused: dict[str, SslctlError]


def enrol(
    store: _Store,
    name: str,
    sans: tuple[str, ...] | None,
    now: datetime,
    *,
    new: bool = False,
    consents: bool = True,
    holders_checked: bool = False,
) -> Domain:
    """Take `name` under management with a certificate of source c4, and return the domain. Idempotent.

    If `sans` is None, the other names stay as they are. A deleted domain gets its last certificate back if that is
    usable and `new` is false. `consents` is whether a person agreed to replace what C4 has: without that, an adopted
    certificate stays, and `BadInput` is raised. So it is without `new` if the certificate of another domain has `name`, unless
    the caller has `holders_checked`. Raise
    `Busy` if another process works on the domain, `StateError`.
    """
    known = store.find(name)
    if not (new or holders_checked) and (known is None or known.deleted_at is not None):
        holder = store.holders([name]).get(name)
        if holder is not None:
            raise _held(name, holder)
    if known is None:
        return store.add_domain(name, sans or (), Source.C4)
    if _is_up_to_date(known, sans):
        return known
    if _must_stay(known, consents=consents):
        raise _kept(name)
    names = known.sans if sans is None else sans
    with claimed(store, name):
        if known.deleted_at is None:
            return store.update_domain(known, names, Source.C4)
        versions = [] if new else store.certificates(known)
        return store.add_domain(name, names, Source.C4, pick_reusable(versions, (name, *names), now))


def _held(name: str, holder: str) -> BadInput:
    """Return the error of a name that the certificate of another domain, `holder`, has already."""
    return BadInput(
        f"the certificate of {holder} has the name {name} already, so nothing was recorded for it",
        hint=f"`sslctl view {holder}` shows it; `sslctl add {name} --new` gets one of its own",
    )


def _must_stay(domain: Domain, *, consents: bool) -> bool:
    return domain.deleted_at is None and is_adopted(domain) and not consents


def _kept(name: str) -> BadInput:
    """Return the error of a domain whose certificate was adopted, and that nobody consents to replace."""
    return BadInput(
        f"the certificate of {name} was kept with `sslctl adopt`, so it stays; nothing was changed",
        hint=f"`sslctl add {name}`, without --no-wait and --from-file, replaces it with one from the CA",
    )


def _is_up_to_date(domain: Domain, sans: tuple[str, ...] | None) -> bool:
    return domain.deleted_at is None and domain.source is Source.C4 and sans in (None, domain.sans)


def enrol_many(
    store: _Store,
    names: Sequence[str],
    now: datetime,
    *,
    sans_of: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    drop_sans: bool = False,
    new: bool = False,
    requeue: bool = False,
    consents: bool = True,
) -> Enrolled:
    """Call `enrol` for each of `names`, and with `requeue` also `queue`.

    Domains get the other names of `sans_of`. The rest of those that are managed keep theirs, unless `drop_sans` is true. A domain that another process works on, and
    without consent one that is adopted, is refused, and the rest go on. Raise `StateError`; what was recorded before it stays.
    """
    sans = () if drop_sans else None

    def update(name: str) -> SslctlError | None:
        try:
            # `holders` reads all domains, so it is called once for all names.
            enrolled = enrol(
                store, name, sans_of.get(name, sans), now, new=new, consents=consents, holders_checked=True
            )
            if requeue:
                queue(store, enrolled, now)
        except (Busy, BadInput) as error:
            return error
        return None

    refused = {} if new else _find_held(store, names)
    accepted = [name for name in names if name not in refused]
    bare = [name for name in accepted if name not in sans_of]
    known = store.add_domains(bare)
    added = len(bare) - len(known)
    outdated = chain(
        (
            (domain.name, domain.deleted_at is None)
            for domain in store.domains_named(known)
            if not _is_up_to_date(domain, sans) or (requeue and _is_deferred(domain))
        ),
        _with_sans(store, [name for name in accepted if name in sans_of]),
    )
    while block := list(islice(outdated, _BLOCK)):
        # After Ctrl-C the threads may still wait for a locked database, until the store is closed.
        updated = map_in_threads(update, [name for name, _ in block], _THREADS, "enrol", wait=False)
        for (name, is_managed), error in zip(block, updated, strict=True):
            if error is not None:
                refused[name] = error
            elif not is_managed:
                added += 1
    return Enrolled(added, len(names) - added - len(refused), refused)


def _with_sans(store: _Store, names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield each of `names`, and whether it is managed."""
    managed = {domain.name for domain in store.domains_named(names) if domain.deleted_at is None}
    return ((name, name in managed) for name in names)


class Action(StrEnum):
    """What `enrol` would do with a domain."""

    ADD = "add"
    CHANGE = "change"
    NONE = "none"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Planned:
    """What `enrol` would do with the domain `name`: `action`, which is `REFUSE` because of `error`.

    `sans` are the other names that it would have afterwards, `before` those that it has. `customer` is the customer that would be
    recorded, None if that would not change.
    """

    name: str
    action: Action
    sans: tuple[str, ...]
    before: tuple[str, ...] = ()
    error: SslctlError | None = None
    customer: str | None = None


def plan_enrolment(
    store: _Store | None,
    names: Sequence[str],
    *,
    sans_of: Mapping[str, tuple[str, ...]],
    customers: Mapping[str, str],
    drop_sans: bool,
    new: bool,
    consents: bool,
) -> list[Planned]:
    """Return what `enrol_many` would do with each of `names`, as far as no other process works on them; change nothing.

    `store` is None if there is no state yet. `customers` are recorded afterwards.
    """
    held = _find_held(store, names) if store is not None and not new else {}
    known = {domain.name: domain for domain in store.domains_named(names)} if store is not None else {}
    sans = () if drop_sans else None
    planned = (
        _plan(name, known.get(name), sans_of.get(name, sans), held.get(name), consents=consents)
        for name in names
    )
    return [_with_customer(each, known.get(each.name), customers.get(each.name)) for each in planned]


def _with_customer(planned: Planned, known: Domain | None, customer: str | None) -> Planned:
    """Return `planned` with the customer that would be recorded."""
    before = known.remarks.customer if known is not None else ""
    if planned.action is Action.REFUSE or customer is None or customer == before:
        return planned
    return replace(
        planned, action=Action.CHANGE if planned.action is Action.NONE else planned.action, customer=customer
    )


def _plan(
    name: str,
    known: Domain | None,
    sans: tuple[str, ...] | None,
    held: SslctlError | None,
    *,
    consents: bool,
) -> Planned:
    before = known.sans if known is not None else ()
    after = before if sans is None else sans
    if held is not None:
        return Planned(name, Action.REFUSE, after, before, held)
    if known is None or known.deleted_at is not None:
        return Planned(name, Action.ADD, after, before)
    if _is_up_to_date(known, sans):
        return Planned(name, Action.NONE, after, before)
    if _must_stay(known, consents=consents):
        return Planned(name, Action.REFUSE, before, before, _kept(name))
    return Planned(name, Action.CHANGE, after, before)


def _find_held(store: _Store, names: Sequence[str]) -> dict[str, SslctlError]:
    """Return an error for each of `names` that is in the certificate of another domain, and is not managed itself."""
    refused: dict[str, SslctlError] = {}
    for name, holder in store.holders(names).items():
        known = store.find(name)
        if known is None or known.deleted_at is not None:
            refused[name] = _held(name, holder)
    return refused


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
    wrong (the message says which), if no browser accepts the certificate, or if its key is compromised; `Busy` if another process works on the domain.
    Nothing is recorded then.
    """
    # cryptography is slow to import, and `enrol` does not need it.
    from sslctl.certificates import x509  # noqa: PLC0415
    from sslctl.certificates.verification import check_bundle  # noqa: PLC0415
    from sslctl.issuance.compromised_keys import is_compromised  # noqa: PLC0415

    known = store.find(name)
    if sans is None:
        sans = known.sans if known is not None else ()
    x509.check_pair(bundle.certificate, bundle.private_key, bundle.chain, (name, *sans), now)
    check_bundle(bundle, now)
    leaf = x509.read_leaf(bundle.certificate)
    if is_compromised(store, bundle):
        raise BadInput(
            "the key is marked as compromised (`sslctl revoke`), so it is never used again",
            hint="make a new key, and get a certificate for it",
        )
    with claimed(store, name):
        known = store.find(name)
        if known is not None and known.deleted_at is None and _is_pasted(known, leaf, sans):
            return known
        return store.add_text_certificate(name, sans, bundle, leaf)


class Adoption(StrEnum):
    """What `adopt` did."""

    ADOPTED = "adopted"
    ADOPTED_BEFORE = "adopted before"
    OURS = "ours"


def adopt(store: _Store, control_plane: ControlPlane, name: str, now: datetime) -> tuple[Domain, Adoption]:
    """Keep the certificate that somebody else installed on C4 as the text certificate of the managed domain `name`.

    Return the domain, and what was done: nothing is changed if C4 has a certificate of ours, or if the same one was adopted
    before. Raise `NotManaged`; `Busy` if another process works on the domain; `BadInput` if C4 has no certificate, or one that
    is expired at `now`, or does not know the domain; `ConfigError` if C4 refuses the token; `TryLater` if C4 did not answer.
    """
    with claimed(store, name):
        domain = store.domain(name)
        installed = require_installed(control_plane, name, "nothing was changed")
        if find_version(store, domain, installed) is not None:
            return domain, Adoption.OURS
        if is_expired(installed, now):
            raise BadInput(
                f"{C4}'s certificate for {name} expired {format_sgt(installed.not_after)}, so it is not worth keeping",
                hint=f"`sslctl add {name}` replaces it with one from the CA",
            )
        if _is_known_adoption(domain, installed):
            return domain, Adoption.ADOPTED_BEFORE
        return store.adopt_certificate(domain, installed), Adoption.ADOPTED


def _is_known_adoption(domain: Domain, installed: Installed) -> bool:
    """Return whether `installed` was adopted before, and there is no finding or warning that an adoption would end."""
    is_same = domain.foreign is not None and domain.foreign.fingerprint == installed.fingerprint
    return is_same and is_adopted(domain) and domain.result == PassResult() and not domain.text_consent


def _is_pasted(domain: Domain, leaf: Leaf, sans: tuple[str, ...]) -> bool:
    # After a failed `add` over a text certificate, that certificate is still the wanted one, but the source is c4.
    return (
        domain.source is Source.TEXT
        and domain.sans == sans
        and domain.wanted is not None
        and domain.wanted.leaf.fingerprint == leaf.fingerprint
    )


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
