"""`sslctl pause` and `sslctl resume`: what they accept, refuse, print and record, and which commands show the pause."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sslctl.rules.limits import LimitKind, Scope
from tests.support import words
from tests.support.cdn import Cdn
from tests.support.fakes import START

NAME, OTHER = "shop.example.com", "www.example.org"
# Noon in Singapore, plus two hours.
SHOWN = "until 2026-11-23 14:00 SGT (2026-11-23 06:00 UTC), because: C4 is upgraded"


def pause(cdn: Cdn, until: str = "2h", reason: str = "C4 is upgraded", *options: str) -> Any:
    return cdn.sslctl("pause", "--until", until, "--reason", reason, *options)


def pause_of(cdn: Cdn) -> Any:
    return cdn.sslctl("list", "--json").json["maintenance"]


def served(cdn: Cdn, *names: str) -> None:
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0


def events(cdn: Cdn) -> list[tuple[str | None, str, str]]:
    found = cdn.sslctl("audit", "list", "--json").json["events"]
    return [(event["domain"], event["kind"], event["detail"]) for event in found]


@pytest.mark.parametrize(
    ("until", "stored"),
    [
        ("2h", "2026-11-23T06:00:00Z"),
        ("30m", "2026-11-23T04:30:00Z"),
        ("2d", "2026-11-25T04:00:00Z"),
        ("tomorrow 06:00", "2026-11-23T22:00:00Z"),
        ("Tomorrow", "2026-11-23T16:00:00Z"),
        ("today 23:30", "2026-11-23T15:30:00Z"),
        ("2026-11-24", "2026-11-23T16:00:00Z"),
        ("2026-11-24 06:00", "2026-11-23T22:00:00Z"),
        ("2026-11-24T06:00:00Z", "2026-11-24T06:00:00Z"),
        ("2026-11-24T06:00:00-05:00", "2026-11-24T11:00:00Z"),
    ],
)
def test_end_is_a_duration_or_a_time_in_singapore_unless_it_has_a_zone(
    cdn: Cdn, until: str, stored: str
) -> None:
    assert pause(cdn, until).exit_code == 0
    assert pause_of(cdn)["until"] == stored


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("soon", "is not a time; write 2h,"),
        ("", "is not a time"),
        ("06:00", "is not a time"),
        ("tomorrow morning", "is not a time"),
        ("2h 30m", "is not a time"),
        ("2y", "is not a duration"),
        ("9999d", "the longest is 30 days"),
        ("2031-11-23", "the longest is 30 days"),
        ("9999-01-01", "is not a time"),
        ("0m", "which is over"),
        ("today 11:59", "which is over"),
        ("2026-11-23T04:00:00Z", "which is over"),
        ("2025-11-24 06:00", "which is over"),
    ],
)
def test_end_that_is_none_or_past_or_too_far_is_refused(cdn: Cdn, until: str, message: str) -> None:
    result = pause(cdn, until, "C4", "--force")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert (pause_of(cdn), events(cdn)) == (None, [])


@pytest.mark.parametrize("reason", ["", "  ", "\n\t", "\x1b[31m", "\u202e\u200b"])
def test_reason_without_visible_text_is_refused(cdn: Cdn, reason: str) -> None:
    result = pause(cdn, "2h", reason)
    assert (result.exit_code, pause_of(cdn)) == (2, None)
    assert "the reason is empty" in result.stderr


def test_hostile_reason_is_cleaned_and_cut(cdn: Cdn) -> None:
    hostile = "C4\x1b[31m is\r\nSet by root\u202e {found} %s @everyone " + "x" * 10_000
    assert pause(cdn, "2h", hostile).exit_code == 0
    reason = pause_of(cdn)["reason"]
    assert reason.startswith("C4 is Set by root {found} %s @everyone xxx")
    assert (len(reason), reason[-1]) == (200, "…")
    cdn.add_domain(NAME)
    assert "{found} %s" in " ".join(cdn.sslctl("add", NAME).stdout.split())
    for command in ("list", "pauses", "doctor", "daemon-tick"):
        result = cdn.sslctl(command)
        assert not {"\x1b[31m", "\r", "\u202e"} & set(result.stdout + result.stderr)


def test_pause_needs_an_end_and_a_reason(cdn: Cdn) -> None:
    assert cdn.sslctl("pause", "--until", "2h").exit_code == 2
    assert cdn.sslctl("pause", "--reason", "C4").exit_code == 2


def test_pause_shows_both_time_zones_and_how_to_end_it(cdn: Cdn) -> None:
    result = pause(cdn)
    assert result.stdout == f"Orders and uploads are paused {SHOWN}\n`sslctl resume` ends the pause.\n"


def test_second_pause_replaces_the_first_and_shows_it(cdn: Cdn) -> None:
    pause(cdn)
    result = pause(cdn, "1h", "the CDN")
    assert result.exit_code == 0
    assert f"This replaces the pause {SHOWN}" in result.stdout
    assert (pause_of(cdn)["reason"], pause_of(cdn)["until"]) == ("the CDN", "2026-11-23T05:00:00Z")
    assert pause(cdn, "3h", "C4", "--json").json["replaced"]["reason"] == "the CDN"


def test_resume_ends_the_pause_and_shows_it(cdn: Cdn) -> None:
    pause(cdn)
    result = cdn.sslctl("resume")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, f"Ended the pause {SHOWN}")
    assert pause_of(cdn) is None
    pause(cdn)
    assert cdn.sslctl("resume", "--json").json["maintenance"]["reason"] == "C4 is upgraded"


def test_resume_without_a_pause_says_so(cdn: Cdn) -> None:
    result = cdn.sslctl("resume")
    assert (result.exit_code, result.stdout) == (0, "There is no maintenance pause, so nothing was ended.\n")
    assert cdn.sslctl("resume", "--json").json == {"schema_version": 1, "maintenance": None}
    pause(cdn)
    cdn.clock.move(hours=2)
    assert "There is no maintenance pause" in cdn.sslctl("resume").stdout


def test_audit_trail_has_who_paused_and_resumed_and_why(cdn: Cdn) -> None:
    pause(cdn)
    cdn.sslctl("resume")
    assert events(cdn) == [
        (None, "paused", "until 2026-11-23T06:00:00Z: C4 is upgraded"),
        (None, "resumed", "before the end of the pause until 2026-11-23T06:00:00Z: C4 is upgraded"),
    ]
    shown = cdn.sslctl("audit", "list").stdout
    assert "paused" in shown
    assert "root" in shown
    assert cdn.sslctl("audit", "verify").exit_code == 0


# What would expire


def test_pause_that_lets_certificates_expire_is_refused_with_which_when_and_how_many(cdn: Cdn) -> None:
    served(cdn, NAME, OTHER)
    expiry = START + timedelta(days=90)
    cdn.clock.at = expiry - timedelta(days=10)
    result = pause(cdn, "9d")
    assert result.exit_code == 0, "a day is left for the renewals"
    result = pause(cdn, "10d")
    assert result.exit_code == 2
    assert (
        f"2 certificates expire, the first that of {NAME}, 2027-02-21 12:00 SGT (2027-02-21 04:00 UTC)"
        in (result.stderr)
    )
    assert OTHER in result.stderr
    assert "a pause until 2027-02-20 12:00 SGT (2027-02-20 04:00 UTC) at the latest lets none expire" in (
        result.stderr
    )
    assert "--force" in result.stderr
    assert pause_of(cdn)["until"] == "2027-02-20T04:00:00Z", "the pause before stays"
    assert [kind for _, kind, _ in events(cdn)].count("paused") == 1


def test_forced_pause_shows_and_records_what_will_expire(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.clock.move(days=80)
    result = pause(cdn, "10d", "C4", "--force")
    assert result.exit_code == 0
    expiring = f"the certificate of {NAME} expires 2027-02-21 12:00 SGT (2027-02-21 04:00 UTC)"
    assert f"before they can be renewed, {expiring}" in result.stderr
    detail = f"until 2027-02-21T04:00:00Z: C4; accepted with --force: {expiring}"
    assert events(cdn)[-1] == (None, "paused", detail)
    found = pause(cdn, "10d", "C4", "--force", "--json").json
    assert found["expiring"] == [{"domain": NAME, "expires_at": "2027-02-21T04:00:00Z"}]


def test_certificate_that_is_nearly_over_is_to_be_renewed_first(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.clock.move(days=89, hours=12)
    result = pause(cdn)
    assert result.exit_code == 2
    assert "let the next tick renew them first" in result.stderr


def test_certificate_that_sslctl_does_not_renew_prevents_no_pause(cdn: Cdn) -> None:
    """A text certificate, one that has expired, and one of a customer who has left."""
    for name in (NAME, OTHER, "left.example.net"):
        cdn.add_domain(name)
    pair = cdn.text_pair(NAME, days=2)
    assert cdn.sslctl("add", NAME, *cdn.paste(pair)).exit_code == 0
    assert cdn.sslctl("add", OTHER).exit_code == 0
    cdn.clock.move(days=1)
    assert cdn.sslctl("add", "left.example.net").exit_code == 0
    cdn.clear_dns("left.example.net")
    cdn.point("left.example.net", "elsewhere.test")
    cdn.clock.move(days=89)
    assert cdn.sslctl("recheck", "left.example.net").exit_code == 4
    assert pause(cdn, "2d").exit_code == 0


# Where it is shown


def test_list_view_pauses_and_dry_run_show_the_pause(cdn: Cdn) -> None:
    served(cdn, NAME)
    pause(cdn)
    for command in (("list",), ("view", NAME)):
        assert f"sslctl: Orders and uploads are paused {SHOWN}. Set by " in cdn.sslctl(*command).stderr
    assert f"Orders and uploads are paused {SHOWN}" in cdn.sslctl("daemon-tick", "--dry-run").stdout
    for command in (("list",), ("view", NAME), ("pauses",), ("daemon-tick", "--dry-run")):
        maintenance = cdn.sslctl(*command, "--json").json["maintenance"]
        assert maintenance["since"] == "2026-11-23T04:00:00Z"
        assert maintenance["until"] == "2026-11-23T06:00:00Z"
        assert maintenance["reason"] == "C4 is upgraded"
        assert maintenance["actor"].endswith("(script)")


def test_quiet_tick_shows_the_pause(cdn: Cdn) -> None:
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""
    pause(cdn)
    result = cdn.sslctl("daemon-tick", "-q")
    assert (result.exit_code, SHOWN in result.stdout) == (0, True)


def test_doctor_warns_of_the_pause(cdn: Cdn) -> None:
    def grade() -> tuple[str, str]:
        checks = json.loads(cdn.sslctl("doctor", "--json").stdout)["checks"]
        return next((one["grade"], one["detail"]) for one in checks if one["check"] == "maintenance pause")

    assert grade() == ("ok", "none")
    pause(cdn)
    assert grade()[0] == "warn"
    assert SHOWN in grade()[1]


def test_pauses_lists_the_maintenance_pause_first_and_lifts_only_pauses_of_the_ca(cdn: Cdn) -> None:
    app = cdn.app()
    app.store.pause(Scope(LimitKind.ACCOUNT), START + timedelta(hours=5), "the CA asked")
    app.close()
    pause(cdn)
    rows = cdn.sslctl("pauses").stdout.splitlines()
    assert [row.split()[0] for row in rows[-2:]] == ["maintenance", "account"]
    result = cdn.sslctl("pauses", "lift", "maintenance")
    assert result.exit_code == 9
    assert "`sslctl resume` ends it" in result.stderr
    result = cdn.sslctl("pauses", "lift", "all")
    assert result.exit_code == 0
    assert "The next tick sends what was held back" not in result.stdout
    assert "Orders and uploads are paused" in result.stderr
    assert pause_of(cdn) is not None
    assert cdn.sslctl("resume").exit_code == 0
    assert "There are no pauses" in cdn.sslctl("pauses").stdout


@pytest.mark.parametrize("command", [["recheck", NAME, "--force-renew"], ["add", NAME, "--new"]], ids=words)
def test_renewal_that_a_person_asks_for_is_refused_in_a_pause(cdn: Cdn, command: list[str]) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    assert cdn.sslctl("pause", "--until", "2h", "--reason", "maintenance of C4").exit_code == 0
    result = cdn.sslctl(*command)
    assert result.exit_code == 75
    assert "nothing was ordered" in result.stderr
    assert cdn.sslctl("list", "--json").json["domains"][0]["status"] == "Success"
