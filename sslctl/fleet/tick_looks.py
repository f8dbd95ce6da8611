"""What a tick looks at beside what is due, the passes that this makes due, and what of it is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Protocol

from sslctl.fleet.looks import Looked, Looks
from sslctl.fleet.planning import Plan
from sslctl.fleet.tick_passes import TickPasses, TickSettings
from sslctl.issuance import suspicions
from sslctl.issuance.customers import WithheldCustomers
from sslctl.issuance.suspicions import LookedAt, Withheld
from sslctl.rules.model import Milestone
from sslctl.rules.reasons import Code
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# A little less than a day, for ticks once a day.
_EXPIRED_FOR = timedelta(hours=23, minutes=30)
# A tick beside another one ends soon after it; see `one_tick` for how long that lasts at most.
_BESIDE = timedelta(hours=3)


class _Store(Domains, Maintenance, Transactions, Versions, Protocol):
    """What is looked at and concluded."""


class TickLooks:
    """The looks of one tick with `looks`, None for none, and what its `passes` and they heard."""

    def __init__(
        self,
        store: _Store,
        looks: Looks | None,
        passes: TickPasses,
        clock: Callable[[], datetime],
        settings: TickSettings,
    ) -> None:
        self._store = store
        self._looks = looks
        self._passes = passes
        self._clock = clock
        self._settings = settings

    def look_at_new(self) -> None:
        """Look at the DNS of new domains, and run a pass over those that point at the CDN by now."""
        pointing = [] if self._looks is None else self._looks.look_at_new()
        if pointing:
            self._passes.carry_out(Plan(()), pointing)

    def look(self, started_at: datetime) -> Looked:
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
                self._passes.report.withhold(
                    [Withheld(Code.C4_LOST, len(looked.lost_withheld), looked.domains)]
                )
        return looked

    def _doubted(self, since: datetime | None) -> list[str]:
        """Return the domains whose passes ended because C4 seemed to have another certificate than ours, or none."""
        return list(chain.from_iterable(suspicions.to_check_again(self._store, since).values()))

    def _repeat(self, doubted: Sequence[str], *, is_work_due: bool) -> None:
        """Run a second pass over each of `doubted` whose doubt has ended, and the passes that are due if `is_work_due`."""
        still = set(self._doubted(None)) if doubted else ()
        again = [name for name in doubted if name not in still]
        if again or is_work_due:
            self._passes.carry_out(self._passes.plan(), again)

    def _replace_expired(self, started_at: datetime) -> None:
        """Replace the text certificates of others that have expired, unless they are too many: the clock may be wrong.

        What has been said to have expired for a day is replaced all the same, as many in each tick as would be believed: the
        edge serves it, and people have heard of it.
        """
        code, now = Code.OTHER_EXPIRED, self._clock()
        limit = self._settings.suspicion_limit.of(self._passes.report.ended)
        heard = suspicions.suspected_by_code(self._store, started_at).get(code, [])
        if len(heard) > limit:
            heard = [one for one in heard if one.suspicion and now - one.suspicion.since >= _EXPIRED_FOR]
        names = [domain.name for domain in heard[:limit]]
        self._passes.believe(names, code)

    def conclude(self, started_at: datetime, looked: Looked) -> None:
        """Believe the bad answers about served domains that this tick, or one beside it, heard, unless they are too many."""
        settings, report, now = self._settings, self._passes.report, self._clock()
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
        if settings.is_shared:
            report.update(self._store.unwell_since(since), now)
            report.elsewhere = max(0, passes - report.ended)

    def conclude_customers(self) -> WithheldCustomers | None:
        """See `Looks.conclude_customers`."""
        return None if self._looks is None else self._looks.conclude_customers(self._passes.report.ended)
