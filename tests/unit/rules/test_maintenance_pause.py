"""What a maintenance pause means for the retries and the findings of a domain."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.maintenance_pause import is_in_force
from sslctl.rules.model import Domain, Finding, MaintenancePause, Source
from sslctl.rules.pass_result import Problem, Step, conclude_pass
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import Work, count_tries, find_due_work, retry_at
from tests.support.fakes import START

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def with_finding(code: Code, tries: int = 1) -> Domain:
    finding = Finding(code, "", "", START, START, tries)
    return Domain(1, "a.test", (), Source.C4, START, finding=finding)


def held(domain: Domain, step: Step) -> Domain | Finding | None:
    result = conclude_pass(
        domain, Problem(Code.MAINTENANCE, "until", step=step), START, is_due=True, is_dns_good=True
    )
    if result.unconfirmed is not None:
        assert result.unconfirmed.code is Code.MAINTENANCE
        assert result.unconfirmed.retry_at == START
    return result.finding


@pytest.mark.parametrize(
    ("after", "lasts"),
    [(-DAY - SECOND, False), (-DAY, True), (0 * DAY, True), (2 * DAY - SECOND, True), (2 * DAY, False)],
)
def test_pause_lasts_from_a_day_before_its_beginning_until_its_end(after: timedelta, *, lasts: bool) -> None:
    pause = MaintenancePause(START, START + 2 * DAY, "C4", "root")
    assert is_in_force(pause, START + after) == lasts


def test_held_domain_is_pending_looked_at_by_each_tick_and_nobody_must_act() -> None:
    reason = REASONS[Code.MAINTENANCE]
    assert (reason.status, reason.owner) == (Status.PENDING, Owner.NOBODY)
    assert retry_at(Code.MAINTENANCE, START, tries=5) == START
    due = find_due_work(with_finding(Code.MAINTENANCE), START, RenewalRule())
    assert due is not None
    assert due.work is Work.ISSUE, "a new domain keeps its lane"


def test_paused_upload_of_a_domain_that_was_served_is_an_emergency() -> None:
    reason = REASONS[Code.UPLOAD_PAUSED]
    assert (reason.status, reason.owner) == (Status.EMERGENCY, Owner.OPERATOR)
    assert retry_at(Code.UPLOAD_PAUSED, START) == START


def test_pause_keeps_the_count_of_tries() -> None:
    before = Finding(Code.CHALLENGE_FAILED, "", "", START, START, 3)
    assert count_tries(before, Code.MAINTENANCE) == 3
    paused = Finding(Code.MAINTENANCE, "", "", START, START, 3)
    assert count_tries(paused, Code.CHALLENGE_FAILED) == 4
    assert count_tries(None, Code.MAINTENANCE) == 0


@pytest.mark.parametrize("code", [Code.CHALLENGE_FAILED, Code.BUDGET_HELD, Code.CA_PAUSED, Code.C4_REJECTED])
def test_held_order_keeps_what_an_earlier_pass_found_there_or_later(code: Code) -> None:
    domain = with_finding(code)
    assert held(domain, Step.CA) == domain.finding


@pytest.mark.parametrize("code", [Code.C4_UPLOAD_FAILED, Code.NOTHING_INSTALLED, Code.C4_MISMATCH])
def test_held_upload_keeps_an_emergency(code: Code) -> None:
    domain = with_finding(code)
    assert held(domain, Step.UPLOAD) == domain.finding


@pytest.mark.parametrize(
    ("code", "step"),
    [
        (Code.QUEUED, Step.CA),
        (Code.CNAME_ELSEWHERE, Step.CA),
        (Code.CA_UNAVAILABLE, Step.CA),
        (Code.CHALLENGE_FAILED, Step.UPLOAD),
        (Code.UPLOAD_PAUSED, Step.UPLOAD),
    ],
)
def test_pause_replaces_what_was_passed_and_what_did_not_answer(code: Code, step: Step) -> None:
    finding = held(with_finding(code), step)
    assert isinstance(finding, Finding)
    assert finding.code is Code.MAINTENANCE
