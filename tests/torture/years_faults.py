"""The faults of the simulation of two years: each is injected once, at a random time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sslctl.control_plane import Installed, Record, State, Unanswered, Unauthorized, UnknownDomain
from sslctl.errors import Exit
from sslctl.issuer import IssueError, RenewalWindow
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.store.sqlite.waiting import Waiting
from tests.support.database_lock import EXCLUSIVE, LockHolder
from tests.support.dying_store import DyingStore
from tests.support.fakes import FakeIssuer
from tests.torture.years_fleet import Fleet
from tests.torture.years_heard import Loss
from tests.torture.years_world import World

Undo = Callable[[], object]
_WEEK = 168.0
_DIGITS = "ab" * 32


@dataclass(frozen=True)
class Injected:
    """Where a fault is injected: the fleet in `world`, with what happens by chance."""

    world: World
    fleet: Fleet
    random: Random

    @property
    def now(self) -> datetime:
        """The right time."""
        return self.world.clock()

    def some(self, number: int) -> list[str]:
        """Return a number of domains with a certificate of ours in service."""
        lit = [name for name in self.fleet.renewed if self.world.edge.is_lit(name)]
        return self.random.sample(lit, min(number, len(lit)))


@dataclass(frozen=True)
class Fault:
    """A fault, injected for `hours`. `inject` returns what ends it. It can make sites dark for `lasts` hours, `hours` by default.

    A message about a site that is dark because of it names one of `codes`. `names` are the domains that it concerns, None for
    all of them.
    """

    what: str
    hours: float
    inject: Callable[[Injected], Undo]
    codes: Collection[Code] = ()
    names: Callable[[Injected], Collection[str] | None] = lambda _where: None
    lasts: float | None = None


def _nothing() -> None:
    """End a fault that ended by itself."""


def _while_in(faults: Callable[[Injected], list[Any]], fault: Any) -> Callable[[Injected], Undo]:
    """Return an injection that has `fault` among `faults` until it ends."""

    def inject(where: Injected) -> Undo:
        among = faults(where)
        among.append(fault)
        return lambda: among.remove(fault)

    return inject


# C4


def _reads(fault: Callable[[Record], Record]) -> Callable[[Injected], Undo]:
    return _while_in(lambda where: where.world.c4.read_faults, fault)


def _raising(error: type[Exception], message: str, prefix: str = "") -> Callable[[Injected], Undo]:
    """Return an injection after which C4 answers with `error` about all names that begin with `prefix`."""

    def read(record: Record) -> Record:
        if record.name.startswith(prefix):
            raise error(message)
        return record

    def write(name: str) -> None:
        if name.startswith(prefix):
            raise error(message)

    def inject(where: Injected) -> Undo:
        ends = [_reads(read)(where), _while_in(lambda where: where.world.c4.write_faults, write)(where)]
        return lambda: [end() for end in ends]

    return inject


def _without(record: Record) -> Record:
    return replace(record, certificate=None)


def _other(source: Source) -> Callable[[Record], Record]:
    def answer(record: Record) -> Record:
        if record.certificate is None:
            return record
        return replace(
            record, certificate=Installed(source, _DIGITS, record.certificate.not_after, State.ACTIVE)
        )

    return answer


def _without_ports(record: Record) -> Record:
    return replace(record, ports=frozenset())


def _lose(where: Injected) -> Undo:
    for name in where.some(8):
        where.world.edge.lost[name] = where.now
        where.world.c4.place(name, None)
        where.world.heard.losses.append(Loss(name, where.now))
    return _nothing


def _paste_over(source: Source) -> Callable[[Injected], Undo]:
    def inject(where: Injected) -> Undo:
        for name in where.some(5):
            where.world.place(name, source, 60)
        return _nothing

    return inject


# DNS


def _dns(code: Code) -> Callable[[Injected], Undo]:
    return _while_in(lambda where: where.world.dns.faults, lambda _name: code)


# The CA


def _before_orders(make: Callable[[datetime], IssueError]) -> Callable[[Injected], Undo]:
    def inject(where: Injected) -> Undo:
        return _while_in(lambda where: where.world.ca.before_orders, lambda: make(where.now))(where)

    return inject


def _after_orders(code: Code, found: str) -> Callable[[Injected], Undo]:
    return _while_in(lambda where: where.world.ca.after_orders, lambda: IssueError(code, found))


def _down(_now: datetime) -> IssueError:
    return IssueError(
        Code.CA_UNAVAILABLE, "connection refused", pause=Scope(LimitKind.ACCOUNT), order_dead=True
    )


def _week_later(code: Code, kind: LimitKind, found: str) -> Callable[[datetime], IssueError]:
    return lambda now: IssueError(
        code, found, retry_at=now + timedelta(hours=_WEEK), pause=Scope(kind), order_dead=True
    )


def _deactivated(_now: datetime) -> IssueError:
    found = "unauthorized: Account is not valid, has status deactivated"
    return IssueError(Code.CA_REFUSED, found, pause=Scope(LimitKind.ACCOUNT), order_dead=True)


def _bad_csr(now: datetime) -> IssueError:
    return IssueError(Code.CA_REFUSED, "badCSR: refused", retry_at=now + timedelta(days=1), order_dead=True)


def _windows(begin: timedelta, end: timedelta) -> Callable[[Injected], Undo]:
    """Return an injection after which ARI suggests the time from `begin` to `end` from now, for all certificates."""

    def inject(where: Injected) -> Undo:
        where.world.ca.suggested = lambda _id: RenewalWindow(where.now + begin, where.now + end)

        def undo() -> None:
            where.world.ca.suggested = None

        return undo

    return inject


def _date_ahead(where: Injected) -> Undo:
    where.world.ca.ahead = timedelta(days=2)
    return lambda: setattr(where.world.ca, "ahead", timedelta(0))


def _wrong_chain(where: Injected) -> Undo:
    where.world.ca.foreign_chain = where.world.text_ca.chain
    return lambda: setattr(where.world.ca, "foreign_chain", "")


# Operators and the machine


def _configured(section: str, lines: str, issuer: Callable[[Injected], FakeIssuer] | None = None) -> Any:
    """Return an injection with another configuration of one section."""

    def inject(where: Injected) -> Undo:
        world = where.world
        world.settings[section] = lines
        world.configure()
        if issuer is not None:
            world.issuer = issuer(where)

        def undo() -> None:
            del world.settings[section]
            world.configure()
            world.issuer = world.ca

        return undo

    return inject


def _restore(where: Injected) -> Undo:
    """Lose the database, and restore the last backup."""
    for path in (where.world.folder / "state").glob("sslctl.db*"):
        path.unlink()
    where.world.sslctl("restore", str(where.world.backup), expected={Exit.OK})
    return _nothing


def _wrong_add(where: Injected) -> Undo:
    """Add the domain of a customer that has a text certificate of its own, by mistake; then delete it."""
    world, name = where.world, where.fleet.bystanders[0]
    world.sslctl("add", name, "--no-wait", expected={Exit.OK})
    return lambda: world.sslctl("delete", name, "--yes", expected={Exit.OK})


def _clock_ahead(where: Injected) -> Undo:
    where.world.skew = timedelta(days=365)
    return lambda: setattr(where.world, "skew", timedelta(0))


def _pause_too_long(where: Injected) -> Undo:
    """Pause orders and uploads for maintenance, and forget to resume them afterwards."""
    options = ("--until", "10d", "--reason", "maintenance of C4", "--force")
    where.world.sslctl("pause", *options, expected={Exit.OK})
    return _nothing


def _locked(where: Injected) -> Undo:
    where.world.waiting = Waiting(0.2, 0.2)
    holder = LockHolder(where.world.folder / "state" / "sslctl.db", EXCLUSIVE)

    def undo() -> None:
        holder.release()
        where.world.waiting = None

    return undo


def _full_disk(where: Injected) -> Undo:
    """Let the database not grow any more. What fits into its free pages can still be recorded."""

    def wrap(store: Any) -> Any:
        store._database._connection.execute("PRAGMA max_page_count = 1")
        return store

    where.world.wrap_store = wrap
    return lambda: setattr(where.world, "wrap_store", None)


def _deaf(where: Injected) -> Undo:
    where.world.chat.deaf.add(1)
    return where.world.chat.deaf.clear


def _no_ping(where: Injected) -> Undo:
    where.world.pings.status = 500
    return lambda: setattr(where.world.pings, "status", 200)


def _kill(where: Injected) -> Undo:
    number, before = where.random.randrange(1, 40), where.random.random() < 1 / 2
    where.world.wrap_store = lambda store: DyingStore(store, number, before=before)
    return lambda: setattr(where.world, "wrap_store", None)


def _customer(name: str) -> Callable[[Injected], Collection[str]]:
    return lambda where: where.fleet.customer(name)


_DRIFT = (
    Code.C4_LOST, Code.C4_MISMATCH, Code.OTHER_CERTIFICATE, Code.OTHER_EXPIRED, Code.FOREIGN_TEXT, Code.KEY_MISSING,
    Code.C4_CHANGED, Code.C4_REJECTED, Code.TEXT_EXPIRES,
)  # fmt: skip
_CA_AWAY = (Code.CA_UNAVAILABLE, Code.BUDGET_HELD, Code.CA_RATE_LIMITED)
_C4_AWAY = (Code.C4_UNANSWERED, Code.C4_UPLOAD_FAILED)
_C4_TOKEN = (Code.C4_TOKEN_REFUSED, Code.C4_UNAUTHORIZED)
_UNKNOWN = (Code.C4_UNKNOWN_DOMAIN, Code.C4_REJECTED, Code.C4_UPLOAD_FAILED)
_UNKNOWN_TEXT = "C4 has no such domain"
_STAGING = 'directory_url = "https://staging.test/directory"\nworkers = 1\ncaa_identities = ["ca.test"]'

FAULTS: Sequence[Fault] = (
    Fault("C4 knows no domain, 12 hours", 12, _raising(UnknownDomain, _UNKNOWN_TEXT), _UNKNOWN),
    Fault("C4 knows no domain, a week", _WEEK, _raising(UnknownDomain, _UNKNOWN_TEXT), _UNKNOWN),
    Fault(
        "C4 knows no domain of a large customer, 3 days", 72, _raising(UnknownDomain, _UNKNOWN_TEXT, "www.acme-"),
        _UNKNOWN, _customer("acme"),
    ),
    Fault(
        "C4 knows no domain of a small customer, a day", 24, _raising(UnknownDomain, _UNKNOWN_TEXT, "www.lone-"),
        _UNKNOWN, _customer("lone"),
    ),
    Fault("C4 is down, a week", _WEEK, _raising(Unanswered, "answered 503"), _C4_AWAY),
    Fault("C4 refuses the token, a week", _WEEK, _raising(Unauthorized, "answered 401"), _C4_TOKEN),
    Fault("C4 shows no certificate, 6 hours", 6, _reads(_without), _DRIFT),
    Fault("C4 shows another text certificate, 6 hours", 6, _reads(_other(Source.TEXT)), _DRIFT),
    Fault("C4 shows another c4 certificate, 6 hours", 6, _reads(_other(Source.C4)), _DRIFT),
    Fault("C4 shows no ports, a day", 24, _reads(_without_ports), (Code.PORTS_NOT_ENABLED,)),
    Fault("C4 loses 8 certificates", 0, _lose, (Code.C4_LOST,)),
    # Nobody renews them, so they expire.
    Fault("customers install 5 text certificates over ours", 0, _paste_over(Source.TEXT), _DRIFT, lasts=61 * 24),
    Fault("somebody installs 5 c4 certificates over ours", 0, _paste_over(Source.C4), _DRIFT),
    Fault("DNS: NXDOMAIN, 2 days", 48, _dns(Code.NXDOMAIN), (Code.NXDOMAIN,)),
    Fault("DNS: no CNAME, a day", 24, _dns(Code.CNAME_MISSING), (Code.CNAME_MISSING,)),
    Fault("DNS: CNAME elsewhere, a day", 24, _dns(Code.CNAME_ELSEWHERE), (Code.CNAME_ELSEWHERE,)),
    Fault("DNS: CAA forbids the CA, 3 days", 72, _dns(Code.CAA_FORBIDS), (Code.CAA_FORBIDS,)),
    Fault("DNS: the resolver is dead, a week", _WEEK, _dns(Code.DNS_UNANSWERED), (Code.DNS_UNANSWERED,)),
    Fault("port 80 is closed, a day", 24, _dns(Code.PORT_80_CLOSED), (Code.PORT_80_CLOSED,)),
    Fault("the CA is down, a week", _WEEK, _before_orders(_down), _CA_AWAY),
    Fault(
        "503 of the CA, Retry-After of a week, once", 1,
        _before_orders(_week_later(Code.CA_UNAVAILABLE, LimitKind.ACCOUNT, "503")), _CA_AWAY,
    ),
    Fault(
        "429 of the CA, Retry-After of a week, once", 1,
        _before_orders(_week_later(Code.CA_RATE_LIMITED, LimitKind.ACCOUNT, "rateLimited: too many requests")), _CA_AWAY,
    ),
    Fault("the account is deactivated, 3 days", 72, _before_orders(_deactivated), (Code.CA_REFUSED, *_CA_AWAY)),
    Fault("badCSR, a day", 24, _before_orders(_bad_csr), (Code.CA_REFUSED, *_CA_AWAY)),
    Fault(
        "403 for each certificate, a day", 24,
        _after_orders(Code.CA_UNAVAILABLE, "it issued the certificate, but did not return it: 403"), _CA_AWAY,
    ),
    Fault("no order ends, 3 days", 72, _after_orders(Code.CA_VALIDATING, "processing"), (Code.CA_VALIDATING,)),
    Fault("another CA's chain, a day", 24, _wrong_chain, (Code.ISSUER_FAILED, *_CA_AWAY)),
    Fault("certificates are valid two days later, a day", 24, _date_ahead, (Code.CLOCK_WRONG, *_CA_AWAY)),
    Fault("ARI: renew all now, a week", _WEEK, _windows(timedelta(hours=-2), timedelta(hours=-1)), _CA_AWAY),
    Fault("ARI: a window of last year, a week", _WEEK, _windows(timedelta(days=-365), timedelta(days=-364)), _CA_AWAY),
    Fault("the configuration names the staging CA, 2 days", 48, _configured("acme", _STAGING, lambda where: FakeIssuer(where.world.clock)), (Code.CERT_WORSE,)),
    Fault("renewal.max_per_day = 5, 3 weeks", 3 * _WEEK, _configured("renewal", "max_per_day = 5"), (Code.QUEUED,)),
    Fault("a wrong add, and a delete a day later", 24, _wrong_add),
    Fault("the database is lost, and a backup of up to 20 days ago is restored", 0, _restore, _DRIFT),
    Fault("the clock is ahead by a year, for one tick", 1, _clock_ahead, (Code.CLOCK_WRONG,)),
    Fault(
        "a maintenance pause is forgotten, and ends by itself after 10 days", 240, _pause_too_long,
        (Code.MAINTENANCE, Code.UPLOAD_PAUSED),
    ),
    Fault("the database is locked, 10 hours", 10, _locked),
    Fault("the disk is full, 10 hours", 10, _full_disk, (Code.ISSUER_FAILED,)),
    Fault("sslctl is killed within a tick", 1, _kill),
    Fault("the chat takes no message, 3 days", 72, _deaf),
    Fault("the ping fails, a day", 24, _no_ping),
)  # fmt: skip
"""Every fault of the simulation."""
