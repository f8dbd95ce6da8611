"""The notices of a tick: what of it people must hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sslctl.fleet import notices
from sslctl.fleet.fleet_trouble import find_c4_contact, find_fleet_trouble
from sslctl.fleet.looks import Looked
from sslctl.fleet.notices import NoticeRules
from sslctl.fleet.tick_passes import TickSettings
from sslctl.issuance.report import Report
from sslctl.notify import Notifier, Route, UnusableRoute
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.edges import Edges
from sslctl.store.interface.inventory import UnmanagedDomains
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.notices import Notices
from sslctl.store.interface.transitions import Transitions


class _Store(Budget, Domains, Edges, MaintenancePauses, Notices, Transitions, UnmanagedDomains, Protocol):
    """What notices are made from, and where the last ones are stored."""


class TickNotices:
    """The notices of one tick; without a `notifier` nobody is notified. For the other arguments see `Tick`."""

    def __init__(
        self,
        store: _Store,
        notifier: Notifier | None,
        routes: Sequence[Route],
        unusable_routes: Sequence[UnusableRoute],
        clock: Callable[[], datetime],
        settings: TickSettings,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._routes = routes
        self._unusable_routes = unusable_routes
        self._clock = clock
        self._settings = settings

    def send(
        self, report: Report, started_at: datetime, looked: Looked, held: int
    ) -> dict[NoticeKey, Notice]:
        """Notify people; if nobody is to be notified, delete the records of the last notices."""
        before = self._store.notices()
        if self._notifier is None:
            if before:
                self._store.record_notices({})
            return {}
        settings, now = self._settings, self._clock()
        fleet = find_fleet_trouble(
            self._store,
            find_c4_contact(self._store, [*report.unwell, *report.names], started_at, looked),
            report.withheld,
            before.get(NoticeKey(), Notice()).troubles,
            since=started_at,
            now=now,
            rule=settings.renewal,
        )
        is_withheld = any(each.code is Code.C4_LOST for each in report.withheld)
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

    def reached_nobody(self, sent: Mapping[NoticeKey, Notice]) -> bool:
        """Return whether one of the notices `sent` was taken by no URL."""
        notifiers = {"": self._notifier} | {route.key: route.notifier for route in self._routes}
        return any(
            notifier is not None and len(notice.missed) == len(notifier.schemes)
            for notifier, notice in ((notifiers.get(at.route), notice) for at, notice in sent.items())
        )
