"""One pass over one domain.

A pass goes through these steps, in this order:

1. Claim the domain, and check that its stored certificates are intact.
2. Read C4's record, and record which certificate C4 serves.
3. Collect or drop the order that an earlier pass left open.
4. If an issued certificate is not confirmed on C4, upload it (step 9). If no order is needed, verify what C4 serves
   (step 9).
5. Check the ports, then DNS and CAA. Before a first order fetch a token as the CA will. If the edges answer challenges by
   themselves, ask each of them for a token.
6. Wait for a slot at the CA.
7. Store key and CSR, within the CA's limits; place the order; store its URL as soon as the CA returns it.
8. Check the issued certificate, and store it as the wanted one.
9. Upload it to C4 unless C4 has it, read it back, and record that C4 serves it. Ask each edge for it.
10. Record the finding (none for Success), and release the claim.

Each step is committed before the next one starts. If the process is killed between two steps, the next pass continues
with the open order or with the missing upload, and places no second order.

While an operator has paused orders and uploads for maintenance, a pass ends before step 6 or before the upload of step 9. An
open order is still collected, and what C4 serves is verified. The pause is read again before each order and each change on C4.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.certificates import x509
from sslctl.control_plane import ControlPlane, Record
from sslctl.errors import BadInput
from sslctl.issuance.challenge_proof import ChallengeProof
from sslctl.issuance.circuit_breaker import CircuitBreaker
from sslctl.issuance.claims import claim_domain, release_domains, require_claim
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.customers import NamedCustomers
from sslctl.issuance.delivery import Delivery
from sslctl.issuance.edge_proof import EdgeProof
from sslctl.issuance.issued_checks import check_dates, check_ordered, has_expired
from sslctl.issuance.maintenance import require_no_pause
from sslctl.issuance.observation import Observation
from sslctl.issuance.order_checks import find_problem, find_publisher, require_no_problem
from sslctl.issuance.other_ca import OtherCas, may_leave
from sslctl.issuance.pass_ended import PassEnded, ended_at_ca, ended_by_budget
from sslctl.issuance.pass_policy import PassPolicy
from sslctl.issuance.slots import Slots
from sslctl.issuance.suspicions import record_conclusion
from sslctl.issuer import Issued, IssueError, Issuer, OrderPending
from sslctl.preflight import Prober, Publisher
from sslctl.rules.budget import URGENT_INTERVAL, BudgetHeld, expires_before
from sslctl.rules.ca_name import ca_name
from sslctl.rules.model import Domain, Order, Source
from sslctl.rules.pass_result import CHECKED_AGAIN, Problem, Step, conclude_pass, conclude_suspicion
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import Ari
from sslctl.rules.schedule import is_order_due
from sslctl.rules.versions import is_usable, needs_upload
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.cutovers import Cutovers
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.orders import Orders
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# An order without a usable certificate for so long is dropped, so that its domain can order again; no outage of a CA lasts longer.
_ORDER_TIMEOUT = timedelta(days=2)


class _Store(
    Budget, Claims, Cutovers, Domains, History, MaintenancePauses, Orders, Revocations, Transactions, Versions, Protocol
):  # fmt: skip
    """What one pass reads and writes."""


class Pipeline:
    """Runs passes. Safe to use from several threads, for different domains.

    Requests to the CA are made within `slots`. `on_step` is called at each step with the domain and what is being done.
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
        customers: NamedCustomers,
        on_step: Callable[[Domain, str], None],
        edge_proof: EdgeProof | None = None,
        challenge_proof: ChallengeProof | None = None,
    ) -> None:
        self._store = store
        self._observation = Observation(store, control_plane, customers, clock=clock, on_step=on_step)
        self._delivery = Delivery(
            store,
            control_plane,
            self._observation,
            clock=clock,
            sleep=sleep,
            activation_seconds=policy.activation_seconds,
            on_step=on_step,
            rules=policy.replacement,
            edge_proof=edge_proof,
        )
        self._challenge_proof = challenge_proof
        self._issuer = issuer
        self._breaker = CircuitBreaker(store, clock)
        self._prober = prober
        self._slots = slots
        self._clock = clock
        self._policy = policy
        self._on_step = on_step

    def run(
        self, name: str, *, renew: bool = False, consent: Consent = NO_CONSENT, check_dns: bool = False
    ) -> Domain:
        """Run one pass over the managed domain `name` and return the domain as it is afterwards.

        `renew` orders a new certificate even if none is due. `check_dns` checks ports, DNS and CAA even if no order is due.
        Failures of C4, DNS or the CA are in the finding. Raise `Busy` if another process works on the domain, `NotManaged`,
        `StateError` if a stored certificate is damaged, `StateBusy` if the result cannot be recorded because another process
        keeps the database locked, and `SlotsClosed` if the slots were closed before the CA was reached: the domain and its
        open order are unchanged.
        """
        started_at = self._clock()
        with self._store.transaction():
            claim_domain(self._store, name)
            domain = self._store.domain(name)
        try:
            self._require_unchanged(domain)
            warnings: list[Problem] = []
            problem = self._attempt(domain, consent, warnings, renew=renew, check_dns=check_dns)
            with self._store.transaction():
                require_claim(self._store, name)
                release_domains(self._store, [name])
                domain = self._store.domain(name)
                return self._conclude(domain, problem, warnings, started_at, consent.believe)
        except BaseException:
            release_domains(self._store, [name])
            raise

    def _require_unchanged(self, domain: Domain) -> None:
        """Raise `StateError` if a stored certificate's digest does not match."""
        for certificate in filter(None, (domain.wanted, domain.serving)):
            self._store.require_unchanged(certificate)

    def _attempt(
        self, domain: Domain, consent: Consent, warnings: list[Problem], *, renew: bool, check_dns: bool
    ) -> Problem | None:
        """Return the problem that ended the pass, None if it succeeded. What prevents no order is added to `warnings`."""
        try:
            self._advance(domain, consent, warnings, renew=renew, check_dns=check_dns)
        except PassEnded as ended:
            return ended.problem
        return None

    def _conclude(
        self,
        domain: Domain,
        problem: Problem | None,
        warnings: Sequence[Problem],
        started_at: datetime,
        believe: Container[Code],
    ) -> Domain:
        """Record the result of a pass that ended with `problem`, None if it succeeded."""
        now, checked_at, is_due = self._clock(), domain.dns_checked_at, self._needs_order(domain)
        result = conclude_pass(
            domain,
            problem,
            now,
            is_due=is_due,
            is_dns_good=checked_at is not None and checked_at >= started_at.replace(microsecond=0),
            warning=next(iter(warnings), None),
        )
        concluded = self._store.record_result(domain, result, observed=_is_observed(problem))
        if concluded.suspicion is not None and concluded.suspicion.code in believe:
            result = conclude_suspicion(concluded, now, is_due=is_due)
            concluded = record_conclusion(self._store, concluded, result)
        return concluded

    def _advance(
        self, domain: Domain, consent: Consent, warnings: list[Problem], *, renew: bool, check_dns: bool
    ) -> None:
        domain, record = self._observation.look_up(domain, consent.believe)
        if consent.replace_text:
            domain = self._observation.agree_to_replace_text(domain)
        others = OtherCas(self._store, self._prober, domain, record.cname_target, self._clock)
        domain, pending, is_collected = self._finish_open_order(domain, others)
        self._observation.require_replaceable(domain, renew=renew, believe=consent.believe)
        if is_collected or not renew:
            if domain.wanted is not None and self._owes_upload(domain):
                self._delivery.deliver(domain, domain.wanted, record, force=consent.force)
                if check_dns:
                    self._check_served(domain, record, warnings)
                return
            if pending is None and not self._needs_order(domain):
                if domain.serving is not None:
                    self._delivery.deliver(domain, domain.serving, record)
                    if check_dns:
                        self._check_served(domain, record, warnings)
                return
        publisher = None if pending else find_publisher(self._issuer, domain, self._store, self._clock())
        self._require_preflight(domain, record, warnings, publisher)
        if self._challenge_proof is not None:
            self._challenge_proof.require(domain)
        # Also before the wait for a slot: many domains may be held.
        self._require_no_pause()
        with self._slots.slot():
            domain = self._obtain(domain, pending, others)
        assert domain.wanted is not None  # noqa: S101 - just issued
        self._delivery.deliver(domain, domain.wanted, record, force=consent.force)

    def _owes_upload(self, domain: Domain) -> bool:
        """Return whether the wanted certificate is to be uploaded, or to be refused as worse than what is installed."""
        foreign, wanted = domain.foreign, domain.wanted
        if needs_upload(domain, self._clock()):
            return True
        if wanted is None or wanted.source is not Source.TEXT or domain.source is not Source.TEXT:
            return False
        # A person asked for a new pair in place of what C4 has. A text certificate there needs consent.
        is_over_c4 = foreign is not None and foreign.source is Source.C4
        is_new = wanted.verified_at is None and is_usable(wanted, domain.names, self._clock())
        return is_over_c4 and is_new

    def _needs_order(self, domain: Domain) -> bool:
        return is_order_due(domain, self._clock(), self._policy.renewal)

    # Before the order

    def _check_served(self, domain: Domain, record: Record, warnings: list[Problem]) -> None:
        """Check what the next order of `domain` will meet. What C4 serves was verified before, and no order is due."""
        if domain.source is not Source.C4:
            return
        try:
            self._require_preflight(domain, record, warnings)
        except PassEnded as ended:
            ended.problem = replace(ended.problem, is_served=True)
            raise
        self._store.confirm_dns_checks([domain.name], self._clock())

    def _require_preflight(
        self, domain: Domain, record: Record, warnings: list[Problem], publisher: Publisher | None = None
    ) -> None:
        """Raise `PassEnded` unless the ports, DNS, CAA and a token of `publisher` allow an order. Add to `warnings` what allows it."""
        self._on_step(domain, "checking DNS")
        require_no_problem(find_problem(
            self._prober, domain, record, http_expected=self._policy.http_expected, cutovers=self._store, now=self._clock(), publisher=publisher
        ), warnings)  # fmt: skip

    # The order

    def _finish_open_order(self, domain: Domain, others: OtherCas) -> tuple[Domain, Order | None, bool]:
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

    def _obtain(self, domain: Domain, pending: Order | None, others: OtherCas) -> Domain:
        """Return the domain with a new certificate: on its `pending` order, otherwise from the first CA that issues one now.

        If the order fails for a reason of its CA, the next one of `others` is asked. Raise `PassEnded` with the problem at the first of them.
        """
        order, ca, first = pending, pending.ca if pending else others.first(), None
        while True:
            try:
                if order is not None:
                    self._require_ca(domain, ca)
                elif ca != self._store.cas[0]:
                    self._store.record_event(domain, "other CA", f"{ca_name(ca)}: {others.why}")
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
        """Drop an open order that one of `others` is to take over; the result is that of `_finish_open_order`. Otherwise raise `ended`."""
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

    def _require_no_pause(self) -> None:
        """Raise `PassEnded` while no order may be placed, nor its challenges be answered, because of maintenance."""
        require_no_pause(self._store, self._clock(), Step.CA)

    def _open_order(self, domain: Domain, ca: str) -> Order:
        try:
            require_claim(self._store, domain.name)
            self._require_no_pause()
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
            self._require_no_pause()
        except PassEnded:
            if order.url is None:
                self._drop(order, "not placed")
            raise
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


def _is_observed(problem: Problem | None) -> bool:
    """Return whether a pass that ended with `problem` has read C4's record, and recorded what C4 has."""
    if problem is None or problem.at_step > Step.C4_RECORD:
        return True
    return problem.code not in (Code.C4_UNANSWERED, Code.C4_TOKEN_REFUSED, *CHECKED_AGAIN)
