"""The tick: run everything that is due, once, and return what happened.

A tick goes through these steps, in this order:

1. Raise `Busy` if the clock of this machine is wrong. Check the database for damage, for 0.2 seconds. Raise `StateError` if it is damaged.
2. Take the kernel's lock and the claim. Raise `TickRuns`, or `Busy`, if another tick runs (`one_tick`). Beside a tick of another
    machine, only take a share of its passes (`sharing`): all other steps are done once for the fleet, by the tick that has the claim.
3. If the database is too large for step 1, check the next part of it, for 0.2 seconds in an hour. Plan: find the domains that
   are due, most urgent first.
4. If there is work and the database is too large for step 1, check the rows that the passes need, and further parts of it,
   for 2 seconds.
5. Run a pass over each planned domain.
6. Look at the DNS of new domains that do not point at the CDN yet (`onboarding_looks`), and run a pass over each that does by now.
7. Ask the CA for renewal information (ARI), unless that is off. Plan again, and run the passes that are due now.
8. Look at what C4 has for each domain once a day, at its DNS once a week (`looks`), and at the edges. Upload what C4 has lost.
    Once a day, compare C4's inventory, to notice domains that nobody manages (`nightly_inventory`).
9. On several hosts, wait for the passes of the others, and run those that a host which died has left.
    Believe the bad answers about served domains that were heard, unless they are too many (`suspicions.conclude`).
10. Record the milestone.
11. Notify people of the domains in the configured statuses, of certificates that expire without a successor, of trouble of the
    whole fleet such as what step 9 withheld, and of new warnings.
12. Announce each change of a domain's status to the endpoint of the webhook, for 30 seconds (`transitions`).
13. If this is the first tick of the day in Singapore, record the number of domains by status.
14. Record how long the tick took, and whether it was good. Release the claim and the lock.
15. Send the ping if the tick was good: no pass met a bug, each result was recorded, step 9 withheld nothing, and the notices of
    step 11 reached somebody.

During a maintenance pause all steps are done, but the passes order nothing and change nothing on C4.

While another process keeps the database locked, each step waits for it. Where that is in vain, `StateBusy` is raised by a
step, or the passes stop and the tick ends with exit code 75.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.errors import Exit
from sslctl.fleet import ari_polling
from sslctl.fleet.fleet_trouble import find_edge_troubles, find_other_cas
from sslctl.fleet.looks import Looked, Looks
from sslctl.fleet.nightly_inventory import InventoryNews
from sslctl.fleet.one_tick import only_tick
from sslctl.fleet.remarks import end_snoozes
from sslctl.fleet.run_passes import RunPasses
from sslctl.fleet.tick_looks import TickLooks
from sslctl.fleet.tick_notices import TickNotices
from sslctl.fleet.tick_passes import TickPasses, TickSettings
from sslctl.fleet.tick_result import BesideResult, TickResult
from sslctl.issuance.customers import WithheldCustomers
from sslctl.issuer import Issuer
from sslctl.notify import Notifier, Route, UnusableRoute
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Milestone
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.renewal import Alert
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.edges import Edges
from sslctl.store.interface.figures import StatusCounts
from sslctl.store.interface.inventory import UnmanagedDomains
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.notices import Notices
from sslctl.store.interface.renewals import Renewals
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.transitions import Transitions
from sslctl.store.interface.versions import Versions

# A fleet of 100,000 takes some minutes over the internet; the next tick asks about the rest.
_POLLING_SECONDS = 300


class _Store(
    Budget, Claims, Domains, Edges, Maintenance, MaintenancePauses, Notices, Renewals, StatusCounts, Transactions,
    Transitions, UnmanagedDomains, Versions, Protocol,
):  # fmt: skip
    """What a tick reads and writes, apart from its passes."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What the leading tick did beside its passes."""

    held_renewals: int
    alerts: Sequence[Alert]
    looked: Looked
    inventory: InventoryNews
    customers: WithheldCustomers | None
    sent: Mapping[NoticeKey, Notice]
    webhook_error: str
    is_good: bool


class Tick:
    """One tick over the fleet in `store`; run it once.

    Without `issuers` (by the URL of the directory) no CA is asked for renewal information, without a `notifier` nobody is notified, without `looks`
    no domain is looked at that is not due. `compare_inventory` returns what is new on C4. `routes` receive the messages about their
    domains; those of `unusable_routes` go to `notifier`. `ping` returns why it failed, empty if it succeeded; None sends no ping.
    `announce` returns why the webhook failed, empty if it did not. `revoke_open` carries out requested revocations, and returns the
    domains that need a new certificate first.
    """

    def __init__(
        self,
        store: _Store,
        issuers: Mapping[str, Issuer] | None,
        notifier: Notifier | None,
        looks: Looks | None,
        *,
        run_passes: RunPasses,
        routes: Sequence[Route] = (),
        unusable_routes: Sequence[UnusableRoute] = (),
        revoke_open: Callable[[], Sequence[str]] = tuple,
        compare_inventory: Callable[[], InventoryNews] = InventoryNews,
        announce: Callable[[], str],
        ping: Callable[[], str] | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        settings: TickSettings,
    ) -> None:
        self._store = store
        self._issuers = issuers
        self._passes = TickPasses(store, run_passes, clock, settings, monotonic, sleep)
        self._looks = TickLooks(store, looks, self._passes, clock, settings)
        self._notices = TickNotices(store, notifier, routes, unusable_routes, clock, settings)
        self._revoke_open = revoke_open
        self._compare_inventory = compare_inventory
        self._announce = announce
        self._ping = ping
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings

    def run(self, *, force: bool = False) -> TickResult | BesideResult:
        """Run the tick, or a share of the passes of a leading one. `force` repeats the daily recheck even if it was done today.

        Raise `TickRuns` or `Busy` if another tick runs (`one_tick`), `StateBusy` if the database stays locked, or `StateError`.
        """
        started_at, began = self._clock(), self._monotonic()
        clock_ahead = self._store.require_right_clock()
        self._passes.check()
        settings = self._settings
        with only_tick(self._store, settings.lock_path, self._clock, is_shared=settings.is_shared) as lead:
            if lead is not None:
                return self._work_beside(lead, clock_ahead, force=force)
            done = self._lead(started_at, force=force)
            self._record_end(self._monotonic() - began, is_good=done.is_good)
        ping_error = self._ping() if self._ping is not None and done.is_good else None
        return self._result(done, ping_error, clock_ahead)

    def _work_beside(self, lead: str, clock_ahead: timedelta, *, force: bool) -> BesideResult:
        """Run due passes beside the tick `lead` until nothing more is found."""
        report, taken = self._passes.report, -1
        while taken < len(report.names):
            taken = len(report.names)
            self._passes.carry_out(self._passes.plan(force=force))
        return BesideResult(
            lead=lead,
            at=self._clock(),
            exit_code=report.exit_code,
            names=tuple(report.names),
            errors=dict(report.errors),
            ended=report.ended,
            unwell=tuple(report.unwell),
            clock_ahead=clock_ahead,
        )

    def _lead(self, started_at: datetime, *, force: bool) -> _Done:
        """Do the steps that are done once for the fleet, and passes."""
        passes, report = self._passes, self._passes.report
        passes.require_lead = self._require_claim
        passes.check_idle()
        replacing = self._revoke_open()
        plan = passes.plan(force=force)
        passes.carry_out(plan, replacing, renew=replacing)
        self._looks.look_at_new()
        alerts = self._poll_renewal_info()
        looked = self._looks.look(started_at)
        inventory = self._compare_inventory()
        passes.wait_for_others()
        self._require_claim()
        self._looks.conclude(started_at, looked)
        customers = self._looks.conclude_customers()
        with self._store.transaction():
            ended = report.ended + report.elsewhere
            self._store.record_milestone(Milestone.TICK, f"{ended} due, {len(report.unwell)} not well")
            if passes.is_checked:
                self._store.record_milestone(Milestone.CHECKED, "")
        end_snoozes(self._store, self._clock())
        sent = self._notices.send(report, started_at, looked, plan.held)
        webhook_error = self._announce()
        self._store.record_status_counts(self._clock())
        is_good = self._is_good(sent)
        return _Done(plan.held, alerts, looked, inventory, customers, sent, webhook_error, is_good)

    def _result(self, done: _Done, ping_error: str | None, clock_ahead: timedelta) -> TickResult:
        report, looked, now = self._passes.report, done.looked, self._clock()
        return TickResult(
            at=now,
            exit_code=report.exit_code,
            names=tuple(report.names),
            errors=dict(report.errors),
            ended=report.ended + report.elsewhere,
            unwell=tuple(report.unwell),
            held_renewals=done.held_renewals,
            alerts=done.alerts,
            notices=done.sent,
            webhook_error=done.webhook_error,
            ping_error=ping_error,
            counts=self._store.count_by_status(now),
            pauses=self._store.pauses(now),
            withheld=tuple(report.withheld),
            lost=len(looked.lost) + len(looked.lost_withheld),
            warned=looked.warned,
            look_trouble=looked.trouble,
            is_blind=looked.is_blind,
            maintenance=self._store.maintenance_pause(now),
            withheld_customers=done.customers,
            inventory=done.inventory,
            edge_troubles=list(find_edge_troubles(self._store, now)),
            other_cas=list(find_other_cas(self._store, now)),
            clock_ahead=clock_ahead,
        )

    def _require_claim(self) -> None:
        """Raise `ClaimLost` if somebody broke the claim: another tick may lead by now."""
        self._store.require_claims([TICK])

    def _poll_renewal_info(self) -> Sequence[Alert]:
        """Ask the CA when to renew, and run what that makes due; return what it newly wants renewed early."""
        if self._issuers is None:
            return ()
        rule = self._settings.renewal
        poll = ari_polling.poll(self._store, self._issuers, self._clock, rule, seconds=_POLLING_SECONDS)
        if poll.asked:
            self._passes.carry_out(self._passes.plan())
        return poll.alerts

    def _is_good(self, sent: Mapping[NoticeKey, Notice]) -> bool:
        """Return whether the tick was good, so that the ping is due. A missing ping alerts people.

        It was not if a pass met a bug, its result could not be recorded, bad answers were too many to be believed, C4 could not be
        looked at for days, or a notice reached nobody.
        """
        report = self._passes.report
        is_bad = report.exit_code == Exit.BUG or bool(report.withheld or report.unrecorded or report.is_blind)
        return not (is_bad or self._notices.reached_nobody(sent))

    def _record_end(self, seconds: float, *, is_good: bool) -> None:
        with self._store.transaction():
            self._store.record_milestone(Milestone.TICK_ENDED, "", seconds)
            if is_good:
                self._store.record_milestone(Milestone.GOOD_TICK, "", seconds)
