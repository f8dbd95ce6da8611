"""The tick: run everything that is due, once, and return what happened.

A tick goes through these steps, in this order:

1. Raise `Busy` if the clock of this machine is wrong. Check the database for damage, for 0.2 seconds. Raise `StateError` if it is damaged.
2. Take the kernel's lock and the claim. Raise `TickRuns`, or `Busy`, if another tick runs (`one_tick`). Beside a tick of another
    machine, first take a share of its passes (`sharing`): all other steps are done once for the fleet, by the tick that has the claim.
3. If the database is too large for step 1, check the next part of it, for 0.2 seconds in an hour. Plan: find the domains that
   are due, most urgent first.
4. If there is work and the database is too large for step 1, check the rows that the passes need, and further parts of it,
   for 2 seconds.
5. Run a pass over each planned domain.
6. Look at the DNS of new domains that do not point at the CDN yet (`onboarding_looks`), and run a pass over each that does by now.
7. Ask the CA for renewal information (ARI), unless that is off. Plan again, and run the passes that are due now.
8. Look at what C4 has for each domain once a day, at its DNS once a week (`looks`), and at the edges. Upload what C4 has lost.
    Once a day, compare C4's inventory, to notice domains that nobody manages (`nightly_inventory`).
9. Believe the bad answers about served domains that were heard, unless they are too many (`suspicions.conclude`).
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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Protocol

from sslctl.errors import Exit
from sslctl.fleet import ari_polling, notices, planning
from sslctl.fleet.fleet_trouble import find_c4_contact, find_edge_troubles, find_fleet_trouble, find_other_cas
from sslctl.fleet.looks import Looked, Looks
from sslctl.fleet.nightly_inventory import InventoryNews
from sslctl.fleet.notices import NoticeRules
from sslctl.fleet.one_tick import TickRuns, only_tick
from sslctl.fleet.planning import Plan
from sslctl.fleet.remarks import end_snoozes
from sslctl.fleet.run_passes import RunPasses
from sslctl.fleet.sharing import Share
from sslctl.fleet.tick_result import TickResult
from sslctl.issuance import suspicions
from sslctl.issuance.consent import Consent
from sslctl.issuance.report import Report
from sslctl.issuance.suspicions import LookedAt, SuspicionLimit, Withheld
from sslctl.issuer import Issuer
from sslctl.notify import Notifier, Route, UnusableRoute
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Milestone
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import Alert, RenewalRule
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

# A little less than a day, for ticks once a day.
_EXPIRED_FOR = timedelta(hours=23, minutes=30)
# A tick beside another one ends soon after it; see `one_tick` for how long that lasts at most.
_BESIDE = timedelta(hours=3)
# A fleet of 100,000 takes some minutes over the internet; the next tick asks about the rest.
_POLLING_SECONDS = 300
# Nothing is ordered or uploaded from a damaged database. The short check covers some thousand domains. Of a larger fleet, each
# tick checks a part; with 1.2 million certificates all is covered by some 40 ticks with work. Ticks without work check for as
# long as the short check in an hour, however many they are.
_SHORT_CHECK_SECONDS = 0.2
_SHORT_CHECK_EVERY = timedelta(hours=1)
_LONG_CHECK_SECONDS = 2


class _Store(
    Budget, Claims, Domains, Edges, Maintenance, MaintenancePauses, Notices, Renewals, StatusCounts, Transactions,
    Transitions, UnmanagedDomains, Versions, Protocol,
):  # fmt: skip
    """What a tick reads and writes, apart from its passes."""


@dataclass(frozen=True, slots=True)
class TickSettings:
    """The configuration of a tick.

    `max_per_day` limits renewals (0: no limit). People are notified of domains in `notify_statuses`, and again after
    `notify_repeat`. `is_shared` is whether other machines may use the state.
    """

    lock_path: Path
    renewal: RenewalRule
    max_per_day: int
    notify_statuses: tuple[Status, ...]
    notify_repeat: timedelta
    suspicion_limit: SuspicionLimit = field(default_factory=SuspicionLimit)
    is_shared: bool = False


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
        settings: TickSettings,
    ) -> None:
        self._store = store
        self._issuers = issuers
        self._notifier = notifier
        self._looks = looks
        self._routes = routes
        self._unusable_routes = unusable_routes
        self._run_passes = run_passes
        self._revoke_open = revoke_open
        self._compare_inventory = compare_inventory
        self._announce = announce
        self._ping = ping
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings
        self._is_checked = self._is_check_continued = False
        self._is_lead = True
        # What another command works on is due again at the next tick; what it deleted needs no pass.
        self._report = Report([], batch=True, skip_concurrent=True)

    def run(self, *, force: bool = False) -> TickResult:
        """Run the tick. `force` repeats the daily recheck even if it was done today.

        Raise `TickRuns` or `Busy` if another tick runs (`one_tick`), `StateBusy` if the database stays locked, or `StateError`.
        """
        started_at, began = self._clock(), self._monotonic()
        clock_ahead = self._store.require_right_clock()
        self._is_checked = self._store.check_integrity(_SHORT_CHECK_SECONDS)
        lock_path, is_shared = self._settings.lock_path, self._settings.is_shared
        with only_tick(self._store, lock_path, self._clock, is_shared=is_shared) as lead:
            if lead is not None:
                lead.clock_ahead = clock_ahead
                raise self._work_beside(lead, force=force)
            if not self._is_checked:
                self._store.continue_check(self._idle_check_seconds())
            replacing = self._revoke_open()
            plan = self._plan(force=force)
            self._carry_out(plan, replacing, renew=replacing)
            self._look_at_new()
            alerts = self._poll_renewal_info()
            looked = self._look(started_at)
            inventory = self._compare_inventory()
            self._require_claim()
            self._conclude_suspicions(started_at, looked)
            customers = None if self._looks is None else self._looks.conclude_customers(self._report.ended)
            report = self._report
            with self._store.transaction():
                self._store.record_milestone(
                    Milestone.TICK, f"{report.ended} due, {len(report.unwell)} not well"
                )
                if self._is_checked:
                    self._store.record_milestone(Milestone.CHECKED, "")
            end_snoozes(self._store, self._clock())
            sent = self._notify(started_at, looked, plan.held)
            webhook_error = self._announce()
            self._store.record_status_counts(self._clock())
            is_good = self._is_good(sent)
            self._record_end(self._monotonic() - began, is_good=is_good)
        ping_error = self._ping() if self._ping is not None and is_good else None
        now = self._clock()
        return TickResult(
            at=now,
            exit_code=report.exit_code,
            names=tuple(report.names),
            errors=dict(report.errors),
            ended=report.ended,
            unwell=tuple(report.unwell),
            held_renewals=plan.held,
            alerts=alerts,
            notices=sent,
            webhook_error=webhook_error,
            ping_error=ping_error,
            counts=self._store.count_by_status(now),
            pauses=self._store.pauses(now),
            withheld=tuple(report.withheld),
            lost=len(looked.lost) + len(looked.lost_withheld),
            warned=looked.warned,
            look_trouble=looked.trouble,
            is_blind=looked.is_blind,
            maintenance=self._store.maintenance_pause(now),
            withheld_customers=customers,
            inventory=inventory,
            edge_troubles=list(find_edge_troubles(self._store, now)),
            other_cas=list(find_other_cas(self._store, now)),
            clock_ahead=clock_ahead,
        )

    def _work_beside(self, lead: TickRuns, *, force: bool) -> TickRuns:
        """Run due passes beside `lead` until this tick finds nothing more; return `lead` with the report."""
        self._is_lead = False
        taken = -1
        while taken < len(self._report.names):
            taken = len(self._report.names)
            self._carry_out(self._plan(force=force))
        lead.report = self._report
        return lead

    def _require_claim(self) -> None:
        """Raise `ClaimLost` if somebody broke the claim: another tick may lead by now."""
        if self._is_lead:
            self._store.require_claims([TICK])

    def _idle_check_seconds(self) -> float:
        """Return for how long a tick without work continues the check; even 0 is a first part, where damage was found before."""
        last = self._store.milestones().get(Milestone.DAMAGE_SEARCH)
        share = 1.0 if last is None else (self._clock() - last.at) / _SHORT_CHECK_EVERY
        return _SHORT_CHECK_SECONDS * min(max(share, 0.0), 1.0)

    def _plan(self, *, force: bool) -> Plan:
        settings = self._settings
        return planning.plan(
            self._store, self._clock(), settings.renewal, max_per_day=settings.max_per_day, force=force
        )

    def _carry_out(self, plan: Plan, again: Sequence[str] = (), renew: Sequence[str] = ()) -> None:
        """Run the passes of `plan`, except for domains that had one in this tick, and passes over the domains `again`.

        Domains in `renew` get a new certificate even if none is due.
        """
        known, repeated = set(self._report.names), set(again)
        planned = [task.name for task in plan.tasks if task.name not in known | repeated]
        names = [*planned, *again]
        if not names:
            return
        self._require_claim()
        self._check_before_passes(names)
        renewed = {task.name for task in plan.tasks if task.early}.union(renew)

        def on_taken(block: Sequence[str]) -> None:
            self._report.names += [name for name in block if name not in known]

        sharing = None
        if self._settings.is_shared:
            sharing = Share(self._store, plan.revisions, plan.ordering.union(renew), on_taken)
        else:
            on_taken(names)
        self._run_passes(names, self._report, renew=renewed, sharing=sharing)

    def _check_before_passes(self, names: Sequence[str]) -> None:
        """Check the database before passes over `names`, unless all of it was checked. Raise `StateError` if it is damaged."""
        if self._is_checked:
            return
        self._store.check_domains(names)
        if not self._is_check_continued:
            self._store.continue_check(_LONG_CHECK_SECONDS)
            self._is_check_continued = True

    def _look_at_new(self) -> None:
        """Look at the DNS of new domains, and run a pass over those that point at the CDN by now."""
        pointing = [] if self._looks is None else self._looks.look_at_new()
        if pointing:
            self._carry_out(Plan(()), pointing)

    def _poll_renewal_info(self) -> Sequence[Alert]:
        """Ask the CA when to renew, and run what that makes due; return what it newly wants renewed early."""
        if self._issuers is None:
            return ()
        rule = self._settings.renewal
        poll = ari_polling.poll(self._store, self._issuers, self._clock, rule, seconds=_POLLING_SECONDS)
        if poll.asked:
            self._carry_out(self._plan(force=False))
        return poll.alerts

    def _look(self, started_at: datetime) -> Looked:
        """Look at what C4 and DNS have, and upload again what C4 has lost.

        If C4 has lost many, the first few are uploaded, and the others only if that helped: C4 may just answer wrongly.
        A domain whose pass ended because C4 seemed to have lost its certificate gets a second one once that is known.
        """
        if self._looks is None:
            return Looked()
        last = self._store.milestones().get(Milestone.TICK)
        self._replace_expired(started_at)
        doubted = self._doubted(started_at)
        looked = self._looks.run(None if last is None else last.at)
        self._looks.reinstall_lost(looked.lost)
        self._repeat(doubted, is_work_due=bool(looked.lost) or looked.is_work_due)
        if looked.lost_withheld:
            if looked.lost and all(one.serving is not None for one in self._store.domains_named(looked.lost)):
                still_doubted = [name for name in doubted if name in set(looked.lost_withheld)]
                self._looks.reinstall_lost(looked.lost_withheld)
                self._repeat(still_doubted, is_work_due=True)
            else:
                self._looks.withhold_lost(looked.lost_withheld)
                self._report.withhold([Withheld(Code.C4_LOST, len(looked.lost_withheld), looked.domains)])
        return looked

    def _doubted(self, since: datetime | None) -> list[str]:
        """Return the domains whose passes ended because C4 seemed to have another certificate than ours, or none."""
        return list(chain.from_iterable(suspicions.to_check_again(self._store, since).values()))

    def _repeat(self, doubted: Sequence[str], *, is_work_due: bool) -> None:
        """Run a second pass over each of `doubted` whose doubt has ended, and the passes that are due if `is_work_due`."""
        still = set(self._doubted(None)) if doubted else ()
        again = [name for name in doubted if name not in still]
        if again or is_work_due:
            self._carry_out(self._plan(force=False), again)

    def _replace_expired(self, started_at: datetime) -> None:
        """Replace the text certificates of others that have expired, unless they are too many: the clock may be wrong.

        What has been said to have expired for a day is replaced all the same, as many in each tick as would be believed: the
        edge serves it, and people have heard of it.
        """
        code, now = Code.OTHER_EXPIRED, self._clock()
        limit = self._settings.suspicion_limit.of(self._report.ended)
        heard = suspicions.suspected_by_code(self._store, started_at).get(code, [])
        if len(heard) > limit:
            heard = [one for one in heard if one.suspicion and now - one.suspicion.since >= _EXPIRED_FOR]
        names = [domain.name for domain in heard[:limit]]
        if names:
            self._check_before_passes(names)
            self._run_passes(names, self._report, renew=(), consent=Consent(believe=frozenset({code})))

    def _conclude_suspicions(self, started_at: datetime, looked: Looked) -> None:
        """Believe the bad answers about served domains that this tick, or one beside it, heard, unless they are too many."""
        settings, report, now = self._settings, self._report, self._clock()
        since, passes = started_at, report.ended
        if settings.is_shared:
            # Also what ticks beside the last one heard after it had concluded.
            last = self._store.milestones().get(Milestone.TICK)
            since = started_at if last is None else max(min(last.at, started_at), started_at - _BESIDE)
            passes = max(passes, self._store.count_checked(since))
        conclusion = suspicions.conclude(
            self._store,
            settings.renewal,
            settings.suspicion_limit,
            since=since,
            now=now,
            looked_at=LookedAt(looked.domains + passes, looked.dns_checks + passes),
        )
        report.withhold(conclusion.withheld)
        looked.warned.update(one.caution.code for one in conclusion.domains if one.caution is not None)
        report.update(conclusion.domains, now)
        report.update(self._store.domains_named(looked.changed), now)
        report.is_blind = looked.is_blind

    def _notify(self, started_at: datetime, looked: Looked, held: int) -> dict[NoticeKey, Notice]:
        """Notify people; if nobody is to be notified, delete the records of the last notices."""
        before = self._store.notices()
        if self._notifier is None:
            if before:
                self._store.record_notices({})
            return {}
        settings, now = self._settings, self._clock()
        fleet = find_fleet_trouble(
            self._store,
            find_c4_contact(self._store, [*self._report.unwell, *self._report.names], started_at, looked),
            self._report.withheld,
            before.get(NoticeKey(), Notice()).troubles,
            since=started_at,
            now=now,
            rule=settings.renewal,
        )
        is_withheld = any(each.code is Code.C4_LOST for each in self._report.withheld)
        lost = looked.lost if is_withheld else [*looked.lost, *looked.lost_withheld]
        if self._store.maintenance_pause(now) is not None:
            # They are not uploaded again yet, which is an Emergency of each.
            lost = []
        rules = NoticeRules(settings.notify_statuses, settings.notify_repeat, settings.renewal)
        return notices.notify(
            self._store,
            self._notifier,
            self._routes,
            rules,
            now,
            unusable_routes=self._unusable_routes,
            fleet=fleet,
            lost=lost,
            held_renewals=held,
        )

    def _is_good(self, sent: Mapping[NoticeKey, Notice]) -> bool:
        """Return whether the tick was good, so that the ping is due. A missing ping alerts people.

        It was not if a pass met a bug, its result could not be recorded, bad answers were too many to be believed, C4 could not be
        looked at for days, or a notice reached nobody.
        """
        notifiers = {"": self._notifier} | {route.key: route.notifier for route in self._routes}
        reached_nobody = any(
            notifier is not None and len(notice.missed) == len(notifier.schemes)
            for notifier, notice in ((notifiers.get(at.route), notice) for at, notice in sent.items())
        )
        report = self._report
        is_bad = report.exit_code == Exit.BUG or bool(report.withheld or report.unrecorded or report.is_blind)
        return not (reached_nobody or is_bad)

    def _record_end(self, seconds: float, *, is_good: bool) -> None:
        with self._store.transaction():
            self._store.record_milestone(Milestone.TICK_ENDED, "", seconds)
            if is_good:
                self._store.record_milestone(Milestone.GOOD_TICK, "", seconds)
