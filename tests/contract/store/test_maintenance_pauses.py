"""The maintenance pause outlives the process, ends by itself, and is part of the audit trail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.model import Domain, MaintenancePause
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ACTOR = "tester (pytest)"


def details(store: Store) -> list[tuple[str | None, str, str, str]]:
    """Return the whole audit trail: the name of the domain, the actor, the kind and the detail of each event."""
    return [(name, event.actor, event.kind, event.detail) for name, event in store.audit_trail()]


def test_pause_is_in_force_for_every_handle_until_its_end(
    store: Store, backend: Backend, clock: Clock
) -> None:
    assert store.maintenance_pause(clock()) is None
    pause = store.set_maintenance_pause(START + 2 * HOUR, "C4 is upgraded")
    assert pause == MaintenancePause(START, START + 2 * HOUR, "C4 is upgraded", ACTOR)
    again = backend.open(clock)
    assert again.maintenance_pause(START) == pause
    assert again.maintenance_pause(START + 2 * HOUR - timedelta(seconds=1)) == pause
    assert again.maintenance_pause(START + 2 * HOUR) is None
    again.close()


def test_second_pause_replaces_the_first(store: Store, clock: Clock) -> None:
    store.set_maintenance_pause(START + 2 * DAY, "C4")
    clock.move(hours=1)
    shorter = store.set_maintenance_pause(START + 2 * HOUR, "the CDN")
    assert store.maintenance_pause(clock()) == shorter
    assert store.maintenance_pause(START + DAY) is None


def test_resume_returns_the_pause_that_it_ends_and_none_without_one(
    store: Store, backend: Backend, clock: Clock
) -> None:
    assert store.end_maintenance_pause() is None
    pause = store.set_maintenance_pause(START + HOUR, "C4")
    assert store.end_maintenance_pause() == pause
    assert (store.maintenance_pause(clock()), store.end_maintenance_pause()) == (None, None)
    assert [kind for _, _, kind, _ in details(store)] == ["paused", "resumed"]
    again = backend.open(clock)
    assert again.maintenance_pause(clock()) is None
    again.close()


def test_resume_after_the_end_records_nothing_and_the_pause_stays_ended_if_the_clock_is_set_back(
    store: Store, clock: Clock
) -> None:
    store.set_maintenance_pause(START + HOUR, "C4")
    clock.move(hours=2)
    assert store.end_maintenance_pause() is None
    clock.move(hours=-2)
    assert store.maintenance_pause(clock()) is None
    assert len(details(store)) == 1


@pytest.mark.parametrize(("back", "lasts"), [(HOUR, True), (DAY, True), (DAY + HOUR, False)])
def test_pause_lasts_if_the_clock_is_set_back_a_little(
    store: Store, clock: Clock, back: timedelta, *, lasts: bool
) -> None:
    store.set_maintenance_pause(START + HOUR, "C4")
    assert (store.maintenance_pause(clock() - back) is not None) == lasts


def test_audit_trail_has_who_paused_and_resumed_when_and_why_without_a_domain(
    store: Store, domain: Domain, clock: Clock
) -> None:
    store.set_maintenance_pause(START + HOUR, "C4 is upgraded", "2 certificates expire before its end")
    store.set_maintenance_pause(START + 2 * HOUR, "still")
    store.end_maintenance_pause()
    store.record_event(domain, "checked", "")
    first, *events = details(store)
    assert first[0] == domain.name
    assert events == [
        (None, ACTOR, "paused",
         "until 2026-11-23T05:00:00Z: C4 is upgraded; 2 certificates expire before its end"),
        (None, ACTOR, "paused",
         "until 2026-11-23T06:00:00Z: still; it replaces the pause until 2026-11-23T05:00:00Z: C4 is upgraded"),
        (None, ACTOR, "resumed", "before the end of the pause until 2026-11-23T06:00:00Z: still"),
        (domain.name, ACTOR, "checked", ""),
    ]  # fmt: skip
    assert [event.kind for event in store.events(domain)] == [first[2], "checked"]
    assert [name for name, _ in store.audit_trail(domain=domain)] == [domain.name] * 2
    assert len(list(store.audit_trail(since=clock(), actor="pytest"))) == 5


def test_audit_chain_covers_events_without_a_domain(store: Store, backend: Backend) -> None:
    store.set_maintenance_pause(START + HOUR, "C4")
    store.end_maintenance_pause()
    audit = store.verify_history()
    assert (audit.intact, audit.broken) == (2, "")
    with backend.sql(guarded=False) as sql:
        sql("UPDATE event SET actor = ? WHERE kind = ?", ("somebody else", "paused"))
    broken = store.verify_history().broken
    assert "no domain" in broken
    assert "paused" in broken


def test_pause_is_not_set_if_its_event_cannot_be_recorded(
    store: Store, backend: Backend, clock: Clock
) -> None:
    with backend.refusing_events(), pytest.raises(Exception, match="no more events"):
        store.set_maintenance_pause(START + HOUR, "C4")
    assert store.maintenance_pause(clock()) is None
