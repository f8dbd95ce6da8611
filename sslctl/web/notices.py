"""What concerns no single domain and stands at the top of a page: pauses, trouble of the whole fleet, silent ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sslctl.rules.limits import LimitKind
from sslctl.rules.model import Milestone
from sslctl.rules.notice import UNDELIVERED, UNUSABLE, WHOLE_FLEET, WITHHELD
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_sgt
from sslctl.rules.tick_silence import is_silent
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query, Sort
from sslctl.text import clean
from sslctl.web.language import Texts

_PAUSES = {
    LimitKind.ACCOUNT: "notice.ca_pause",
    LimitKind.BREAKER: "notice.ca_pause",
    LimitKind.ORDERS: "notice.orders_pause",
}


def standing_notices(store: Store, now: datetime, texts: Texts) -> list[str]:
    """Return the notices as sentences, the most urgent first."""
    return [
        *_silence(store, now, texts),
        *_fleet(store, texts),
        *_maintenance(store, now, texts),
        *_pauses(store, now, texts),
        *_undelivered(store, texts),
    ]


def _silence(store: Store, now: datetime, texts: Texts) -> Iterator[str]:
    last = store.milestones().get(Milestone.TICK)
    if last is not None:
        if is_silent(last.at, None, now):
            yield texts("notice.silent", since=format_sgt(last.at))
        return
    first = next(store.listing(Query(sort=Sort.CREATED, limit=1), now).domains, None)
    if first is not None and is_silent(None, first.created_at, now):
        yield texts("notice.no_tick", since=format_sgt(first.created_at))


def _fleet(store: Store, texts: Texts) -> Iterator[str]:
    """Yield the trouble of the whole fleet that the last notification reported."""
    reported = sorted(set().union(*(notice.troubles for notice in store.notices().values())))
    keys = {WHOLE_FLEET: "notice.whole_fleet", WITHHELD: "notice.not_believed"}
    for subject, what in reported:
        if what in keys and subject in set(Code):
            code = Code(subject)
            yield texts(keys[what], reason=texts.label(code), code=code)
        elif what in (UNDELIVERED, UNUSABLE):
            yield texts("notice.route", route=clean(subject))


def _maintenance(store: Store, now: datetime, texts: Texts) -> Iterator[str]:
    pause = store.maintenance_pause(now)
    if pause is not None:
        until = format_sgt(pause.until)
        yield texts("notice.maintenance", until=until, reason=pause.reason, actor=pause.actor)


def _pauses(store: Store, now: datetime, texts: Texts) -> Iterator[str]:
    pauses = store.pauses(now)
    for pause in pauses:
        if pause.scope.kind in _PAUSES:
            yield texts(_PAUSES[pause.scope.kind], until=format_sgt(pause.until), why=pause.why)
    narrow = [pause for pause in pauses if pause.scope.kind not in _PAUSES]
    if narrow:
        latest = max(pause.until for pause in narrow)
        yield texts.number("notice.narrow", len(narrow), until=format_sgt(latest))


def _undelivered(store: Store, texts: Texts) -> Iterator[str]:
    for (route, _kind), notice in store.notices().items():
        if notice.missed_since is not None:
            key = "notice.undelivered_route" if route else "notice.undelivered"
            yield texts(key, route=clean(route), since=format_sgt(notice.missed_since), why=notice.why)
