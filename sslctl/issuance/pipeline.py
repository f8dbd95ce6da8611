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
from datetime import datetime
from typing import Protocol

from sslctl.control_plane import ControlPlane, Record
from sslctl.issuance.challenge_proof import ChallengeProof
from sslctl.issuance.claims import claim_domain, release_domains, require_claim
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.customers import NamedCustomers
from sslctl.issuance.delivery import Delivery
from sslctl.issuance.edge_proof import EdgeProof
from sslctl.issuance.observation import Observation
from sslctl.issuance.order_checks import find_problem, find_publisher, require_no_problem
from sslctl.issuance.ordering import Ordering
from sslctl.issuance.other_ca import OtherCas
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuance.pass_policy import PassPolicy
from sslctl.issuance.slots import Slots
from sslctl.issuance.suspicions import record_conclusion
from sslctl.issuer import Issuer
from sslctl.preflight import Prober, Publisher
from sslctl.rules.model import Domain, Source
from sslctl.rules.pass_result import CHECKED_AGAIN, Problem, Step, conclude_pass, conclude_suspicion
from sslctl.rules.reasons import Code
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
        self._ordering = Ordering(store, issuer, clock=clock, policy=policy, slots=slots, on_step=on_step)
        self._issuer = issuer
        self._prober = prober
        self._slots = slots
        self._clock = clock
        self._policy = policy
        self._on_step = on_step
        # The domains that got a new certificate in a pass that an error ended: repeated, it must not order another one.
        self._issued = set[str]()

    def run(
        self, name: str, *, renew: bool = False, consent: Consent = NO_CONSENT, check_dns: bool = False
    ) -> Domain:
        """Run one pass over the managed domain `name` and return the domain as it is afterwards.

        `renew` orders a new certificate even if none is due, but none after one that this pass got before an error ended it, if it is
        repeated. `check_dns` checks ports, DNS and CAA even if no order is due.
        Failures of C4, DNS or the CA are in the finding. Raise `Busy` if another process works on the domain, `NotManaged`,
        `StateError` if a stored certificate is damaged, `StateBusy` if the result cannot be recorded because another process
        keeps the database locked, and `SlotsClosed` if the slots were closed before the CA was reached: the domain and its
        open order are unchanged.
        """
        started_at = self._clock()
        self._store.prove_alive()
        with self._store.transaction():
            claim_domain(self._store, name)
            domain = self._store.domain(name)
        try:
            self._require_unchanged(domain)
            warnings: list[Problem] = []
            renew = renew and name not in self._issued
            problem = self._attempt(domain, consent, warnings, renew=renew, check_dns=check_dns)
            with self._store.transaction():
                require_claim(self._store, name)
                release_domains(self._store, [name])
                domain = self._store.domain(name)
                domain = self._conclude(domain, problem, warnings, started_at, consent.believe)
        except BaseException:
            release_domains(self._store, [name])
            raise
        self._issued.discard(name)
        return domain

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
        domain, pending, is_collected = self._ordering.finish_open(domain, others)
        if is_collected:
            self._issued.add(domain.name)
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
        # It takes as long as the checks before an order.
        self._issuer.expect_orders()
        publisher = None if pending else find_publisher(self._issuer, domain, self._store, self._clock())
        self._require_preflight(domain, record, warnings, publisher)
        if self._challenge_proof is not None:
            self._challenge_proof.require(domain)
        # Also before the wait for a slot: many domains may be held.
        self._ordering.require_no_pause()
        with self._slots.slot():
            domain = self._ordering.obtain(domain, pending, others)
        self._issued.add(domain.name)
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


def _is_observed(problem: Problem | None) -> bool:
    """Return whether a pass that ended with `problem` has read C4's record, and recorded what C4 has."""
    if problem is None or problem.at_step > Step.C4_RECORD:
        return True
    return problem.code not in (Code.C4_UNANSWERED, Code.C4_TOKEN_REFUSED, *CHECKED_AGAIN)
