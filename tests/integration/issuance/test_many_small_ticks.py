"""A resolver that lies to 288 ticks a day about a few domains each is believed about no more than one tick would believe."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sslctl.issuance.suspicions import LookedAt, SuspicionLimit, conclude
from sslctl.rules.model import Source
from sslctl.rules.pass_result import Problem, conclude_dns_check, conclude_pass
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface.domains import Query
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.store_cases import issue, serve

TICKS = 288
LIMIT = SuspicionLimit()


def fill(store: SqliteStore, number: int) -> list[str]:
    """Add `number` domains that are well and served, and return their names."""
    names = [f"d{place:03}.test" for place in range(number)]
    for name in names:
        served = serve(store, issue(store, store.add_domain(name, (), Source.C4)))
        store.record_finding(served, None)
    return names


def tick(store: SqliteStore, clock: Clock, name: str, *, is_due: bool = False) -> bool:
    """Hear a lie about `name` in a tick of its own, also in the pass of one that `is_due`; return whether something was withheld."""
    clock.move(minutes=5)
    domain, lie = store.domain(name), Problem(Code.NXDOMAIN)
    if is_due:
        store.record_result(domain, conclude_pass(domain, lie, clock(), is_due=True, is_dns_good=False))
    else:
        store.record_dns_check(domain, conclude_dns_check(domain, lie, clock()))
    conclusion = conclude(store, RenewalRule(), LIMIT, since=clock(), now=clock(), looked_at=LookedAt(1, 1))
    return bool(conclusion.withheld)


def warned(store: SqliteStore, clock: Clock) -> int:
    return sum(each.caution is not None for each in store.domains(Query(), clock()))


def test_288_ticks_that_hear_a_lie_about_one_domain_each_believe_as_many_as_one_tick(
    store: SqliteStore, clock: Clock
) -> None:
    names = fill(store, TICKS)
    withheld = [tick(store, clock, name) for name in names]
    assert withheld == [False] * LIMIT.most + [True] * (TICKS - LIMIT.most)
    assert warned(store, clock) == LIMIT.most


def test_288_ticks_that_hear_a_lie_about_one_domain_that_is_due_each_believe_as_many_as_one_tick(
    store: SqliteStore, clock: Clock
) -> None:
    names = fill(store, TICKS)
    clock.move(days=84)
    withheld = [tick(store, clock, name, is_due=True) for name in names]
    assert withheld == [False] * LIMIT.most + [True] * (TICKS - LIMIT.most)
    found = [each.finding.code for each in store.domains(Query(), clock()) if each.finding]
    assert found == [Code.NXDOMAIN] * LIMIT.most


def test_finding_that_is_repeated_daily_counts_on_its_first_day_only(
    store: SqliteStore, clock: Clock
) -> None:
    names = fill(store, 8)
    clock.move(days=84)
    for name in names[:4]:
        assert not tick(store, clock, name, is_due=True)
    clock.move(days=1)
    for name in names[:4]:
        domain = store.domain(name)
        assert domain.finding is not None
        store.record_finding(domain, replace(domain.finding, at=clock()))
    for name in names[4:]:
        assert not tick(store, clock, name, is_due=True)


def test_few_domains_that_leave_on_different_days_are_believed(store: SqliteStore, clock: Clock) -> None:
    names = fill(store, 12)
    for start in range(0, 12, 4):
        assert [tick(store, clock, name) for name in names[start : start + 4]] == [False] * 4
        clock.move(days=1)
    assert warned(store, clock) == len(names)
    assert timedelta(days=3) < clock() - Clock()() < timedelta(days=4)
