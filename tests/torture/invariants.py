"""The checker of the invariants that must hold after every fault.

I1 Every certificate that the CA issued is stored with its key, or its order is open and will be collected.
I2 At most one extra order a crash, and none while an order is open.
I3 The database is intact, and contains what was acknowledged.
I4 Key, chain and names of stored certificates match; a certificate of the CA is never replaced on C4 by one that expires
   earlier.
I5 No other user can read any file of the state.
I6 C4 has exactly the certificate that sslctl reports as served, or one of the stored ones while there is a finding.
   `list --status` finds a domain by the status that is derived from its facts.
I7 Healthy domains are in Success.

I8, that a tick ends in time with the right exit code, is checked by the code that runs the tick.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sslctl.certificates import x509
from sslctl.errors import BadInput
from sslctl.rules.model import Bundle, Domain, Source
from sslctl.rules.reasons import Status
from sslctl.rules.status import derive_status
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore

_OTHERS = 0o077


@dataclass(slots=True)
class Outside:
    """What CA and C4 know: serial numbers (lower-case hex) that were issued, and the number of orders, by name.

    `installed` returns the fingerprint that C4 serves for a name. `unseen` are domains that another client changed on C4
    since sslctl last asked. Kept between checks: `served_until`, the expiry of what was served, and `matching`, the pairs
    that were already verified.
    """

    issued: Callable[[], Iterable[str]]
    orders: Callable[[], Mapping[str, int]]
    installed: Callable[[str], str | None]
    unseen: set[str] = field(default_factory=set)
    served_until: dict[str, datetime] = field(default_factory=dict)
    matching: set[tuple[str, Bundle]] = field(default_factory=set)


def violations(
    state: Path,
    outside: Outside,
    now: datetime,
    *,
    most_orders: Callable[[str], int] = lambda _name: 1,
    acknowledged: Iterable[str] = (),
    healthy: Iterable[str] | None = None,
) -> list[str]:
    """Return the violations in the state folder `state`, on which no process may be working.

    `most_orders` returns how many orders a name may have cost, `acknowledged` are the domains that a command reported as
    recorded, `healthy` those that must be in Success (default: all that are managed).
    """
    found = [*_broken(state / "sslctl.db"), *readable(state)]
    if found and "cannot" in found[0]:
        return found
    store = SqliteStore(
        state / "sslctl.db", Keyring(state / "master.key"), clock=lambda: now, actor="checker (torture)"
    )
    with closing(store):
        found += of_store(store, outside, now, healthy=healthy, acknowledged=acknowledged)
    return [*found, *superfluous(outside, most_orders)]


def superfluous(outside: Outside, most_orders: Callable[[str], int]) -> Iterator[str]:
    """Yield the names with more orders than `most_orders` returns."""
    for name, count in outside.orders().items():
        if count > most_orders(name):
            yield f"I2: {count} orders were placed for {name}, at most {most_orders(name)} are allowed"


def _broken(database: Path) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            answer = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            strays = connection.execute("PRAGMA foreign_key_check").fetchall()
            twice = connection.execute(
                "SELECT domain_id FROM acme_order WHERE closed_at IS NULL GROUP BY 1 HAVING count(*) > 1"
            ).fetchall()
    except sqlite3.Error as error:
        yield f"I3: the database cannot be read: {error}"
        return
    if answer != ["ok"]:
        yield f"I3: integrity_check says {answer[:2]}"
    if strays:
        yield f"I3: {len(strays)} rows refer to missing rows"
    if twice:
        yield f"I2: {len(twice)} domains have two open orders"


def readable(state: Path) -> Iterator[str]:
    """Yield the files and folders of the state folder `state` that other users can access."""
    for path in (state, *state.rglob("*")):
        # Challenge files are public.
        if path.is_symlink() or "webroot" in path.parts:
            continue
        if path.stat().st_mode & _OTHERS:
            yield f"I5: other users can access {path.relative_to(state.parent)}"


def of_store(
    store: Store,
    outside: Outside,
    now: datetime,
    *,
    healthy: Iterable[str] | None,
    acknowledged: Iterable[str],
) -> Iterator[str]:
    """Yield the violations of what the open `store` contains; see `violations`."""
    domains = {domain.name: domain for domain in store.domains(Query(), now)}
    yield from (f"I3: {name} was acknowledged and is missing" for name in acknowledged if name not in domains)
    serials = set[int]()
    # The history of a deleted domain stays, and its order is collected if it is added again.
    every = [*domains.values(), *store.domains(Query(deleted=True), now)]
    for domain in every:
        yield from _certificates(store, domain, serials, outside.matching)
    for domain in domains.values():
        yield from _served(store, domain, outside)
    yield from _statuses(store, domains, now)
    open_orders = [domain for domain in every if store.find_open_order(domain) is not None]
    missing = {int(serial, 16) for serial in outside.issued()} - serials
    if len(missing) > len(open_orders):
        yield f"I1: {len(missing)} issued certificates are not stored, and {len(open_orders)} orders are open"
    for name in domains if healthy is None else healthy:
        status = derive_status(domains[name], now).status if name in domains else None
        if status is not Status.SUCCESS:
            finding = domains[name].finding if name in domains else None
            yield f"I7: {name} is healthy and in {status} ({finding})"


def _certificates(
    store: Store, domain: Domain, serials: set[int], matching: set[tuple[str, Bundle]]
) -> Iterator[str]:
    for certificate in store.certificates(domain):
        serials.add(int(certificate.leaf.serial, 16))
        bundle = store.bundle(certificate)
        # Versions never change, and verifying all of them again takes longer than everything else here.
        if (certificate.fingerprint, bundle) in matching:
            continue
        try:
            # A certificate that has expired since is no violation.
            valid_at = certificate.leaf.not_before + timedelta(seconds=1)
            x509.check_pair(
                bundle.certificate, bundle.private_key, bundle.chain, certificate.leaf.names, valid_at
            )
        except BadInput as error:
            yield f"I4: version {certificate.version} of {domain.name}: {error.message}"
        else:
            matching.add((certificate.fingerprint, bundle))


def _served(store: Store, domain: Domain, outside: Outside) -> Iterator[str]:
    installed = outside.installed(domain.name)
    said = domain.serving.fingerprint if domain.serving else None
    # While an upload is due C4 may have it already, if its response was lost.
    allowed = {said, domain.wanted.fingerprint if domain.wanted else None} - {None} or {None}
    if domain.finding is not None or domain.serving is None:
        # With a finding, or nothing served, C4 may have any stored certificate, or none.
        allowed |= {None, *(certificate.fingerprint for certificate in store.certificates(domain))}
    if installed not in allowed and domain.name not in outside.unseen:
        yield f"I6: C4 serves {installed} for {domain.name}, and sslctl reports {said}"
    # A person may add a text certificate that expires earlier.
    if domain.serving is not None and domain.serving.source is Source.C4:
        before = outside.served_until.get(domain.name)
        if before is not None and domain.serving.not_after < before:
            yield f"I4: what is served for {domain.name} expires earlier than what was served before"
        outside.served_until[domain.name] = domain.serving.not_after


def _statuses(store: Store, domains: Mapping[str, Domain], now: datetime) -> Iterator[str]:
    derived = {name: derive_status(domain, now).status for name, domain in domains.items()}
    for status in Status:
        found = {domain.name for domain in store.domains(Query(statuses=(status,)), now)}
        wanted = {name for name, its in derived.items() if its is status}
        yield from (
            f"I6: {name} is in {derived.get(name)}, and listed as {status}" for name in found - wanted
        )
        yield from (f"I6: {name} is in {status}, and not listed so" for name in wanted - found)
