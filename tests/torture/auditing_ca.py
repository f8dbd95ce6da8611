"""A fake CA that audits: it records every order and its outcome, and which orders were not justified."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from sslctl.certificates.x509 import read_leaf
from sslctl.issuer import Issued, IssueError, OrderPending
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Bundle, Leaf, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from tests.support.fakes import FakeIssuer

_PATIENCE = timedelta(days=2)
_MARGIN = timedelta(days=7)


class Stage(StrEnum):
    """What the CA refuses: the order or the challenge; with `ANSWER` nothing, but its last response is lost."""

    ORDER = auto()
    CHALLENGE = auto()
    ANSWER = auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One refusal."""

    code: Code
    stage: Stage
    retry_in: timedelta | None = None
    pause: LimitKind | None = None
    dead: bool = False

    def error(self, name: str, now: datetime, *, dead: bool) -> IssueError:
        """Return the error that the issuer raises at `now` for an order of `name`."""
        keys = {LimitKind.CERTIFICATES: name, LimitKind.FAILURES: name}
        pause = None if self.pause is None else Scope(self.pause, keys.get(self.pause, ""))
        retry_at = None if self.retry_in is None else now + self.retry_in
        return IssueError(self.code, "as the model wants it", retry_at=retry_at, pause=pause, order_dead=dead)


class State(StrEnum):
    """The state of an order."""

    PENDING = auto()
    VALID = auto()
    INVALID = auto()


@dataclass(slots=True)
class AuditedOrder:
    """An order. `leaf` is what was issued; `kept` is true once sslctl stored it; `excuse` is why it may be abandoned."""

    name: str
    names: frozenset[str]
    state: State = State.PENDING
    leaf: Leaf | None = None
    kept: bool = False
    excuse: str = ""
    surpassed: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether another order for the same name would be a duplicate."""
        return not self.excuse and (
            self.state is State.PENDING or (self.state is State.VALID and not self.kept)
        )


class AuditingCa(FakeIssuer):
    """A CA that records every order. `now` is sslctl's clock, `clock` its own.

    `troubles` are the refusals of the next requests, by name. `wrongs` has one sentence for each order that should not
    have been placed. `wished` are names for which a person requested a new certificate that is not issued yet.
    """

    def __init__(self, now: Callable[[], datetime], clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.now = now
        self.book: dict[str, AuditedOrder] = {}
        self.troubles: dict[str, list[Trouble]] = {}
        self.wrongs: list[str] = []
        self.wished: set[str] = set()
        self.justified = Counter[str]()
        self.refused = False
        self._lock = threading.Lock()

    # Called by sslctl

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        name, url = order.names[0], order.url
        self.replaced.append(replaces)
        trouble = self._next_trouble(name)
        if url is None:
            if trouble is not None and trouble.stage is Stage.ORDER:
                raise trouble.error(name, self.now(), dead=trouble.dead)
            url = self._place(order)
            try:
                on_url(url)
            except BaseException:
                self.book[url].excuse = "sslctl was killed before it could keep the URL"
                raise
        booked = self.book[url]
        if trouble is not None and trouble.stage is not Stage.ANSWER:
            booked.state = State.INVALID if trouble.dead else State.PENDING
            raise trouble.error(name, self.now(), dead=trouble.dead)
        issued = self.issued[url] = Issued(self._sign(order), self.chain)
        booked.state, booked.leaf = State.VALID, read_leaf(issued.certificate)
        self.wished.discard(name)
        if trouble is not None:
            raise trouble.error(name, self.now(), dead=False)
        return issued

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        booked = self.book.get(order.url or "")
        trouble = self._next_trouble(order.names[0])
        if trouble is not None:
            dead = trouble.dead and booked is not None and booked.state is not State.VALID
            if booked is not None and dead:
                booked.state = State.INVALID
            if booked is not None and self.now() - order.opened_at >= _PATIENCE:
                booked.excuse = "there was no answer about it for two days"
            raise trouble.error(order.names[0], self.now(), dead=dead)
        if booked is None or booked.state is State.INVALID:
            return None
        if booked.leaf is None:
            raise OrderPending
        if booked.leaf.not_after <= self.now():
            booked.excuse = "it expired before it could be collected"
        return self.issued[order.url or ""]

    def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
        """See `Issuer.revoke`."""
        leaf = read_leaf(bundle.certificate)
        trouble = self._next_trouble(leaf.names[0])
        if trouble is not None:
            raise trouble.error(leaf.names[0], self.now(), dead=False)
        super().revoke(bundle, reason)
        self.surpass(leaf.names[0])

    # Called by the model

    def surpass(self, name: str) -> None:
        """Allow the next order for `name`: its issued certificates are not wanted any more."""
        for booked in self._of(name):
            booked.surpassed = True

    def let_go(self, name: str, names: frozenset[str]) -> None:
        """Excuse the open orders of `name` whose set of names is not `names`."""
        for booked in self._of(name):
            if booked.is_open and booked.names != names:
                booked.excuse = "other names are wanted"

    def keep(self, serials: set[str]) -> None:
        """Record the serial numbers that sslctl has stored."""
        for booked in self.book.values():
            booked.kept = booked.kept or (booked.leaf is not None and booked.leaf.serial in serials)

    def latest(self, name: str) -> Leaf | None:
        """Return the leaf that was issued last for `name`, or None."""
        issued = [booked.leaf for booked in self._of(name) if booked.leaf is not None]
        return issued[-1] if issued else None

    def serials(self) -> list[str]:
        """Return the serial numbers that sslctl must have stored or still be able to collect."""
        every = list(self.book.values())
        return [booked.leaf.serial for booked in every if booked.leaf is not None and not booked.excuse]

    def _of(self, name: str) -> list[AuditedOrder]:
        return [booked for booked in self.book.values() if booked.name == name]

    def _next_trouble(self, name: str) -> Trouble | None:
        with self._lock:
            waiting = self.troubles.get(name)
            if not waiting:
                return None
            self.refused = True
            return waiting.pop(0)

    def _place(self, order: Order) -> str:
        with self._lock:
            name, names = order.names[0], frozenset(order.names)
            wrong = self._wrong(name, names)
            if wrong:
                self.wrongs.append(wrong)
            else:
                self.justified[name] += 1
            self.orders.append(order.names)
            url = f"https://ca.test/order/{len(self.orders)}"
            self.book[url] = AuditedOrder(name, names)
            return url

    def _wrong(self, name: str, names: frozenset[str]) -> str:
        """Return why an order for `names` is not justified; empty if it is."""
        earlier = self._of(name)
        if any(booked.is_open for booked in earlier):
            return f"I2: another order for {name} was placed while one is open"
        issued = [booked for booked in earlier if booked.leaf is not None and not booked.excuse]
        if name in self.wished or not issued or issued[-1].surpassed or issued[-1].names != names:
            return ""
        leaf = issued[-1].leaf
        if leaf is not None and leaf.not_after - _MARGIN > self.now():
            return f"I2: an order for {name} was placed, though nothing asked for it"
        return ""
