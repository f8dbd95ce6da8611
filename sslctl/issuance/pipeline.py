"""One domain, one pass: C4's record, preflight, order, store, upload, read back.

Every step is committed before the next begins, so a kill between any two leaves a state from which the next pass goes
on: with the order that is open, or with the upload that is owed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.certificates import x509
from sslctl.control_plane import ControlPlane, Record
from sslctl.errors import BadInput
from sslctl.issuance.circuit_breaker import CircuitBreaker
from sslctl.issuance.claims import claim_domain, release_domains
from sslctl.issuance.delivery import Delivery, Stop
from sslctl.issuance.slots import Slots
from sslctl.issuer import Issued, IssueError, Issuer, OrderPending
from sslctl.preflight import PreflightError, Prober
from sslctl.rules import schedule
from sslctl.rules.budget import BudgetHeld
from sslctl.rules.model import Domain, Finding, Leaf, Order, Source
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import Ari, RenewalRule
from sslctl.rules.schedule import count_tries
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_usable, needs_upload
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.orders import Orders
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

REQUIRED_PORTS = frozenset({80, 443})
_CLOCK_SKEW = timedelta(days=1)
# A CA that is down comes back sooner; an order that nothing is heard of for so long is given up, and its domain gets on.
_PATIENCE = timedelta(days=2)
_MOST_PORTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PassPolicy:
    """How a pass goes about its work; from the configuration."""

    webroot: bool = True
    key_type: str = "ecdsa"
    renewal: RenewalRule = field(default_factory=RenewalRule)
    activation_seconds: float = 10


def _quiet(_domain: Domain, _step: str) -> None:
    """Tell nobody."""


class _Store(Budget, Claims, Domains, History, Orders, Transactions, Versions, Protocol):
    """What one pass reads and writes."""


class Pipeline:
    """Takes one domain as far as it goes. Safe to use from several threads, for different domains.

    `slots` are those at asking the CA for certificates.
    """

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        issuer: Issuer,
        prober: Prober,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        policy: PassPolicy,
        slots: Slots,
        on_step: Callable[[Domain, str], None] = _quiet,
    ) -> None:
        self._store = store
        self._delivery = Delivery(
            store,
            control_plane,
            clock=clock,
            sleep=sleep,
            activation_seconds=policy.activation_seconds,
            on_step=on_step,
        )
        self._issuer = issuer
        self._breaker = CircuitBreaker(store, clock)
        self._prober = prober
        self._slots = slots
        self._clock = clock
        self._policy = policy
        self._on_step = on_step

    def run(self, name: str, *, renew: bool = False) -> Domain:
        """Make one pass over the managed domain `name` and give it as it is afterwards.

        `renew` orders a new certificate even when none is due. What goes wrong outside ends up in the finding. Raises
        `Busy` when another process works on the domain, `NotManaged`, `StateError`, and `SlotsClosed` where it would begin to
        ask the CA after its slots were stopped: the domain is then as it was, an open order included.
        """
        with self._store.transaction():
            claim_domain(self._store, name)
            domain = self._store.domain(name)
        try:
            self._require_unchanged(domain)
            finding = self._attempt(domain, renew=renew)
            with self._store.transaction():
                release_domains(self._store, [name])
                return self._store.record_finding(self._store.domain(name), finding)
        except BaseException:
            release_domains(self._store, [name])
            raise

    def _require_unchanged(self, domain: Domain) -> None:
        """Return where nothing will be decided from, or uploaded of, a certificate that is not as it was stored."""
        for certificate in filter(None, (domain.wanted, domain.serving)):
            self._store.require_unchanged(certificate)

    def _attempt(self, domain: Domain, *, renew: bool) -> Finding | None:
        try:
            self._advance(domain, renew=renew)
        except Stop as stop:
            now, tries = self._clock(), count_tries(domain.finding, stop.code)
            retry_at = schedule.retry_at(stop.code, now, stop.wish, tries)
            return Finding(stop.code, stop.found, stop.wanted, now, retry_at, tries)
        return None

    def _advance(self, domain: Domain, *, renew: bool) -> None:
        domain, record = self._delivery.look_up(domain)
        domain, pending, collected = self._settle_order(domain)
        if collected or not renew:
            if domain.wanted is not None and needs_upload(domain, self._clock()):
                self._delivery.deliver(domain, domain.wanted, record)
                return
            if pending is None and not self._needs_order(domain):
                if domain.serving is not None:
                    self._delivery.deliver(domain, domain.serving, record)
                return
        self._check_ports(record)
        self._check_dns(domain, record)
        with self._slots.slot():
            if pending is not None:
                self._require_ca()
            domain = self._issue(domain, pending or self._open_order(domain))
        assert domain.wanted is not None  # noqa: S101 - just issued
        self._delivery.deliver(domain, domain.wanted, record)

    def _needs_order(self, domain: Domain) -> bool:
        now, serving = self._clock(), domain.serving
        return domain.source is Source.C4 and (
            serving is None
            or serving.source is not domain.source
            or not is_usable(serving, domain.names, now)
            or self._policy.renewal.renew_at(serving) <= now
        )

    # Before the order

    def _check_ports(self, record: Record) -> None:
        if not record.ports >= REQUIRED_PORTS:
            raise Stop(Code.PORTS_NOT_ENABLED, _ports(record.ports), _ports(REQUIRED_PORTS))

    def _check_dns(self, domain: Domain, record: Record) -> None:
        self._on_step(domain, "checking DNS")
        try:
            self._prober.check(domain.names, record.cname_target, http_expected=self._policy.webroot)
        except PreflightError as error:
            raise Stop(error.code, error.found, error.wanted) from error

    # The order

    def _settle_order(self, domain: Domain) -> tuple[Domain, Order | None, bool]:
        """Finish or let go an order that an earlier pass left open.

        Gives the domain, the order where it still waits for its challenges, and whether a certificate came of it. Where
        a pair was pasted since, the order is left as it is: it is collected if the CA's is wanted again.
        """
        order = self._store.find_open_order(domain) if domain.source is Source.C4 else None
        if order is None:
            return domain, None, False
        self._on_step(domain, "collecting the open order")
        if set(order.names) == set(domain.names):
            try:
                with self._slots.slot():
                    # Who had a turn before may have been told to ask no more.
                    self._require_ca()
                    with self._breaker.asking(order):
                        issued = self._issuer.collect(order)
                if issued is not None:
                    return self._keep(domain, order, issued), None, True
            except OrderPending:
                return domain, order, False
            except IssueError as error:
                if self._clock() - order.opened_at < _PATIENCE:
                    raise self._stop(order, error) from error
            except BadInput:
                pass  # it has expired, for one: the order lay open that long
        self._drop(order, "came to nothing")
        return domain, None, False

    def _require_ca(self) -> None:
        """Raise `Stop` while nothing at all is asked of the CA."""
        pause = self._store.active_pause(self._clock())
        if pause is not None:
            raise Stop(Code.BUDGET_HELD, pause.why, str(pause.scope), pause.until)

    def _open_order(self, domain: Domain) -> Order:
        try:
            # Asked before a key is made in vain, and again where it counts, with the order itself.
            self._store.require_budget(domain, domain.names)
            key = x509.make_key(self._policy.key_type)
            return self._store.open_order(domain, domain.names, key, x509.make_csr(key, domain.names))
        except BudgetHeld as held:
            raise Stop(Code.BUDGET_HELD, held.found, str(held.scope), held.until) from held

    def _issue(self, domain: Domain, order: Order) -> Domain:
        self._on_step(domain, "ordering a certificate")

        def keep_url(url: str) -> None:
            self._store.record_order_url(order, url)

        try:
            with self._breaker.asking(order):
                issued = self._issuer.issue(order, keep_url, replaces=self._replaced(domain))
            return self._keep(domain, order, issued)
        except IssueError as error:
            raise self._stop(order, error) from error
        except BadInput as error:
            self._drop(order, "unusable")
            raise Stop(Code.ISSUER_FAILED, f"what the CA issued cannot be used: {error.message}") from error

    def _replaced(self, domain: Domain) -> str:
        """Give the ARI id of the certificate whose place an order for `domain` takes, empty where none is to be told."""
        serving = domain.serving
        if serving is None or serving.source is not Source.C4 or self._policy.renewal.ari is Ari.OFF:
            return ""
        return x509.renewal_id(self._store.bundle(serving).certificate) or ""

    def _stop(self, order: Order, error: IssueError) -> Stop:
        # Anything but the CA's own word may still become a certificate: the order stays open, and its key is kept.
        if error.order_dead:
            self._drop(order, error.code)
        return Stop(error.code, error.found, error.wanted, error.retry_at)

    def _keep(self, domain: Domain, order: Order, issued: Issued) -> Domain:
        """Keep what was issued for `order`. Raises `BadInput` for what must not go on the edge."""
        leaf = x509.read_leaf(issued.certificate)
        _check_ordered(leaf, order)
        _check_clock(leaf, order, self._clock())
        # A clock of ours that is a little behind the CA's is no reason to spend another order.
        now = max(self._clock(), leaf.not_before)
        key = self._store.order_key(order)
        x509.check_pair(issued.certificate, key, issued.chain, order.names, now)
        kept = self._store.add_issued_certificate(domain, order, issued.certificate, issued.chain, leaf)
        self._issuer.forget(order)
        return kept

    def _drop(self, order: Order, outcome: str) -> None:
        self._store.close_order(order, outcome)
        self._issuer.forget(order)


def _check_ordered(leaf: Leaf, order: Order) -> None:
    if set(leaf.names) != set(order.names):
        raise BadInput("it is not for exactly the names that were ordered")


def _check_clock(leaf: Leaf, order: Order, now: datetime) -> None:
    """Raise `Stop` where `leaf`, issued for `order`, cannot be what the clock says: not valid yet, or expired before it was ordered.

    The order stays open then: to order anew would bring the same, again and again.
    """
    if leaf.not_before > now + _CLOCK_SKEW or leaf.not_after <= min(order.opened_at, now):
        valid = f"{format_sgt(leaf.not_before)} to {format_sgt(leaf.not_after)}"
        raise Stop(Code.CLOCK_WRONG, format_sgt(now), valid)


def _ports(ports: frozenset[int]) -> str:
    shown = [f"port {port}" for port in sorted(ports)[:_MOST_PORTS_SHOWN]]
    if len(ports) > _MOST_PORTS_SHOWN:
        shown.append(f"{len(ports) - _MOST_PORTS_SHOWN} more")
    return " and ".join(shown) or "no port"
