"""`sslctl daemon-tick`: what cron runs every hour does each thing when it is due, once, and speaks only when it matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cdn import Cdn

from sslctl.issuer import IssueError
from sslctl.reasons import Code
from sslctl.sandbox.faults import Fault, Kind

NAME = "shop.example.com"
MIDNIGHT = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)  # 00:00 of the 24th in Singapore


def due(cdn: Cdn, *options: str) -> list[str]:
    """Run a tick and give what was due."""
    result = cdn.sslctl("daemon-tick", "--json", *options)
    assert result.stderr == ""
    return [domain["domain"] for domain in result.json["domains"]]


@pytest.fixture
def failing(cdn: Cdn) -> Cdn:
    """A domain that points elsewhere, added at noon in Singapore."""
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    assert cdn.sslctl("add", NAME).exit_code == 4
    return cdn


def test_the_recheck_comes_with_midnight_in_singapore_and_once_a_day(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT - timedelta(minutes=1)
    assert due(failing) == []
    failing.clock.at = MIDNIGHT
    assert due(failing) == [NAME]
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(hours=23, minutes=59)
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(days=1)
    assert due(failing) == [NAME]


def test_a_missed_midnight_is_made_up_by_the_next_run(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT + timedelta(days=3, hours=9, minutes=17)
    assert due(failing) == [NAME]
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(days=4)
    assert due(failing) == [NAME]


def test_force_rechecks_again_on_the_same_day(failing: Cdn) -> None:
    assert due(failing) == []
    assert due(failing, "--force") == [NAME]
    assert due(failing) == []


@pytest.mark.parametrize("code", [Code.CA_UNAVAILABLE, Code.CHALLENGE_FAILED], ids=str)
def test_what_could_not_be_asked_is_asked_again_within_the_hour(cdn: Cdn, code: Code) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals.append(IssueError(code, "503"))
    cdn.sslctl("add", NAME)
    cdn.clock.move(hours=1)
    assert due(cdn) == ([NAME] if code is Code.CA_UNAVAILABLE else [])


def test_a_certificate_is_renewed_seven_days_before_it_expires(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    old = cdn.installed(NAME)
    cdn.clock.move(days=83, seconds=-1)
    assert due(cdn) == []
    cdn.clock.move(seconds=1)
    assert due(cdn) == [NAME]
    assert cdn.installed(NAME) not in (None, old)
    assert due(cdn) == []
    assert len(cdn.issuer.orders) == 2


def test_a_six_day_certificate_is_renewed_at_half_its_life(cdn: Cdn) -> None:
    cdn.issuer.lifetime = timedelta(hours=160)
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    for hours in (1, 78):
        cdn.clock.move(hours=hours)
        assert due(cdn) == []
    cdn.clock.move(hours=1)
    assert due(cdn) == [NAME]
    assert due(cdn) == []


def test_an_expired_certificate_is_renewed_as_soon_as_that_works(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=100)
    assert due(cdn) == [NAME]
    assert cdn.sslctl("list", "--json").json["domains"][0]["status"] == "Success"


def test_emergency_uploads_at_every_run_and_orders_nothing(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Kind.UPLOAD, status=500))
    cdn.sslctl("add", NAME)
    for _ in range(2):
        cdn.clock.move(hours=1)
        result = cdn.sslctl("daemon-tick")
        assert result.exit_code == 7
        assert f"{NAME}: Emergency C4_UPLOAD_FAILED" in result.stdout
    cdn.c4.heal()
    assert due(cdn) == [NAME]
    assert cdn.uploads(NAME) == [500, 500, 500, 200]
    assert len(cdn.issuer.orders) == 1
    assert due(cdn) == []


def test_discard_waits_for_a_person(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=3)
    assert due(cdn) == []
    assert due(cdn, "--force") == []


def test_one_line_when_all_is_well_and_none_with_quiet(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    result = cdn.sslctl("daemon-tick")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "2026-11-23 12:00 SGT: 1 due, 1 now well, 0 not; 1 managed: 1 Success\n"
    assert cdn.sslctl("daemon-tick").stdout == ("2026-11-23 12:00 SGT: nothing due; 1 managed: 1 Success\n")
    cdn.clock.move(days=84)
    quiet = cdn.sslctl("daemon-tick", "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert len(cdn.issuer.orders) == 2


def test_quiet_still_tells_of_trouble(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    told = failing.sslctl("daemon-tick", "-q")
    assert told.exit_code == 5
    summary, first, second = told.stdout.splitlines()
    assert summary == "2026-11-24 00:00 SGT: 1 due, 0 now well, 1 not; 1 managed: 1 Failure"
    assert first.startswith(f"{NAME}: Failure CNAME_ELSEWHERE: ")
    assert second.startswith("  next (customer): ")
    # Nothing was due, so there is nothing new to say about it.
    assert failing.sslctl("daemon-tick", "-q").stdout == ""


def test_json_counts_what_is_managed(failing: Cdn) -> None:
    answer: dict[str, Any] = failing.sslctl("daemon-tick", "--json").json
    assert (answer["schema_version"], answer["at"], answer["domains"]) == (1, "2026-11-23T04:00:00Z", [])
    assert answer["managed"] == {
        "Discard": 0, "Emergency": 0, "Expired": 0, "Failure": 1, "Pending": 0, "Success": 0,
    }  # fmt: skip


def test_a_dry_run_says_what_and_why_and_does_nothing(cdn: Cdn) -> None:
    for name in ("well", "elsewhere", "queued", "held"):
        cdn.add_domain(f"{name}.example.com")
    cdn.point("elsewhere.example.com", "parking.elsewhere.test")
    cdn.sslctl("add", "well.example.com", "elsewhere.example.com")
    cdn.sslctl("add", "queued.example.com", "--no-wait")
    cdn.c4.set_faults(Fault(kind=Kind.UPLOAD, status=500))
    cdn.sslctl("add", "held.example.com")
    before = (len(cdn.c4.requests), len(cdn.zone.queries), len(cdn.issuer.orders))
    assert cdn.sslctl("daemon-tick", "--dry-run").stdout.splitlines() == [
        "held.example.com: upload, because its certificate is issued and not yet confirmed on C4",
        "queued.example.com: issue, because it is recorded and has not been tried",
        "2026-11-23 12:00 SGT: 2 due; nothing was done (--dry-run)",
    ]
    later = cdn.sslctl("daemon-tick", "--dry-run", "--now", "2027-02-15", "--json")
    assert later.json["at"] == "2027-02-14T16:00:00Z"
    assert [(row["domain"], row["work"]) for row in later.json["planned"]] == [
        ("held.example.com", "upload"),
        ("well.example.com", "renew"),
        ("queued.example.com", "issue"),
        ("elsewhere.example.com", "recheck"),
    ]
    assert (len(cdn.c4.requests), len(cdn.zone.queries), len(cdn.issuer.orders)) == before


@pytest.mark.parametrize(
    ("now", "at"),
    [
        ("2026-12-01", "2026-11-30T16:00:00Z"),
        ("2026-12-01 00:05", "2026-11-30T16:05:00Z"),
        ("2026-12-01T00:05:00Z", "2026-12-01T00:05:00Z"),
        ("2026-12-01T00:05:00.9+07:00", "2026-11-30T17:05:00Z"),
    ],
)
def test_a_time_without_a_zone_is_singapores(cdn: Cdn, now: str, at: str) -> None:
    assert cdn.sslctl("daemon-tick", "--dry-run", "--json", "--now", now).json["at"] == at


@pytest.mark.parametrize(
    "options",
    [
        ["--now", "2026-12-01"],
        ["--dry-run", "--now", "tomorrow"],
        ["--dry-run", "--now", "0001-01-01"],
        ["--dry-run", "--now", "9999-12-31T23:59:59Z"],
        ["--dry-run", "--now", "2026-02-30"],
    ],
    ids=" ".join,
)
def test_times_that_cannot_be_are_usage_errors(cdn: Cdn, options: list[str]) -> None:
    result = cdn.sslctl("daemon-tick", *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_tick_leaves_the_work_to_one_that_is_running(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for a tick of another process
    assert other.claim(["tick"], timedelta(hours=1)) == {"tick"}
    result = failing.sslctl("daemon-tick")
    assert (result.exit_code, result.stdout) == (75, "")
    assert result.stderr == "sslctl: error: another tick is running\n"
    assert failing.sslctl("daemon-tick", "--dry-run").exit_code == 0
    failing.clock.move(hours=1)
    assert failing.sslctl("daemon-tick").exit_code == 5
    other.close()


def test_the_claim_is_given_up_whatever_happens(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    good = failing.config_path.read_text()
    failing.config_path.write_text(good.replace("token_file", "# token_file"))
    assert failing.sslctl("daemon-tick").exit_code == 8
    failing.config_path.write_text(good)
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for a tick of another process
    assert other.claim(["tick"], timedelta(hours=1)) == {"tick"}
    other.close()


def test_a_domain_that_somebody_else_works_on_is_left_to_them(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for another sslctl
    other.claim([f"domain:{NAME}"], timedelta(hours=1))
    result = failing.sslctl("daemon-tick", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.json["domains"][0]["error"] == "BUSY"
    quiet = failing.sslctl("daemon-tick", "-q")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    other.close()
