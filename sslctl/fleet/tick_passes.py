"""The passes of one tick: planned, checked for damage before them, and on several hosts shared with the other ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from sslctl.fleet import planning, spreading
from sslctl.fleet.planning import Plan, Task
from sslctl.fleet.run_passes import RunPasses
from sslctl.fleet.sharing import Share
from sslctl.issuance.consent import Consent
from sslctl.issuance.report import Report
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.rules.claim_names import domain_of
from sslctl.rules.model import Milestone
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.renewals import Renewals

# Nothing is ordered or uploaded from a damaged database. The short check covers some thousand domains. Of a larger fleet, each
# tick checks a part; with 1.2 million certificates all is covered by some 40 ticks with work. Ticks without work check for as
# long as the short check in an hour, however many they are.
_SHORT_CHECK_SECONDS = 0.2
_SHORT_CHECK_EVERY = timedelta(hours=1)
_LONG_CHECK_SECONDS = 2
# The claims of a host that died end within a minute, and a pass that goes on ends within another.
_PATIENCE_SECONDS = 120
_LOOK_SECONDS = 1


class _Store(Budget, Claims, Domains, Maintenance, MaintenancePauses, Renewals, Protocol):
    """What passes are planned from, and what is checked before them."""


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


class TickPasses:
    """The passes of one tick, and in `report` their results. `require_lead` raises an error if this tick may not go on."""

    def __init__(
        self,
        store: _Store,
        run_passes: RunPasses,
        clock: Callable[[], datetime],
        settings: TickSettings,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._run_passes = run_passes
        self._clock = clock
        self._settings = settings
        self._monotonic = monotonic
        self._sleep = sleep
        # What was planned and other processes worked on.
        self._elsewhere: dict[str, Task] = {}
        self._is_check_continued = False
        self.is_checked = False
        self.require_lead: Callable[[], None] = lambda: None
        # What another command works on is due again at the next tick; what it deleted needs no pass.
        self.report = Report([], batch=True, skip_concurrent=True)

    def check(self) -> None:
        """Check the database for damage, in a moment. Raise `StateError` if it is damaged."""
        self.is_checked = self._store.check_integrity(_SHORT_CHECK_SECONDS)

    def check_idle(self) -> None:
        """Check the next part of a database that is too large for `check`. Raise `StateError` if it is damaged.

        Even 0 seconds are a first part, where damage was found before.
        """
        if self.is_checked:
            return
        last = self._store.milestones().get(Milestone.DAMAGE_SEARCH)
        share = 1.0 if last is None else (self._clock() - last.at) / _SHORT_CHECK_EVERY
        self._store.continue_check(_SHORT_CHECK_SECONDS * min(max(share, 0.0), 1.0))

    def plan(self, *, force: bool = False) -> Plan:
        """Return what is due now; see `planning.plan`."""
        settings = self._settings
        return planning.plan(
            self._store, self._clock(), settings.renewal, max_per_day=settings.max_per_day, force=force
        )

    def carry_out(self, plan: Plan, again: Sequence[str] = (), renew: Sequence[str] = ()) -> None:
        """Run the passes of `plan`, except for domains that had one in this tick, and passes over the domains `again`.

        Domains in `renew` get a new certificate even if none is due.
        """
        known, repeated = set(self.report.names), set(again)
        planned = [task.name for task in plan.tasks if task.name not in known | repeated]
        names = [*planned, *again]
        if not names:
            return
        self.require_lead()
        self._check_before(names)
        renewed = {task.name for task in plan.tasks if task.early}.union(renew)

        def on_taken(block: Sequence[str]) -> None:
            self.report.names += [name for name in block if name not in known]

        sharing = None
        if self._settings.is_shared:
            within_day = partial(self._within_day, plan)
            sharing = Share(self._store, plan.revisions, plan.ordering.union(renew), on_taken, within_day)
        else:
            on_taken(names)
        self._run_passes(names, self.report, renew=renewed, sharing=sharing)
        if sharing is not None:
            self._elsewhere |= {task.name: task for task in plan.tasks if task.name in sharing.busy}

    def _within_day(self, plan: Plan, block: Sequence[str]) -> list[str]:
        """Return the claimed domains `block` without renewals that other machines leave no room for today."""
        most = self._settings.max_per_day
        if not most or not plan.postponable:
            return list(block)
        return spreading.within_day(self._store, block, plan.renewals, plan.postponable, self._clock(), most)

    def wait_for_others(self) -> None:
        """Wait until no other process works on what was planned, and run the passes that one which died has left.

        Nobody is waited for who ends nothing in 2 minutes.
        """
        end, least = 0.0, len(self._elsewhere) + 1
        while self._elsewhere:
            self._take_over()
            if len(self._elsewhere) < least:
                end, least = self._monotonic() + _PATIENCE_SECONDS, len(self._elsewhere)
            if not self._elsewhere or self._monotonic() > end:
                return
            self._sleep(_LOOK_SECONDS)

    def _take_over(self) -> None:
        """Run the passes over domains that other processes had, that nobody claims any more, and that were not worked on."""
        claimed = {domain_of(claim.name) for claim in self._store.claims() if claim.is_valid}
        free = {name: task for name, task in self._elsewhere.items() if name not in claimed}
        self._elsewhere = {name: task for name, task in self._elsewhere.items() if name in claimed}
        found = {domain.name: domain.revision for domain in self._store.domains_named(list(free))}
        left = [task for name, task in free.items() if found.get(name) == task.revision]
        self.carry_out(Plan(left))

    def believe(self, names: Sequence[str], code: Code) -> None:
        """Run passes over `names` in which the suspicion `code` is believed."""
        if names:
            self._check_before(names)
            self._run_passes(names, self.report, renew=(), consent=Consent(believe=frozenset({code})))

    def _check_before(self, names: Sequence[str]) -> None:
        """Check the database before passes over `names`, unless all of it was checked. Raise `StateError` if it is damaged."""
        if self.is_checked:
            return
        self._store.check_domains(names)
        if not self._is_check_continued:
            self._store.continue_check(_LONG_CHECK_SECONDS)
            self._is_check_continued = True
