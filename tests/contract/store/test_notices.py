"""The last notice and the milestones outlive the process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sslctl.rules.model import Mark, Milestone
from sslctl.rules.notice import Notice, NoticeKey, NoticeKind
from sslctl.rules.reasons import Code, Status
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME


def test_store_keeps_the_last_notice_of_each_route_and_kind(backend: Backend) -> None:
    opened = backend.open()
    assert opened.notices() == {}
    notice = Notice(START, frozenset({(NAME, Status.EXPIRED)}), (1, 3), START - timedelta(hours=2), "a, b")
    pair = frozenset({(NAME, Code.DEPARTED)})
    notices = {
        NoticeKey(): notice,
        NoticeKey("", NoticeKind.DIGEST): Notice(START, pair, news=pair),
        NoticeKey("owners=customer"): Notice(START),
    }
    opened.record_notices(notices)
    opened.close()
    again = backend.open()
    assert again.notices() == notices
    again.record_notices({NoticeKey(): Notice(), NoticeKey("owners=customer"): notice})
    assert again.notices() == {NoticeKey("owners=customer"): notice}
    again.close()


def test_store_keeps_the_customers_that_c4_named(store: Store) -> None:
    store.add_domains([NAME, "b.test", "c.test"])
    before = store.domain(NAME)
    store.record_customers({NAME: "acme", "b.test": "acme", "unknown.test": "acme"})
    assert store.customers() == {NAME: "acme", "b.test": "acme"}
    assert store.domain(NAME) == replace(before, c4_customer="acme")
    assert {seen.name: seen.customer for seen in store.seen([NAME, "b.test", "c.test"])} == {
        NAME: "acme",
        "b.test": "acme",
        "c.test": "",
    }


def test_milestone_is_kept_as_of_its_last_time(store: Store, backend: Backend, clock: Clock) -> None:
    assert store.milestones() == {}
    store.record_milestone(Milestone.TICK, "3 due")
    store.record_milestone(Milestone.KEYS_PRUNED, "1 destroyed")
    clock.move(days=1)
    store.record_milestone(Milestone.TICK, "4 due")
    again = backend.open()
    assert again.milestones() == {
        Milestone.TICK: Mark(clock(), "tester (pytest)", "4 due"),
        Milestone.KEYS_PRUNED: Mark(START, "tester (pytest)", "1 destroyed"),
    }
    again.close()
