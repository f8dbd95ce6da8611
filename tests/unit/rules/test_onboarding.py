"""When a new domain is looked at, and when a domain is abandoned: exhaustive around each bound."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.model import Domain, Installed, Source, State
from sslctl.rules.onboarding import LOOKED_AT, is_abandoned, is_look_due
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Owner, Status
from tests.unit.rules.builders import NOW, certificate, domain, finding, serving

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FOREIGN = Installed(Source.C4, "ab" * 32, NOW + DAY, State.ACTIVE)


def new(age: timedelta, looked: timedelta, *, code: Code = Code.CNAME_MISSING, **changes: object) -> Domain:
    """Return a domain that was added `age` ago, had its last pass then, and was last looked at `looked` ago."""
    return domain(
        created_at=NOW - age,
        finding=finding_at(age, code),
        dns_checked_at=NOW - looked,
        **changes,
    )


def finding_at(ago: timedelta, code: Code = Code.CNAME_MISSING) -> object:
    known = finding(code)
    return type(known)(code, known.found, known.wanted, NOW - ago, NOW + DAY)


@pytest.mark.parametrize(
    ("age", "looked", "is_due"),
    [
        # The first hour: every 5 minutes, with a minute of slack.
        (10 * MINUTE, 4 * MINUTE - SECOND, False),
        (10 * MINUTE, 4 * MINUTE, True),
        (HOUR - SECOND, 4 * MINUTE, True),
        # From then on: every hour, with 5 minutes of slack.
        (HOUR, 4 * MINUTE, False),
        (HOUR, 55 * MINUTE - SECOND, False),
        (HOUR, 55 * MINUTE, True),
        (HOUR + SECOND, 55 * MINUTE, True),
        (3 * DAY, 55 * MINUTE, True),
        (7 * DAY - SECOND, 55 * MINUTE, True),
        # After a week: only the daily recheck.
        (7 * DAY, 55 * MINUTE, False),
        (7 * DAY + SECOND, 2 * DAY, False),
        (400 * DAY, 30 * DAY, False),
        # The clock was ahead at the last look, by seconds or by years.
        (10 * MINUTE, -SECOND, True),
        (3 * DAY, -HOUR, True),
        (3 * DAY, -900 * DAY, True),
        (7 * DAY, -HOUR, False),
        # The clock was set back since the domain was added, or was ahead then.
        (timedelta(0), 4 * MINUTE, False),
        (-SECOND, 4 * MINUTE, False),
        (-SECOND, -SECOND, False),
        (-900 * DAY, 900 * DAY, False),
    ],
    ids=str,
)
def test_look_is_due_every_5_minutes_for_an_hour_then_hourly_for_a_week(
    age: timedelta, looked: timedelta, *, is_due: bool
) -> None:
    assert is_look_due(new(age, looked), NOW) is is_due


def test_pass_counts_as_a_look() -> None:
    just_passed = domain(created_at=NOW - 2 * HOUR, finding=finding_at(54 * MINUTE))
    assert not is_look_due(just_passed, NOW)
    assert is_look_due(just_passed, NOW + MINUTE)
    looked_before = domain(
        created_at=NOW - 2 * HOUR, finding=finding_at(54 * MINUTE), dns_checked_at=NOW - HOUR
    )
    assert not is_look_due(looked_before, NOW)


@pytest.mark.parametrize("code", [code for code in Code if code in FINDINGS], ids=str)
def test_only_findings_that_the_customer_ends_in_dns_are_looked_at(code: Code) -> None:
    assert is_look_due(new(2 * HOUR, HOUR, code=code), NOW) is (code in LOOKED_AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"finding": None},
        {"source": Source.TEXT},
        {"deleted_at": NOW},
        {"wanted": certificate()},
        {"foreign": FOREIGN},
        serving(),
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_domain_that_has_or_had_a_certificate_or_is_gone_or_well_is_not_looked_at(
    changes: dict[str, object],
) -> None:
    values: dict[str, object] = {"created_at": NOW - 2 * HOUR, "finding": finding_at(HOUR)}
    assert is_look_due(domain(**values), NOW)
    assert not is_look_due(domain(**(values | changes)), NOW)


# Abandoned


@pytest.mark.parametrize(
    ("age", "is_over"),
    [
        (timedelta(0), False),
        (30 * DAY - SECOND, False),
        (30 * DAY, True),
        (30 * DAY + SECOND, True),
        (900 * DAY, True),
        (-30 * DAY, False),
    ],
    ids=str,
)
def test_domain_is_abandoned_30_days_after_it_was_added(age: timedelta, *, is_over: bool) -> None:
    assert is_abandoned(new(age, HOUR), NOW) is is_over


@pytest.mark.parametrize("code", [code for code in Code if code in FINDINGS], ids=str)
def test_only_a_domain_in_failure_because_of_the_customer_is_abandoned(code: Code) -> None:
    reason = REASONS[code]
    expected = (reason.status, reason.owner) == (Status.FAILURE, Owner.CUSTOMER)
    assert is_abandoned(new(31 * DAY, HOUR, code=code), NOW) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"source": Source.TEXT},
        {"deleted_at": NOW},
        {"wanted": certificate()},
        {"wanted": certificate(left=-DAY)},
        {"foreign": FOREIGN},
        serving(),
        {"finding": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_domain_that_ever_had_a_certificate_or_is_not_in_failure_is_not_abandoned(
    changes: dict[str, object],
) -> None:
    assert not is_abandoned(
        domain(**({"created_at": NOW - 31 * DAY, "finding": finding_at(HOUR)} | changes)), NOW
    )
