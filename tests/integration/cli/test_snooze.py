"""`snooze`: what it accepts, refuses, prints and records, and where it is shown."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.support.cdn import Cdn
from tests.support.notifying import fail

ONE, TWO, WELL = "one.example.com", "two.example.com", "well.example.com"
WWW = "www.example.com"


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """Two domains in Failure, and one in Success."""
    for name in (ONE, TWO):
        fail(cdn, name)
    cdn.add_domain(WELL)
    cdn.add_domain(WWW)
    assert cdn.sslctl("add", WELL, "--san", WWW).exit_code == 0
    return cdn


def snoozed(cdn: Cdn) -> dict[str, Any]:
    found = cdn.sslctl("list", "--json").json["domains"]
    return {each["domain"]: each["snoozed_until"] for each in found if each["snoozed_until"]}


def test_snooze_is_recorded_shown_and_ended(fleet: Cdn) -> None:
    result = fleet.sslctl("snooze", ONE, "--until", "2026-12-01")
    line = f"{ONE}: snoozed until 2026-12-01 00:00 SGT (2026-11-30 16:00 UTC)\n"
    assert (result.exit_code, result.stdout) == (0, line)
    assert snoozed(fleet) == {ONE: "2026-11-30T16:00:00Z"}
    assert "Snoozed:       until 2026-12-01 00:00 SGT" in fleet.sslctl("view", ONE).stdout
    rows = csv.DictReader(io.StringIO(fleet.sslctl("list", "--csv").stdout))
    assert [row["snoozed_until"] for row in rows] == ["2026-11-30T16:00:00Z", "", ""]
    result = fleet.sslctl("snooze", ONE, "--clear")
    assert (result.exit_code, result.stdout) == (0, f"{ONE}: not snoozed\n")
    assert snoozed(fleet) == {}
    events = fleet.sslctl("view", ONE, "--json").json["domain"]["events"]
    shown = "until 2026-12-01 00:00 SGT, in Failure CNAME_ELSEWHERE"
    assert [event["detail"] for event in events if event["kind"] == "snoozed"] == [
        shown,
        f"removed; was {shown}",
    ]


@pytest.mark.parametrize(
    ("until", "stored"),
    [
        ("3d", "2026-11-26T04:00:00Z"),
        ("2w", "2026-12-07T04:00:00Z"),
        ("90d", "2027-02-21T04:00:00Z"),
        ("tomorrow", "2026-11-23T16:00:00Z"),
        ("2026-12-01T06:00:00Z", "2026-12-01T06:00:00Z"),
    ],
)
def test_end_is_a_duration_or_a_date(fleet: Cdn, until: str, stored: str) -> None:
    assert fleet.sslctl("snooze", ONE, "--until", until).exit_code == 0
    assert snoozed(fleet) == {ONE: stored}


def test_snooze_ends_by_itself(fleet: Cdn) -> None:
    fleet.sslctl("snooze", ONE, "--until", "3d")
    fleet.clock.move(days=3)
    assert snoozed(fleet) == {}
    assert "not in force: its time is over" in fleet.sslctl("view", ONE).stdout
    fleet.clock.move(days=-3)
    assert list(snoozed(fleet)) == [ONE]


def test_several_domains_and_lists_are_snoozed_and_a_refused_one_stops_no_other(fleet: Cdn) -> None:
    result = fleet.sslctl("snooze", ONE, WELL, TWO, "--until", "3d")
    assert (result.exit_code, list(snoozed(fleet))) == (5, [ONE, TWO])
    assert f"sslctl: error: {WELL} is in Success" in result.stderr
    assert (
        fleet.sslctl("snooze", "--from-file", "-", "--clear", stdin=f"{ONE}\n{TWO}\n{WELL}\n").exit_code == 0
    )
    assert snoozed(fleet) == {}
    result = fleet.sslctl("snooze", "--from-file", "-", "--until", "3d", "--json", stdin=f"{WELL}\n{TWO}\n")
    assert [(each["domain"], each["error"]) for each in result.json["domains"]] == [
        (WELL, "BAD_INPUT"),
        (TWO, None),
    ]
    assert result.exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((ONE,), 2, "give --until DATE or --clear"),
        ((ONE, "--until", "3d", "--clear"), 2, "give --until DATE or --clear"),
        (("--until", "3d"), 2, "name a domain"),
        ((ONE, "--until", "soon"), 2, "is not a time"),
        ((ONE, "--until", "0d"), 2, "which is over"),
        ((ONE, "--until", "2026-11-22"), 2, "which is over"),
        ((ONE, "--until", "91d"), 2, "the longest is 90 days"),
        ((ONE, "--until", "2031-01-01"), 2, "the longest is 90 days"),
        ((ONE, TWO, "--until", "91d"), 2, "the longest is 90 days"),
        ((WELL, "--until", "3d"), 2, "nothing to snooze"),
        (("unknown.example.com", "--until", "3d"), 9, "is not managed here"),
        ((ONE, WWW, "--until", "3d"), 9, f"another name of the certificate of {WELL}"),
    ],
)
def test_snooze_that_cannot_be_set_is_refused_and_changes_nothing(
    fleet: Cdn, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = fleet.sslctl("snooze", *arguments)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (code, True), result.stderr
    assert snoozed(fleet) == {}


def test_domain_in_the_last_days_of_what_it_serves_is_not_snoozed(fleet: Cdn) -> None:
    fleet.clear_dns(WELL)
    fleet.point(WELL, "elsewhere.test")
    fleet.clock.move(days=88)
    fleet.sslctl("recheck", WELL)
    result = fleet.sslctl("snooze", WELL, "--until", "1d")
    assert (result.exit_code, "the last 3 days are never snoozed" in result.stderr) == (2, True)


def test_tick_renews_and_rechecks_a_snoozed_domain(fleet: Cdn) -> None:
    fleet.sslctl("snooze", ONE, "--until", "60d")
    fleet.clear_dns(ONE)
    fleet.point(ONE, f"{ONE}.cdn.test")
    fleet.clock.move(days=1)
    fleet.sslctl("daemon-tick")
    view = fleet.sslctl("view", ONE, "--json").json["domain"]
    assert (view["status"], view["snoozed_until"]) == ("Success", None)
