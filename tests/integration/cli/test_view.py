"""`sslctl view`: current facts, every version, and the history with actors and times."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sslctl.issuer import RenewalWindow
from tests.support.cdn import Cdn

NAME = "shop.example.com"


def test_view_shows_facts_versions_and_history_after_a_renewal(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.add_domain("www.example.com")
    cdn.sslctl("add", NAME, "--san", "www.example.com")
    first = cdn.installed(NAME)
    cdn.clock.move(days=84)
    cdn.sslctl("daemon-tick", "-q")
    shown = cdn.sslctl("view", NAME)
    assert (shown.exit_code, shown.stderr) == (0, "")
    for fact in (
        f"  Domain:        {NAME}\n",
        "  Other names:   www.example.com\n",
        "  Status:        Success\n",
        "  Created:       2026-11-23 12:00 SGT (2026-11-23 04:00 UTC)\n",
        "  Issuer:       CN=Fake CA\n",
        "  Key type:     ECDSA P-256\n",
        f"  SHA-256:      {cdn.installed(NAME)}\n",
        "  Valid until:  2027-05-16 12:00 SGT (2027-05-16 04:00 UTC)\n",
    ):
        assert fact in shown.stdout
    versions = shown.stdout.partition("\nVersions\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split()[:3] for row in versions[1:]] == [["2", "serving", "c4"], ["1", "replaced", "c4"]]
    view = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert [row["fingerprint_sha256"] for row in view["certificates"]] == [cdn.installed(NAME), first]
    assert [row["replaced_at"] for row in view["certificates"]] == [None, "2027-02-15T04:00:00Z"]
    actors = {event["actor"].rpartition(" ")[2] for event in view["events"]}
    assert actors == {"(script)", "(tick)"}


def test_view_shows_the_renewal_window_that_the_ca_suggests(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    assert "CA's window" not in cdn.sslctl("view", NAME).stdout
    assert cdn.sslctl("view", NAME, "--json").json["domain"]["certificates"][0]["renewal_info"] is None
    start = cdn.clock() + timedelta(days=60)
    window = RenewalWindow(start, start + timedelta(seconds=1), "https://ca.test/why")
    cdn.issuer.suggested = lambda _id: window
    cdn.sslctl("daemon-tick")
    with cdn.config_path.open("a") as config:
        config.write('[renewal]\nari = "follow"\n')
    shown = cdn.sslctl("view", NAME).stdout
    assert "  CA's window:  renewal from 2027-01-22 12:00 SGT to 2027-01-22 12:00 SGT\n" in shown
    assert "  Time picked:  2027-01-22 12:00 SGT (2027-01-22 04:00 UTC)\n" in shown
    assert "  CA explains:  https://ca.test/why\n" in shown
    info = cdn.sslctl("view", NAME, "--json").json["domain"]["certificates"][0]["renewal_info"]
    assert info.pop("renew_at") in ("2027-01-22T04:00:00Z", "2027-01-22T04:00:01Z")
    assert info == {
        "start_at": "2027-01-22T04:00:00Z",
        "end_at": "2027-01-22T04:00:01Z",
        "poll_at": "2026-11-23T10:00:00Z",
        "explanation_url": "https://ca.test/why",
    }


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BY_EXPIRY = "2027-02-14 12:00 SGT (2027-02-14 04:00 UTC): 7 days before the expiry"


@pytest.mark.parametrize(
    ("ari", "window", "lifetime", "renewal", "note", "rule"),
    [
        ("incident", None, 90 * DAY, f"due {BY_EXPIRY}", "", "expiry"),
        (
            "incident",
            (60 * DAY, 61 * DAY),
            90 * DAY,
            f"due {BY_EXPIRY}",
            'not followed: renewal.ari is "incident"',
            "expiry",
        ),
        (
            "off",
            (10 * DAY, 11 * DAY),
            90 * DAY,
            f"due {BY_EXPIRY}",
            'not followed: renewal.ari is "off"',
            "expiry",
        ),
        (
            "follow",
            (86 * DAY, 87 * DAY),
            90 * DAY,
            f"due {BY_EXPIRY}",
            "not followed: the renewal is due before",
            "expiry",
        ),
        (
            "follow",
            (60 * DAY, 60 * DAY + timedelta(seconds=1)),
            90 * DAY,
            "due 2027-01-22 12:00 SGT (2027-01-22 04:00 UTC): the CA suggests it; the time picked in its window",
            "",
            "ca_window",
        ),
        (
            "incident",
            (10 * DAY, 10 * DAY + timedelta(seconds=1)),
            90 * DAY,
            "due 2026-12-03 12:00 SGT (2026-12-03 04:00 UTC): the CA asks for an early replacement; the time picked in its window",
            "",
            "ca_incident",
        ),
        (
            "incident",
            (-HOUR, HOUR),
            90 * DAY,
            "due 2026-11-24 12:00 SGT (2026-11-24 04:00 UTC): the CA asks for an early replacement; not before a day after the issuance",
            "",
            "ca_incident",
        ),
        (
            "incident",
            None,
            160 * HOUR,
            "due 2026-11-26 20:00 SGT (2026-11-26 12:00 UTC): half of the lifetime",
            "",
            "half_lifetime",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_view_shows_when_the_renewal_is_due_and_by_which_rule(
    cdn: Cdn,
    ari: str,
    window: tuple[timedelta, timedelta] | None,
    lifetime: timedelta,
    renewal: str,
    note: str,
    rule: str,
) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.lifetime, start = lifetime, cdn.clock()
    cdn.sslctl("add", NAME)
    if window is not None:
        suggestion = RenewalWindow(start + window[0], start + window[1])
        cdn.issuer.suggested = lambda _id: suggestion
        cdn.sslctl("daemon-tick")
    with cdn.config_path.open("a") as config:
        config.write(f'[renewal]\nari = "{ari}"\n')
    shown, view = cdn.sslctl("view", NAME).stdout, cdn.sslctl("view", NAME, "--json").json["domain"]
    assert f"  Renewal:       {renewal}\n" in shown
    assert view["renewal"]["rule"] == rule
    assert note in shown
    assert ("not followed" in shown) == bool(note)
    assert ("Time picked" in shown) == ("the time picked" in renewal)
    # The tick keeps to it.
    cdn.issuer.suggested = None
    cdn.clock.at = datetime.fromisoformat(view["renewal"]["due_at"]) - timedelta(minutes=1)
    cdn.sslctl("daemon-tick")
    assert len(cdn.issuer.orders) == 1
    cdn.clock.move(minutes=1)
    assert f"  Renewal:       due since {renewal.removeprefix('due ')}\n" in cdn.sslctl("view", NAME).stdout
    cdn.sslctl("daemon-tick")
    assert len(cdn.issuer.orders) == 2


def test_view_shows_no_renewal_where_none_is_planned(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    assert "Renewal:" not in cdn.sslctl("view", NAME).stdout
    assert cdn.sslctl("view", NAME, "--json").json["domain"]["renewal"] is None
    cdn.add_domain("text.example.com")
    cdn.sslctl("add", "text.example.com", *cdn.paste(cdn.text_pair("text.example.com")))
    shown = cdn.sslctl("view", "text.example.com").stdout
    assert "  Renewal:       none: sslctl never renews a text certificate\n" in shown
    assert cdn.sslctl("view", "text.example.com", "--json").json["domain"]["renewal"] is None


def test_view_shows_the_reason_the_owner_and_the_next_step_of_a_failure(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    shown = cdn.sslctl("view", NAME).stdout
    assert (
        "  Reason:        CNAME_ELSEWHERE: The CNAME does not point at the CDN: found shop.example.com → parking"
        in shown
    )
    assert "  Who acts:      customer\n" in shown
    assert (
        "  Next step:     The customer must point the CNAME at the CDN.\n  Next try:      2026-11-24 00:00 SGT\n"
        "  DNS looks:     every 5 minutes; an order follows as soon as the domain points at the CDN\n"
        in shown
    )
    assert "\nRecord to set\n  TYPE   NAME              CURRENT                 WANTED" in shown
    assert f"  CNAME  {NAME}  parking.elsewhere.test  {NAME}.cdn.test\n" in shown
    assert "\nCertificate\n" not in shown
    assert "\nVersions\n" not in shown
    cdn.clock.move(hours=1)
    assert "  DNS looks:     every hour;" in cdn.sslctl("view", NAME).stdout
    cdn.clock.move(days=7)
    assert "DNS looks" not in cdn.sslctl("view", NAME).stdout


def test_view_shows_one_event_when_the_same_finding_repeats_daily(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    for _ in range(3):
        cdn.clock.move(days=1)
        cdn.sslctl("daemon-tick")
    view = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert [event["kind"] for event in view["events"]] == ["added", "found"]
    assert view["checked_at"] == "2026-11-26T04:00:00Z"


def test_no_command_prints_escape_sequences_from_outside(cdn: Cdn) -> None:
    cdn.c4.create_domain(NAME, cname_target=f"{NAME}.cdn.test")
    cdn.zone.add(NAME, "CNAME", r"evil\027[2J\007.test")
    assert "CNAME_ELSEWHERE" in cdn.sslctl("add", NAME).stdout
    for command in (["view", NAME], ["list"], ["list", "--csv"], ["view", NAME, "--json"], ["recheck", NAME]):
        output = cdn.sslctl(*command)
        assert "\x1b" not in output.stdout + output.stderr
    result = cdn.sslctl("view", "\x1b]0;owned\x07\x1b[2J<b>\u202e")
    assert result.exit_code == 2
    assert result.stderr.rstrip("\n").isprintable()


def test_view_shows_a_deleted_domain(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=1)
    cdn.sslctl("delete", NAME, "--yes")
    shown = cdn.sslctl("view", NAME)
    assert shown.exit_code == 0
    assert "  Status:        deleted\n" in shown.stdout
    assert "  Deleted:       2026-11-24 12:00 SGT" in shown.stdout
    assert "Next step" not in shown.stdout
    view = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert (view["status"], view["reason"], view["deleted_at"]) == (None, None, "2026-11-24T04:00:00Z")
    assert [row["fate"] for row in view["certificates"]] == ["replaced"]


def test_view_exits_with_9_when_the_domain_is_not_managed(cdn: Cdn) -> None:
    result = cdn.sslctl("view", "nobody.example.com")
    assert (result.exit_code, result.stdout) == (9, "")
    assert result.stderr == (
        "sslctl: error: nobody.example.com is not managed here\n"
        "sslctl: hint: `sslctl list` shows what is; `sslctl add nobody.example.com` takes it in\n"
    )
