"""`sslctl daemon-tick`, run by cron every hour: when work is due, that it is done once, and what is printed."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sslctl.cli.main import run
from sslctl.issuer import IssueError, RenewalWindow
from sslctl.rules.claim_names import TICK, domain_claim
from sslctl.rules.model import Domain, RenewalInfo
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import SUFFIX, Cdn

NAME = "shop.example.com"
MIDNIGHT = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)  # 00:00 of the 24th in Singapore


def due(cdn: Cdn, *options: str) -> list[str]:
    """Run a tick and return the names of the domains that were due."""
    result = cdn.sslctl("daemon-tick", "--json", *options)
    assert result.stderr == ""
    return [domain["domain"] for domain in result.json["domains"]]


@pytest.fixture
def failing(cdn: Cdn) -> Cdn:
    """A domain that points elsewhere, added at noon in Singapore."""
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    assert cdn.sslctl("add", NAME).exit_code == 4
    return cdn


def test_tick_rechecks_once_a_day_from_midnight_in_singapore(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT - timedelta(minutes=1)
    assert due(failing) == []
    failing.clock.at = MIDNIGHT
    assert due(failing) == [NAME]
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(hours=23, minutes=59)
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(days=1)
    assert due(failing) == [NAME]


def test_tick_makes_up_for_a_missed_midnight(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT + timedelta(days=3, hours=9, minutes=17)
    assert due(failing) == [NAME]
    assert due(failing) == []
    failing.clock.at = MIDNIGHT + timedelta(days=4)
    assert due(failing) == [NAME]


def test_tick_force_rechecks_again_on_the_same_day(failing: Cdn) -> None:
    assert due(failing) == []
    assert due(failing, "--force") == [NAME]
    assert due(failing) == []


@pytest.mark.parametrize("code", [Code.CA_UNAVAILABLE, Code.CHALLENGE_FAILED], ids=str)
def test_tick_retries_a_temporary_failure_with_backoff_and_then_daily(cdn: Cdn, code: Code) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals += [IssueError(code, "503", order_dead=True) for _ in range(6)]
    cdn.sslctl("add", NAME)
    for minutes in (1, 10, 100):
        cdn.clock.move(minutes=minutes, seconds=-1)
        assert due(cdn) == []
        cdn.clock.move(seconds=1)
        assert due(cdn) == [NAME]
    cdn.clock.at = MIDNIGHT - timedelta(seconds=1)
    assert due(cdn) == []
    for days in (0, 1):
        cdn.clock.at = MIDNIGHT + timedelta(days=days)
        assert due(cdn) == [NAME]
        assert due(cdn) == []


def test_tick_restarts_the_backoff_after_a_different_finding(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals += [IssueError(Code.CA_UNAVAILABLE, "503", order_dead=True) for _ in range(3)]
    cdn.sslctl("add", NAME)
    cdn.sslctl("recheck", NAME)
    cdn.point(NAME, "elsewhere.test")
    cdn.sslctl("recheck", NAME)
    cdn.clear_dns(NAME)
    cdn.point(NAME, f"{NAME}.{SUFFIX}")
    cdn.sslctl("recheck", NAME)
    cdn.clock.move(minutes=1)
    assert due(cdn) == [NAME]


def test_tick_renews_a_certificate_seven_days_before_expiry(cdn: Cdn) -> None:
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


def test_tick_renews_a_160_hour_certificate_at_half_its_lifetime(cdn: Cdn) -> None:
    cdn.issuer.lifetime = timedelta(hours=160)
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    for hours in (1, 78):
        cdn.clock.move(hours=hours)
        assert due(cdn) == []
    cdn.clock.move(hours=1)
    assert due(cdn) == [NAME]
    assert due(cdn) == []


def test_tick_renews_an_expired_certificate(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=100)
    assert due(cdn) == [NAME]
    assert cdn.sslctl("list", "--json").json["domains"][0]["status"] == "Success"


def test_tick_retries_the_upload_of_an_emergency_every_time_and_places_no_order(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
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


def test_tick_never_retries_a_discarded_domain(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=3)
    assert due(cdn) == []
    assert due(cdn, "--force") == []


def test_tick_prints_one_line_without_problems_and_nothing_with_quiet(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    result = cdn.sslctl("daemon-tick")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "2026-11-23 12:00 SGT: 1 of 1 due domains is well; 1 managed: 1 Success\n"
    assert cdn.sslctl("daemon-tick").stdout == ("2026-11-23 12:00 SGT: nothing due; 1 managed: 1 Success\n")
    cdn.clock.move(days=84)
    quiet = cdn.sslctl("daemon-tick", "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert len(cdn.issuer.orders) == 2


def test_tick_quiet_prints_new_failures(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    result = failing.sslctl("daemon-tick", "-q")
    assert result.exit_code == 5
    summary, first, second = result.stdout.splitlines()
    assert (
        summary
        == "2026-11-24 00:00 SGT: 0 of 1 due domains are well; 1 needs a person: sslctl todo; 1 managed: 1 Failure"
    )
    assert first.startswith(f"{NAME}: Failure CNAME_ELSEWHERE: ")
    assert second.startswith("  next (customer): ")
    # Nothing was due, so there is nothing new to say about it.
    assert failing.sslctl("daemon-tick", "-q").stdout == ""


def test_tick_prints_many_failures_in_groups_with_the_most_urgent_domains(cdn: Cdn) -> None:
    gone = [f"gone{number:02}.example.com" for number in range(30)]
    moved = [f"moved{number:02}.example.com" for number in range(12)]
    for name in moved:
        cdn.add_domain(name)
        cdn.clear_dns(name)
        cdn.point(name, "elsewhere.example.org")
    cdn.sslctl("add", "--no-wait", *gone, *moved)
    result = cdn.sslctl("daemon-tick", "-q")
    assert result.exit_code == 5
    summary, *lines = result.stdout.splitlines()
    assert (
        summary
        == "2026-11-23 12:00 SGT: 0 of 42 due domains are well; 42 need a person: sslctl todo; 42 managed: 12 Failure, 30 Discard"
    )
    for group, status, names in (
        (lines[:4], "Discard C4_UNKNOWN_DOMAIN", gone),
        (lines[4:], "Failure CNAME_ELSEWHERE", moved),
    ):
        assert group[0] == f"{status}: {len(names)} domains"
        assert group[1].startswith(f"  {names[0]}: ")
        assert group[2].startswith("  next (")
        listed = f"sslctl list --reason {status.partition(' ')[2]} --sort urgency"
        assert group[3] == f"  {', '.join(names[:10])} and {len(names) - 10} more: {listed}"


def test_tick_prints_many_domains_that_were_not_confirmed_as_one_group(cdn: Cdn) -> None:
    names = [f"d{number:02}.example.com" for number in range(12)]
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0
    cdn.clock.move(days=84)
    cdn.c4.set_faults(Fault(status=503))
    result = cdn.sslctl("daemon-tick", "-q")
    assert result.exit_code == 5
    assert "Success, not confirmed, C4_UNANSWERED: 12 domains" in result.stdout.splitlines()
    assert len(result.stdout.splitlines()) < 10


def test_tick_json_counts_managed_domains_by_status(failing: Cdn) -> None:
    answer: dict[str, Any] = failing.sslctl("daemon-tick", "--json").json
    assert (answer["schema_version"], answer["at"], answer["domains"]) == (1, "2026-11-23T04:00:00Z", [])
    assert answer["managed"] == {
        "Discard": 0, "Emergency": 0, "Expired": 0, "Failure": 1, "Pending": 0, "Success": 0,
    }  # fmt: skip


def test_tick_dry_run_lists_work_and_reasons_and_changes_nothing(cdn: Cdn) -> None:
    for name in ("well", "elsewhere", "queued", "held"):
        cdn.add_domain(f"{name}.example.com")
    cdn.point("elsewhere.example.com", "parking.elsewhere.test")
    cdn.sslctl("add", "well.example.com", "elsewhere.example.com")
    cdn.sslctl("add", "queued.example.com", "--no-wait")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    cdn.sslctl("add", "held.example.com")
    before = (len(cdn.c4.requests), len(cdn.zone.queries), len(cdn.issuer.orders))
    assert cdn.sslctl("daemon-tick", "--dry-run").stdout.splitlines() == [
        "held.example.com: upload, because its certificate is issued, and C4 has not confirmed it",
        "queued.example.com: issue, because it is recorded, and no attempt was made yet",
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
def test_tick_dry_run_reads_a_time_without_a_zone_as_singapore_time(cdn: Cdn, now: str, at: str) -> None:
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
def test_tick_rejects_an_invalid_now_with_a_usage_error(cdn: Cdn, options: list[str]) -> None:
    result = cdn.sslctl("daemon-tick", *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_tick_exits_with_75_while_another_tick_has_the_claim(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for a tick of another process
    assert other.claim([TICK], timedelta(hours=1)) == {TICK}
    result = failing.sslctl("daemon-tick")
    assert (result.exit_code, result.stdout) == (75, "")
    assert result.stderr == "sslctl: error: another tick is running: process 1 on elsewhere\n"
    assert failing.sslctl("daemon-tick", "--dry-run").exit_code == 0
    failing.clock.move(hours=1)
    assert failing.sslctl("daemon-tick").exit_code == 5
    other.close()


def test_tick_releases_its_claim_after_an_error(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    good = failing.config_path.read_text()
    failing.config_path.write_text(good.replace("token_file", "# token_file"))
    assert failing.sslctl("daemon-tick").exit_code == 8
    failing.config_path.write_text(good)
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for a tick of another process
    assert other.claim([TICK], timedelta(hours=1)) == {TICK}
    other.close()


def test_tick_skips_a_domain_that_another_process_has_claimed(failing: Cdn) -> None:
    failing.clock.at = MIDNIGHT
    other = failing.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for another sslctl
    other.claim([domain_claim(NAME)], timedelta(hours=1))
    result = failing.sslctl("daemon-tick", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.json["domains"][0]["error"] == "BUSY"
    quiet = failing.sslctl("daemon-tick", "-q")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    other.close()


def test_tick_ignores_a_domain_that_was_deleted_after_planning(failing: Cdn) -> None:
    class Emptied:
        """A store in which an operator deletes the domain after the tick has planned its work."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, method: str) -> Any:
            return getattr(self._store, method)

        def interrupted(self) -> list[Domain]:
            assert failing.sslctl("delete", NAME, "--yes").exit_code == 0
            return []

    failing.clock.at = MIDNIGHT
    app = failing.app()
    emptied: Any = Emptied(app.store)
    app.store = emptied
    output, talk = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(talk):
        assert run(["daemon-tick", "-q"], app) == 0
    assert (output.getvalue(), talk.getvalue()) == ("", "")


def test_tick_replaces_certificates_of_an_incident_and_reports_it_once(cdn: Cdn) -> None:
    names = [f"d{number}.example.com" for number in range(3)]
    for name in names:
        cdn.add_domain(name)
    cdn.sslctl("add", *names)
    old = [cdn.installed(name) for name in names]
    cdn.clock.move(days=10)
    cdn.issuer.suggested = _at(cdn.clock() - timedelta(days=1))
    result = cdn.sslctl("daemon-tick", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "The CA wants 3 certificates replaced early" in result.stdout
    assert "https://ca.test/incident" in result.stdout
    assert all(cdn.installed(name) not in (None, before) for name, before in zip(names, old, strict=True))
    assert len(cdn.issuer.orders) == 6
    assert len(set(filter(None, cdn.issuer.replaced))) == 3
    cdn.issuer.suggested = _at(cdn.clock() + timedelta(days=60))
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""
    assert len(cdn.issuer.orders) == 6


def _at(start: datetime) -> Callable[[str], RenewalWindow | None]:
    suggestion = RenewalWindow(start, start + timedelta(hours=1), "https://ca.test/incident")
    return lambda _id: suggestion


def test_tick_json_contains_the_alert_of_the_ca_once(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.issuer.suggested = _at(cdn.clock() + timedelta(days=2))
    answer = cdn.sslctl("daemon-tick", "--json").json
    assert answer["ca_alerts"] == [
        {
            "domains": 1,
            "start_at": "2026-11-25T04:00:00Z",
            "end_at": "2026-11-25T05:00:00Z",
            "explanation_url": "https://ca.test/incident",
        }
    ]
    assert len(cdn.issuer.orders) == 1
    assert cdn.sslctl("daemon-tick", "--json").json["ca_alerts"] == []
    cdn.clock.move(days=2, hours=1)
    planned = cdn.sslctl("daemon-tick", "--dry-run", "--json").json["planned"]
    assert [(row["domain"], row["work"]) for row in planned] == [(NAME, "replace")]


def test_tick_plans_replacements_before_renewals(cdn: Cdn) -> None:
    for name in ("soon.example.com", "incident.example.com"):
        cdn.add_domain(name)
        cdn.sslctl("add", name)
        cdn.clock.move(days=60)
    cdn.clock.move(days=-40)
    cdn.issuer.suggested = lambda _id: None
    cdn.clock.move(days=3)
    planned = cdn.sslctl("daemon-tick", "--dry-run", "--json").json["planned"]
    assert [row["domain"] for row in planned] == ["soon.example.com"]
    app = cdn.app()
    served = app.store.domain("incident.example.com").serving
    assert served is not None
    start = cdn.clock() - timedelta(hours=2)
    app.store.record_renewal_infos(
        [(served, RenewalInfo(start, start + timedelta(hours=1), start, cdn.clock() + timedelta(hours=6)))]
    )
    planned = cdn.sslctl("daemon-tick", "--dry-run", "--json").json["planned"]
    assert [row["domain"] for row in planned] == ["incident.example.com", "soon.example.com"]


@pytest.mark.parametrize("ari", ["off", "incident"])
def test_tick_ignores_a_regular_ari_window_when_ari_is_off_or_incident(cdn: Cdn, ari: str) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text() + f'[renewal]\nari = "{ari}"\n')
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.issuer.suggested = _at(cdn.clock() + timedelta(days=60))
    assert due(cdn) == []
    cdn.clock.move(days=70)
    assert due(cdn) == []
    assert bool(cdn.issuer.asked) == (ari != "off")


def test_tick_renews_in_the_ari_window_when_ari_is_follow(cdn: Cdn) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text() + '[renewal]\nari = "follow"\n')
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.issuer.suggested = _at(cdn.clock() + timedelta(days=60))
    assert due(cdn) == []
    cdn.clock.move(days=60, hours=1)
    assert due(cdn) == [NAME]
