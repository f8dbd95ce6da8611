"""Orders at the CAs: open, placed, collected, given to another CA, and turned into stored certificates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.certificates import x509
from sslctl.errors import BadInput
from sslctl.issuance.circuit_breaker import CircuitBreaker
from sslctl.issuance.claims import require_claim
from sslctl.issuance.issued_checks import check_dates, check_ordered, has_expired
from sslctl.issuance.maintenance import require_no_pause
from sslctl.issuance.other_ca import OtherCas, may_leave
from sslctl.issuance.pass_ended import PassEnded, ended_at_ca, ended_by_budget
from sslctl.issuance.pass_policy import PassPolicy
from sslctl.issuance.slots import Slots
from sslctl.issuer import Issued, IssueError, Issuer, OrderPending
from sslctl.rules.budget import URGENT_INTERVAL, BudgetHeld, expires_before
from sslctl.rules.ca_name import ca_name
from sslctl.rules.model import Domain, Order, Source
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import Ari
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.history import History
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.orders import Orders
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# An order without a usable certificate for so long is dropped, so that its domain can order again; no outage of a CA lasts longer.
_ORDER_TIMEOUT = timedelta(days=2)


class _Store(Budget, Claims, History, MaintenancePauses, Orders, Transactions, Versions, Protocol):
    """What orders read and write."""


class Ordering:
    """The orders of passes. Safe to use from several threads, for different domains; for the arguments see `Pipeline`."""

    def __init__(
        self,
        store: _Store,
        issuer: Issuer,
        *,
        clock: Callable[[], datetime],
        policy: PassPolicy,
        slots: Slots,
        on_step: Callable[[Domain, str], None],
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._breaker = CircuitBreaker(store, clock)
        self._clock = clock
        self._policy = policy
        self._slots = slots
        self._on_step = on_step

    def finish_open(self, domain: Domain, others: OtherCas) -> tuple[Domain, Order | None, bool]:
        """Collect or drop the order that an earlier pass left open. It is dropped if one of `others` is to take it over.

        Return the domain, the order if it still waits for its challenges, and whether a certificate was collected. If the
        source is text by now, the order stays open: it is collected if the source becomes c4 again.
        """
        order = self._store.find_open_order(domain) if domain.source is Source.C4 else None
        if order is None:
            return domain, None, False
        self._on_step(domain, "collecting the open order")
        if set(order.names) == set(domain.names):
            issued = None
            try:
                with self._slots.slot():
                    # A pass that held the slot before may have been asked to pause.
                    self._require_ca(domain, order.ca)
                    require_claim(self._store, domain.name)
                    with self._breaker.watch(order):
                        issued = self._issuer.collect(order)
                if issued is not None:
                    return self._store_issued(domain, order, issued), None, True
            except OrderPending:
                return domain, order, False
            except PassEnded as ended:
                return self._leave(domain, order, ended, others)
            except IssueError as error:
                if self._is_young(order):
                    return self._leave(domain, order, self._end_pass(domain, order, error), others)
            except BadInput as error:
                if self._is_young(order) and not has_expired(issued, self._clock()):
                    raise self._reject(order, error) from error
        self._drop(order, "came to nothing")
        return domain, None, False

    def obtain(self, domain: Domain, pending: Order | None, others: OtherCas) -> Domain:
        """Return the domain with a new certificate: on its `pending` order, otherwise from the first CA that issues one now.

        If the order fails for a reason of its CA, the next one of `others` is asked. Raise `PassEnded` with the problem at the first of
        them. Call it within a slot.
        """
        order, ca, first = pending, pending.ca if pending else others.first(), None
        while True:
            try:
                if order is not None:
                    self._require_ca(domain, ca)
                elif ca != self._store.cas[0]:
                    detail = f"{ca_name(ca)} in place of {ca_name(others.replaced)}: {others.why}"
                    self._store.record_event(domain, "other CA", detail)
                return self._issue(domain, order or self._open_order(domain, ca))
            except PassEnded as ended:
                if first is not None and ended.is_of_ca:
                    others.note(ca, ended.problem.found, ended.problem.retry_after)
                first = first or ended
                if not ended.is_of_ca:
                    raise
                other = others.find(ca, ended.problem.found)
                if other is None or not self._drop_left(domain):
                    first.problem = others.extend(first.problem)
                    raise first from None
                order, ca = None, other

    def _drop_left(self, domain: Domain) -> bool:
        """Drop the open order of `domain`, so that another CA can be asked; return whether none is open."""
        order = self._store.find_open_order(domain)
        if order is None:
            return True
        may_be_issued = self._issuer.may_be_issued(order)
        is_left = may_leave(domain, order, self._clock(), may_be_issued=may_be_issued)
        if is_left:
            self._drop(order, "left to another CA")
        return is_left

    def _leave(
        self, domain: Domain, order: Order, ended: PassEnded, others: OtherCas
    ) -> tuple[Domain, None, bool]:
        """Drop an open order that one of `others` is to take over; the result is that of `finish_open`. Otherwise raise `ended`."""
        if not ended.is_of_ca:
            raise ended
        if others.find(order.ca, ended.problem.found) is None or not self._drop_left(domain):
            ended.problem = others.extend(ended.problem)
            raise ended
        return domain, None, False

    def _require_ca(self, domain: Domain, ca: str) -> None:
        """Raise `PassEnded` while all requests to the CA are paused, unless it is the turn of `domain` nevertheless."""
        try:
            self._store.require_ca(domain, ca=ca)
        except BudgetHeld as held:
            raise ended_by_budget(held) from held

    def require_no_pause(self) -> None:
        """Raise `PassEnded` while no order may be placed, nor its challenges be answered, because of maintenance."""
        require_no_pause(self._store, self._clock(), Step.CA)

    def _open_order(self, domain: Domain, ca: str) -> Order:
        try:
            require_claim(self._store, domain.name)
            self.require_no_pause()
            # Checked before a key is made, which would be wasted; `open_order` checks again, in its transaction.
            self._store.require_budget(domain, domain.names, ca=ca)
            key = x509.make_key(domain.choice.key_type or self._policy.key_type)
            csr = x509.make_csr(key, domain.names)
            return self._store.open_order(domain, domain.names, key, csr, ca=ca)
        except BudgetHeld as held:
            raise ended_by_budget(held) from held

    def _issue(self, domain: Domain, order: Order) -> Domain:
        self._on_step(domain, "ordering a certificate")

        def keep_url(url: str) -> None:
            require_claim(self._store, domain.name)
            self._store.record_order_url(order, url)

        try:
            # Again: a large key takes a while to make.
            self.require_no_pause()
        except PassEnded:
            if order.url is None:
                self._drop(order, "not placed")
            raise
        # The order was stored meanwhile, which may have waited for others, or this process was frozen: then another one goes on with it.
        require_claim(self._store, domain.name)
        try:
            with self._breaker.watch(order):
                issued = self._issuer.issue(order, keep_url, replaces=self._replaced(domain, order.ca))
            return self._store_issued(domain, order, issued)
        except IssueError as error:
            raise self._end_pass(domain, order, error) from error
        except BadInput as error:
            raise self._reject(order, error) from error

    def _replaced(self, domain: Domain, ca: str) -> str:
        """Return the ARI id of the certificate that an order for `domain` replaces; empty if the CA is not to know one."""
        serving = domain.serving
        if serving is None or serving.source is not Source.C4 or self._policy.renewal.ari is Ari.OFF:
            return ""
        if serving.ca not in ("", ca):
            return ""
        return x509.renewal_id(self._store.bundle(serving).certificate) or ""

    def _end_pass(self, domain: Domain, order: Order, error: IssueError) -> PassEnded:
        # Unless the CA itself ended the order, it may still become a certificate: keep it open, with its key.
        if error.order_dead:
            self._drop(order, error.code)
        retry_at = error.retry_at
        if retry_at is not None and expires_before(domain, retry_at):
            retry_at = min(retry_at, self._clock() + URGENT_INTERVAL)
        return ended_at_ca(error, retry_at)

    def _is_young(self, order: Order) -> bool:
        return self._clock() - order.opened_at < _ORDER_TIMEOUT

    def _reject(self, order: Order, error: BadInput) -> PassEnded:
        """End the pass after the CA returned a certificate that cannot be used.

        The order stays open: the next pass asks the CA for the certificate, which may be right then. A new order would
        probably bring the same.
        """
        self._issuer.forget(order)
        return PassEnded(Code.ISSUER_FAILED, f"the issued certificate cannot be used: {error.message}")

    def _store_issued(self, domain: Domain, order: Order, issued: Issued) -> Domain:
        """Store what was issued for `order` and return the domain. Raise `BadInput` if it must not be installed."""
        leaf = x509.read_leaf(issued.certificate)
        check_ordered(leaf, order)
        check_dates(leaf, order, domain, self._clock())
        # If our clock is a little behind the CA's, accept the certificate: another order would bring the same.
        now = max(self._clock(), leaf.not_before)
        require_claim(self._store, domain.name)
        key = self._store.order_key(order)
        x509.check_pair(issued.certificate, key, issued.chain, order.names, now)
        kept = self._store.add_issued_certificate(domain, order, issued.certificate, issued.chain, leaf)
        self._issuer.forget(order)
        return kept

    def _drop(self, order: Order, outcome: str) -> None:
        self._store.close_order(order, outcome)
        self._issuer.forget(order)
