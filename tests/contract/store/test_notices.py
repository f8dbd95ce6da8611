"""The last notice and the milestones outlive the process."""

from __future__ import annotations

from datetime import timedelta

from sslctl.rules.model import Mark, Milestone, Notice
from sslctl.rules.reasons import Status
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME


def test_store_keeps_the_last_notice(backend: Backend) -> None:
    opened = backend.open()
    assert opened.last_notice() == Notice()
    notice = Notice(START, frozenset({(NAME, Status.EXPIRED)}), (1, 3), START - timedelta(hours=2), "a, b")
    opened.record_notice(notice)
    opened.close()
    again = backend.open()
    assert again.last_notice() == notice
    again.record_notice(Notice())
    assert again.last_notice() == Notice()
    again.close()


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
