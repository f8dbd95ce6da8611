"""Figures over days: certificates that expire, orders, and the recorded numbers of domains by status."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from sslctl.rules.model import Domain, Installed, Source, State
from sslctl.rules.reasons import Status
from sslctl.store.interface import Store
from sslctl.store.interface.figures import STATUS_DAYS, ExpiryCount, Outcome
from tests.support.fakes import Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import CERTIFICATE, CHAIN, bundle, finding, leaf, open_order, serve

# 00:00 in Singapore of the next day.
NOW = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)
TODAY = date(2027, 3, 2)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    clock.at = NOW


def issue(store: Store, name: str, expires_at: datetime) -> Domain:
    domain = store.find(name) or store.add_domain(name, (), Source.C4)
    order = open_order(store, domain)
    facts = leaf(expires_at - 90 * DAY, names=domain.names)
    return store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, facts)


def served(store: Store, name: str, expires_at: datetime) -> Domain:
    return serve(store, issue(store, name, expires_at))


def test_expiries_count_certificates_in_service_by_source_on_days_in_singapore(store: Store) -> None:
    end_of_day = NOW + DAY - timedelta(seconds=1)
    for number, expires_at in enumerate([NOW, end_of_day, end_of_day + timedelta(seconds=1)]):
        served(store, f"d{number}.test", expires_at)
    facts = leaf(NOW, names=("pasted.test",), days=0.5)
    serve(store, store.add_text_certificate("pasted.test", (), bundle(), facts))
    assert store.expiries(TODAY, TODAY + DAY) == [
        ExpiryCount(TODAY, Source.C4, 2),
        ExpiryCount(TODAY, Source.TEXT, 1),
        ExpiryCount(TODAY + DAY, Source.C4, 1),
    ]
    assert store.expiries(TODAY + DAY, TODAY + DAY) == [ExpiryCount(TODAY + DAY, Source.C4, 1)]
    assert store.expiries(TODAY + 2 * DAY, TODAY + 90 * DAY) == []


def test_expiries_count_what_c4_has_in_place_of_our_certificate(store: Store) -> None:
    ours = served(store, "a.test", NOW)
    store.record_observation(ours, Installed(Source.TEXT, "cd" * 32, NOW + 5 * DAY, State.ACTIVE))
    never = store.add_domain("b.test", (), Source.C4)
    store.record_observation(never, Installed(Source.C4, "ef" * 32, NOW + 6 * DAY, State.ACTIVE))
    assert store.expiries(TODAY, TODAY + 9 * DAY) == [
        ExpiryCount(TODAY + 5 * DAY, Source.TEXT, 1),
        ExpiryCount(TODAY + 6 * DAY, Source.C4, 1),
    ]


def test_expiries_leave_out_replaced_certificates_those_that_wait_and_deleted_domains(store: Store) -> None:
    served(store, "renewed.test", NOW)
    served(store, "renewed.test", NOW + DAY)
    issue(store, "waits.test", NOW)
    store.delete_domain(served(store, "deleted.test", NOW))
    gone = store.add_domain("gone.test", (), Source.C4)
    seen = Installed(Source.C4, "ef" * 32, NOW, State.ACTIVE)
    store.delete_domain(store.record_observation(gone, seen))
    assert store.expiries(TODAY, TODAY + DAY) == [ExpiryCount(TODAY + DAY, Source.C4, 1)]


def test_orders_count_by_day_kind_and_outcome(store: Store, clock: Clock) -> None:
    a = issue(store, "a.test", NOW + 90 * DAY)
    for name in ("b.test", "c.test"):
        failed = open_order(store, store.add_domain(name, (), Source.C4))
        store.close_order(failed, "CHALLENGE_FAILED")
    open_order(store, a)
    clock.at = NOW + DAY - timedelta(seconds=1)
    open_order(store, store.add_domain("d.test", (), Source.C4))
    clock.at = NOW + DAY
    open_order(store, store.add_domain("e.test", (), Source.C4))
    assert store.orders(TODAY, TODAY) == [
        (TODAY, False, Outcome.FAILED, 2),
        (TODAY, False, Outcome.ISSUED, 1),
        (TODAY, False, Outcome.OPEN, 1),
        (TODAY, True, Outcome.OPEN, 1),
    ]
    assert store.orders(TODAY + DAY, TODAY + 2 * DAY) == [(TODAY + DAY, False, Outcome.OPEN, 1)]
    assert store.orders(TODAY - DAY, TODAY - DAY) == []


def test_orders_leave_out_those_at_another_ca_and_include_those_whose_ca_is_unknown(
    backend: Backend, clock: Clock
) -> None:
    for ca in ("https://a.test/directory", "https://b.test/directory", ""):
        state = backend.open(clock, ca=ca)
        open_order(state, state.add_domain(f"d{len(ca)}{ca[8:9]}.test", (), Source.C4))
        state.close()
    state = backend.open(clock, ca="https://a.test/directory")
    assert state.orders(TODAY, TODAY) == [(TODAY, False, Outcome.OPEN, 2)]
    state.close()


def numbers(store: Store, first: date = TODAY - 9 * DAY, last: date = TODAY + 9 * DAY) -> dict[int, int]:
    """Return the recorded numbers of Pending domains, by the number of the day from today."""
    found = store.status_counts(first, last)
    return {(day - TODAY).days: counts[Status.PENDING] for day, counts in found.items()}


def record(store: Store, clock: Clock, days: float, name: str) -> None:
    """Add a domain and record the counts so many days after `NOW`."""
    clock.at = NOW + days * DAY
    store.add_domain(name, (), Source.C4)
    store.record_status_counts(clock.at)


def test_first_record_of_a_day_in_singapore_counts_and_has_every_status(store: Store, clock: Clock) -> None:
    failing = store.record_finding(store.add_domain("f.test", (), Source.C4), finding())
    store.delete_domain(store.add_domain("deleted.test", (), Source.C4))
    record(store, clock, 0, "a.test")
    store.record_finding(failing, None)
    record(store, clock, 0.999, "b.test")
    assert store.status_counts(TODAY, TODAY) == {
        TODAY: dict.fromkeys(Status, 0) | {Status.PENDING: 1, Status.FAILURE: 1}
    }
    record(store, clock, 1, "c.test")
    assert numbers(store) == {0: 1, 1: 4}


def test_day_without_a_record_is_absent_and_an_empty_fleet_is_recorded_as_zero(
    store: Store, clock: Clock
) -> None:
    assert numbers(store) == {}
    store.record_status_counts(NOW)
    record(store, clock, 2, "a.test")
    assert numbers(store) == {0: 0, 2: 1}
    assert list(store.status_counts(TODAY, TODAY + 2 * DAY)) == [TODAY, TODAY + 2 * DAY]
    assert numbers(store, TODAY + DAY) == {2: 1}
    assert numbers(store, last=TODAY + DAY) == {0: 0}


def test_record_of_a_clock_that_was_ahead_is_left_out_and_replaced_on_its_day(
    store: Store, clock: Clock
) -> None:
    record(store, clock, 3, "a.test")
    record(store, clock, 5, "b.test")
    record(store, clock, 0, "c.test")
    assert numbers(store) == {0: 3}
    record(store, clock, 3, "d.test")
    record(store, clock, 3.5, "e.test")
    assert numbers(store) == {0: 3, 3: 4}
    record(store, clock, 6, "f.test")
    assert numbers(store) == {0: 3, 3: 4, 6: 6}


def test_clock_that_is_years_behind_or_ahead_costs_no_record(store: Store, clock: Clock) -> None:
    for day in range(3):
        record(store, clock, day, f"d{day}.test")
    record(store, clock, -20_000, "behind.test")
    record(store, clock, 20_000, "ahead.test")
    assert numbers(store) == {0: 1, 1: 2, 2: 3}
    record(store, clock, 2.5, "again.test")
    record(store, clock, 3, "next.test")
    assert numbers(store) == {0: 1, 1: 2, 2: 6, 3: 7}


def test_last_days_with_a_record_are_kept_however_far_apart(
    store: Store, backend: Backend, clock: Clock
) -> None:
    with backend.sql() as sql:
        for day in range(STATUS_DAYS):
            values = (str(TODAY - (2 * day + 1) * DAY), "Pending", day, STATUS_DAYS - day)
            sql("INSERT INTO status_count (day, status, number, sequence) VALUES (?, ?, ?, ?)", values)
    first = TODAY - (2 * STATUS_DAYS - 1) * DAY
    assert next(iter(store.status_counts(first, TODAY))) == first
    record(store, clock, 0, "a.test")
    kept = store.status_counts(first, TODAY)
    assert (len(kept), min(kept)) == (STATUS_DAYS, first + 2 * DAY)


def test_backup_has_the_records_and_a_day_after_the_restore_is_recorded(
    store: Store, backend: Backend, clock: Clock
) -> None:
    record(store, clock, 0, "a.test")
    store.close()
    saved = backend.save()
    later = backend.open(clock)
    record(later, clock, 1, "b.test")
    later.close()
    backend.restore(saved)
    restored = backend.open(clock)
    record(restored, clock, 2, "c.test")
    assert numbers(restored) == {0: 1, 2: 2}
    restored.close()
