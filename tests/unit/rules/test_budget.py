"""The rules of the CA's budget, without a store: limits, pauses, positions of waiting domains, and the breaker's backoff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.rules.budget import (
    BREAKERS,
    EVERY_REQUEST,
    FIRST_BREAKER_PAUSE,
    LONGEST_BREAKER_PAUSE,
    LONGEST_PAUSE,
    BudgetHeld,
    BudgetRules,
    Queue,
    limits_on_order,
    longest_wait,
    next_breaker_pause,
    scopes_of_order,
    waits_for,
)
from sslctl.rules.limits import NO_LIMITS, Limit, LimitKind, Limits, Pause, Scope, set_key
from sslctl.rules.model import Domain, Finding
from sslctl.rules.reasons import Code
from tests.unit.rules.builders import NOW, domain

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ORDERS = Scope(LimitKind.ORDERS)


@dataclass
class FakeUsage:
    """A `Usage` out of lists: the times of what counts against each scope, the pauses, the numbers that wait."""

    events: dict[Scope, list[datetime]] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    held: dict[Scope, int] = field(default_factory=dict)
    now: datetime = NOW

    def _inside(self, scope: Scope, limit: Limit) -> list[datetime]:
        inside = [at for at in self.events.get(scope, []) if self.now - limit.window < at <= self.now]
        return sorted(inside, reverse=True)

    def count(self, scope: Scope, limit: Limit) -> int:
        return len(self._inside(scope, limit))

    def event_time(self, scope: Scope, limit: Limit, number: int) -> datetime | None:
        return dict(enumerate(self._inside(scope, limit))).get(number)

    def waiting(self, scope: Scope) -> int:
        return self.held.get(scope, 0)

    def longest_pause(self, scopes: tuple[Scope, ...]) -> Pause | None:
        covering = [pause for pause in self.pauses if pause.scope in scopes]
        return max(covering, key=lambda pause: pause.until, default=None)

    def has_more_urgent(self, domain: Domain, pause: Pause, tries: int) -> bool:  # noqa: ARG002 - as it is called
        return False


@pytest.mark.parametrize(
    ("code", "kind", "longest"),
    [
        (Code.CA_UNAVAILABLE, LimitKind.ACCOUNT, HOUR),
        (Code.CA_UNAVAILABLE, None, HOUR),
        (Code.CA_RATE_LIMITED, LimitKind.ACCOUNT, 24 * HOUR),
        (Code.CA_RATE_LIMITED, LimitKind.ORDERS, 3 * HOUR),
        (Code.CA_RATE_LIMITED, LimitKind.FAILURES, HOUR),
        (Code.CA_RATE_LIMITED, LimitKind.CERTIFICATES, 7 * 24 * HOUR),
        (Code.CA_RATE_LIMITED, LimitKind.DUPLICATES, 7 * 24 * HOUR),
        (Code.CA_RATE_LIMITED, None, 7 * 24 * HOUR),
        (Code.CA_REFUSED, None, 24 * HOUR),
        (Code.CHALLENGE_FAILED, None, 24 * HOUR),
    ],
)
def test_retry_after_is_followed_no_longer_than_it_can_be_right(
    code: Code, kind: LimitKind | None, longest: timedelta
) -> None:
    assert longest_wait(code, None if kind is None else Scope(kind)) == longest


def ago(*minutes: float) -> list[datetime]:
    return [NOW - minute * MINUTE for minute in minutes]


def numbered(number: int, scope: Scope | None = None, retry_at: datetime = NOW) -> Domain:
    """A domain that waits for `scope` until `retry_at`, or for nothing."""
    finding = None if scope is None else Finding(Code.BUDGET_HELD, "full", str(scope), NOW, retry_at)
    return domain(id=number, name=f"{number}.test", finding=finding)


def held(rules: BudgetRules, one: Domain, usage: FakeUsage, *, is_renewal: bool = False) -> BudgetHeld:
    with pytest.raises(BudgetHeld) as caught:
        rules.require(one, one.names, usage, is_renewal=is_renewal)
    return caught.value


def turns(rules: BudgetRules, domains: Iterable[Domain], usage: FakeUsage) -> list[float]:
    return [(held(rules, one, usage).until - NOW) / MINUTE for one in domains]


# Which limits and pauses an order meets


def test_new_order_counts_against_every_limit() -> None:
    limits = Limits(Limit(1, HOUR), Limit(2, HOUR), Limit(3, HOUR), Limit(4, HOUR))
    names = ("a.example.co.uk", "b.example.co.uk", "example.com")
    found = {each.scope: each.limit.count for each in limits_on_order(limits, names, is_renewal=False)}
    assert found == {
        ORDERS: 1,
        Scope(LimitKind.CERTIFICATES, "example.co.uk"): 2,
        Scope(LimitKind.CERTIFICATES, "example.com"): 2,
        Scope(LimitKind.DUPLICATES, set_key(names)): 3,
        **{Scope(LimitKind.FAILURES, name): 4 for name in names},
    }


def test_renewal_counts_against_duplicates_and_failures_only() -> None:
    limits = Limits(Limit(1, HOUR), Limit(2, HOUR), Limit(3, HOUR), Limit(4, HOUR))
    found = [each.scope.kind for each in limits_on_order(limits, ("a.test",), is_renewal=True)]
    assert found == [LimitKind.DUPLICATES, LimitKind.FAILURES]


def test_order_without_limits_counts_against_nothing() -> None:
    assert list(limits_on_order(NO_LIMITS, ("a.test",), is_renewal=False)) == []


def test_pause_of_any_parent_covers_a_new_order_and_no_renewal() -> None:
    parents = {"a.shop.example.co.uk", "shop.example.co.uk", "example.co.uk", "co.uk"}
    covering = scopes_of_order(("a.shop.example.co.uk",), is_renewal=False)
    assert {scope.key for scope in covering if scope.kind is LimitKind.CERTIFICATES} == parents
    assert ORDERS in covering
    renewal = scopes_of_order(("a.shop.example.co.uk",), is_renewal=True)
    assert {scope.kind for scope in renewal} == {
        LimitKind.ACCOUNT, LimitKind.BREAKER, LimitKind.DUPLICATES, LimitKind.FAILURES,
    }  # fmt: skip


@pytest.mark.parametrize("is_renewal", [True, False])
def test_pause_of_every_request_covers_every_order(*, is_renewal: bool) -> None:
    assert set(EVERY_REQUEST) <= set(scopes_of_order(("a.test",), is_renewal=is_renewal))


def test_domain_waits_for_the_scope_of_its_finding_only() -> None:
    waiting = numbered(1, ORDERS)
    assert waits_for(waiting, ORDERS)
    assert not waits_for(waiting, Scope(LimitKind.CERTIFICATES, "1.test"))
    assert not waits_for(numbered(1), ORDERS)
    assert not waits_for(domain(finding=Finding(Code.QUEUED, "", str(ORDERS), NOW, NOW)), ORDERS)


# When an order is held, and until when


def test_order_is_placed_while_the_limit_has_a_free_slot() -> None:
    usage = FakeUsage({ORDERS: ago(1)})
    BudgetRules(Limits(orders=Limit(2, HOUR))).require(numbered(1), ("1.test",), usage, is_renewal=False)


def test_order_is_held_until_the_oldest_one_leaves_the_window() -> None:
    found = held(BudgetRules(Limits(orders=Limit(2, HOUR))), numbered(1), FakeUsage({ORDERS: ago(50, 10)}))
    assert (found.scope, found.found, found.until) == (
        ORDERS,
        "2 of 2 new orders in 1 hour",
        NOW + 10 * MINUTE,
    )


def test_lowered_limit_holds_until_enough_orders_have_left() -> None:
    found = held(BudgetRules(Limits(orders=Limit(1, HOUR))), numbered(1), FakeUsage({ORDERS: ago(50, 10)}))
    assert (found.found, found.until) == ("2 of 1 new orders in 1 hour", NOW + 50 * MINUTE)


def test_limit_that_lasts_longest_is_reported() -> None:
    rules = BudgetRules(Limits(orders=Limit(1, HOUR), certificates=Limit(1, 24 * HOUR)))
    owner = Scope(LimitKind.CERTIFICATES, "1.test")
    found = held(rules, numbered(1), FakeUsage({ORDERS: ago(1), owner: ago(30)}))
    assert (found.scope, found.until) == (owner, NOW + 24 * HOUR - 30 * MINUTE)


def test_pause_is_reported_if_it_lasts_longer_than_the_limit() -> None:
    pause = Pause(Scope(LimitKind.ACCOUNT), NOW + 3 * HOUR, "the CA asked for it")
    found = held(BudgetRules(NO_LIMITS), numbered(1), FakeUsage(pauses=[pause]), is_renewal=True)
    assert (found.scope, found.found, found.until) == (pause.scope, pause.why, pause.until)


@pytest.mark.parametrize(("used", "left"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_orders_left_is_the_limit_less_the_orders_in_the_window(used: int, left: int) -> None:
    usage = FakeUsage({ORDERS: ago(*range(1, used + 1), 61)})
    assert BudgetRules(Limits(orders=Limit(2, HOUR))).orders_left(usage) == left


def test_orders_left_is_none_without_a_limit_and_zero_during_a_pause() -> None:
    assert BudgetRules(NO_LIMITS).orders_left(FakeUsage()) is None
    for scope in (*EVERY_REQUEST, ORDERS):
        assert BudgetRules(NO_LIMITS).orders_left(FakeUsage(pauses=[Pause(scope, NOW + HOUR, "")])) == 0
    other = Pause(Scope(LimitKind.CERTIFICATES, "a.test"), NOW + HOUR, "")
    assert BudgetRules(NO_LIMITS).orders_left(FakeUsage(pauses=[other])) is None


# Positions of waiting domains


def test_each_waiting_domain_gets_the_turn_of_its_position() -> None:
    rules, usage = BudgetRules(Limits(orders=Limit(3, HOUR))), FakeUsage({ORDERS: ago(30, 20, 0)})
    assert turns(rules, map(numbered, range(7)), usage) == [30, 40, 60, 90, 100, 120, 150]
    assert turns(rules, [numbered(1)], usage) == [40], "it keeps its position"


def test_newcomers_come_after_the_domains_that_other_processes_hold() -> None:
    rules = BudgetRules(Limits(orders=Limit(2, HOUR)))
    usage = FakeUsage({ORDERS: ago(10, 0)}, held={ORDERS: 3})
    assert turns(rules, [numbered(1), numbered(2)], usage) == [120, 170]


def test_domain_keeps_the_time_that_it_was_given_while_that_is_to_come() -> None:
    rules = BudgetRules(Limits(orders=Limit(1, HOUR)))
    usage = FakeUsage({ORDERS: ago(10)}, held={ORDERS: 1})
    assert turns(rules, [numbered(1, ORDERS, NOW + 200 * MINUTE)], usage) == [200]
    assert turns(rules, [numbered(2, ORDERS, NOW + 20 * MINUTE)], usage) == [50], "no slot is free before"


def test_overdue_domains_come_before_newcomers() -> None:
    rules = BudgetRules(Limits(orders=Limit(1, HOUR)))
    usage = FakeUsage({ORDERS: ago(0)}, held={ORDERS: 1})
    assert turns(rules, [numbered(1, ORDERS), numbered(2, ORDERS), numbered(3)], usage) == [60, 120, 120]


def test_domain_that_may_go_leaves_its_position_to_the_next() -> None:
    rules, usage = BudgetRules(Limits(orders=Limit(1, HOUR))), FakeUsage({ORDERS: ago(0)})
    assert turns(rules, map(numbered, (1, 2)), usage) == [60, 120]
    rules.require(numbered(1), ("1.test",), usage, is_renewal=True)
    assert turns(rules, [numbered(3)], usage) == [120]


def test_domains_held_by_the_pause_of_a_limit_are_spread_after_its_end() -> None:
    rules = BudgetRules(Limits(orders=Limit(60, HOUR)))
    usage = FakeUsage(pauses=[Pause(ORDERS, NOW + HOUR, "too many new orders")])
    assert turns(rules, map(numbered, range(3)), usage) == [60, 61, 62]


@given(waiting=st.integers(0, 3), numbers=st.lists(st.integers(0, 9), max_size=20))
def test_newcomers_have_consecutive_positions_in_the_order_they_came(
    waiting: int, numbers: list[int]
) -> None:
    queue = Queue(waiting)
    for number in numbers:
        queue.enter(numbered(number), ORDERS)
    came = list(dict.fromkeys(numbers))
    positions = [queue.position(numbered(number), ORDERS) for number in (*came, 99)]
    assert positions == list(range(waiting, waiting + len(came) + 1))


@given(
    count=st.integers(1, 4),
    events=st.lists(st.integers(0, 59), max_size=8),
    waiting=st.integers(1, 12),
)
def test_domains_that_come_at_their_turn_never_exceed_the_limit(
    count: int, events: list[int], waiting: int
) -> None:
    limit, usage = Limit(count, HOUR), FakeUsage({ORDERS: ago(*events)})
    rules, placed = BudgetRules(Limits(orders=limit)), usage.events[ORDERS]
    times = dict[int, datetime]()
    for number in range(waiting):
        try:
            rules.require(numbered(number), (f"{number}.test",), usage, is_renewal=False)
        except BudgetHeld as held:
            times[number] = held.until
        else:
            placed.append(NOW)
    for number, at in sorted(times.items(), key=lambda pair: pair[1]):
        usage.now = at
        rules.require(numbered(number, ORDERS, at), (f"{number}.test",), usage, is_renewal=False)
        placed.append(at)
    new = sorted(placed)[len(events) :]
    for end in new:
        assert sum(end - HOUR < at <= end for at in placed) <= max(count, len(events))


# The circuit breaker


def test_breaker_opens_twice_as_long_each_time_up_to_an_hour() -> None:
    now, last, lengths = NOW, None, list[timedelta]()
    for _ in range(8):
        length = next_breaker_pause(last, now)
        assert length is not None
        lengths.append(length)
        last, now = (now, now + length), now + length
    assert [length / MINUTE for length in lengths] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (lengths[0], lengths[-1]) == (FIRST_BREAKER_PAUSE, LONGEST_BREAKER_PAUSE)


def test_open_breaker_is_not_opened_again() -> None:
    assert next_breaker_pause((NOW, NOW + MINUTE), NOW + MINUTE - timedelta(seconds=1)) is None


def test_pause_stored_while_the_clock_was_ahead_does_not_keep_the_breaker_open() -> None:
    far = NOW + LONGEST_PAUSE + timedelta(seconds=1)
    assert next_breaker_pause((far - MINUTE, far), NOW) == 2 * MINUTE
    assert next_breaker_pause((far - 2 * MINUTE, far - timedelta(seconds=1)), NOW) is None


def test_renewal_information_has_a_breaker_of_its_own() -> None:
    assert BREAKERS == (LimitKind.BREAKER, LimitKind.RENEWAL_INFO)
    assert Scope(LimitKind.RENEWAL_INFO) not in EVERY_REQUEST
