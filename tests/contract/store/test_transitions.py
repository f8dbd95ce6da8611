"""Changes of status for the endpoint of the webhook: at most one for each domain, from the status that was accepted last."""

from __future__ import annotations

from datetime import timedelta

from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.transition import Standing, Transition
from sslctl.store.interface import Store
from tests.support.fakes import Clock
from tests.support.store_cases import finding, issue, serve

FAILURE = Standing(Status.FAILURE, Code.CNAME_ELSEWHERE)
EMERGENCY = Standing(Status.EMERGENCY, Code.C4_UPLOAD_FAILED)
QUEUED = Standing(Status.PENDING, Code.QUEUED)
WELL = Standing(Status.SUCCESS, None)


def changes(taken: list[Transition]) -> list[tuple[str, Standing | None, Standing | None, int]]:
    return [(each.name, each.before, each.after, each.changes) for each in taken]


def take(store: Store, clock: Clock, most: int = 100) -> list[Transition]:
    """Compare and take a tick later."""
    clock.move(minutes=5)
    store.note_transitions(clock())
    return store.take_transitions(clock(), most)


def add(store: Store, *names: str) -> None:
    for name in names:
        store.add_domain(name, (), Source.C4)


def add_well(store: Store, name: str) -> Domain:
    """Add a domain in Success, whose certificate expires in 90 days or less."""
    domain = serve(store, issue(store, store.add_domain(name, (), Source.C4), days=90))
    return store.record_finding(domain, None)


def test_first_comparison_owes_nothing_and_later_changes_are_owed(store: Store, clock: Clock) -> None:
    add(store, "a.test", "b.test")
    assert take(store, clock) == []
    store.record_finding(store.domain("b.test"), finding())
    (found,) = take(store, clock)
    assert changes([found]) == [("b.test", QUEUED, FAILURE, 1)]
    assert found.seen_at == clock()
    store.settle_transitions([found])
    assert take(store, clock) == []


def test_first_domain_of_an_empty_fleet_is_announced(store: Store, clock: Clock) -> None:
    assert take(store, clock) == []
    add(store, "a.test")
    assert changes(take(store, clock)) == [("a.test", None, QUEUED, 1)]


def test_message_keeps_its_id_until_the_domain_changes_again(store: Store, clock: Clock) -> None:
    add(store, "a.test")
    take(store, clock)
    store.record_finding(store.domain("a.test"), finding())
    first, again = take(store, clock), take(store, clock)
    assert again == first
    store.record_finding(store.domain("a.test"), finding(Code.C4_UPLOAD_FAILED))
    other = take(store, clock)
    assert changes(other) == [("a.test", QUEUED, EMERGENCY, 2)]
    assert other[0].message_id != first[0].message_id
    store.settle_transitions(first)
    assert changes(take(store, clock)) == changes(other)


def test_domain_that_changed_back_is_announced_because_a_lost_answer_may_have_announced_the_change(
    store: Store, clock: Clock
) -> None:
    domain = add_well(store, "a.test")
    take(store, clock)
    domain = store.record_finding(domain, finding(Code.C4_UPLOAD_FAILED))
    take(store, clock)
    store.record_finding(domain, None)
    (found,) = take(store, clock)
    assert changes([found]) == [("a.test", WELL, WELL, 2)]
    store.settle_transitions([found])
    assert take(store, clock) == []


def test_expiry_by_time_alone_is_a_change(store: Store, clock: Clock) -> None:
    add_well(store, "a.test")
    take(store, clock)
    clock.move(days=90)
    expired = Standing(Status.EXPIRED, Code.CERT_EXPIRED)
    assert changes(take(store, clock)) == [("a.test", WELL, expired, 1)]


def test_expired_domain_has_the_code_of_what_prevents_its_renewal(store: Store, clock: Clock) -> None:
    domain = add_well(store, "a.test")
    clock.move(days=90)
    take(store, clock)
    store.record_finding(domain, finding())
    expired = Standing(Status.EXPIRED, Code.CNAME_ELSEWHERE)
    assert [each.after for each in take(store, clock)] == [expired]


def test_deleted_domain_is_announced_once_and_is_new_when_added_again(store: Store, clock: Clock) -> None:
    add(store, "a.test")
    take(store, clock)
    store.delete_domain(store.domain("a.test"))
    found = take(store, clock)
    assert changes(found) == [("a.test", QUEUED, None, 1)]
    store.settle_transitions(found)
    assert take(store, clock) == []
    add(store, "a.test")
    assert changes(take(store, clock)) == [("a.test", None, QUEUED, 1)]


def test_those_never_tried_come_first_and_none_twice_at_one_time(store: Store, clock: Clock) -> None:
    take(store, clock)
    add(store, "a.test", "b.test")
    take(store, clock)
    add(store, "c.test")
    assert [each.name for each in take(store, clock, 2)] == ["c.test", "a.test"]
    assert [each.name for each in store.take_transitions(clock(), 2)] == ["b.test"]
    assert store.take_transitions(clock(), 2) == []


def test_domain_that_changes_at_each_tick_does_not_overtake_the_others(store: Store, clock: Clock) -> None:
    add(store, "a.test", "b.test")
    store.note_transitions(clock())
    codes = (Code.CNAME_ELSEWHERE, Code.C4_UPLOAD_FAILED)
    for name in ("a.test", "b.test"):
        store.record_finding(store.domain(name), finding())
    assert [each.name for each in take(store, clock, 1)] == ["a.test"]
    store.record_finding(store.domain("a.test"), finding(codes[1]))
    assert [each.name for each in take(store, clock, 1)] == ["b.test"]


def test_forgotten_transitions_begin_with_another_baseline(store: Store, clock: Clock) -> None:
    add(store, "a.test")
    take(store, clock)
    store.record_finding(store.domain("a.test"), finding())
    assert take(store, clock)
    store.record_webhook_error(clock(), "answered 500")
    store.forget_transitions()
    assert store.webhook_trouble() is None
    assert take(store, clock) == []


def test_trouble_lasts_from_the_first_error_to_the_first_success(store: Store, clock: Clock) -> None:
    add(store, "a.test")
    take(store, clock)
    assert store.webhook_trouble() is None
    store.record_webhook_error(clock(), "answered 500")
    since = clock()
    store.record_finding(store.domain("a.test"), finding())
    take(store, clock)
    store.record_webhook_error(clock(), "answered 503")
    trouble = store.webhook_trouble()
    assert trouble is not None
    assert (trouble.since, trouble.why, trouble.owed) == (since, "answered 503", 1)
    # The clock was ahead.
    store.record_webhook_error(since - timedelta(days=1), "answered 503")
    trouble = store.webhook_trouble()
    assert trouble is not None
    assert trouble.since == since - timedelta(days=1)
    store.record_webhook_error(clock(), "")
    assert store.webhook_trouble() is None
