"""New domains are looked at often until they point at the CDN, in real ticks every 5 minutes: C4 over HTTPS, a real DNS server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sslctl.sandbox.c4.faults import Fault
from tests.support.cdn import SUFFIX, Cdn
from tests.support.dns_zone import Trouble

NAME = "shop.example.com"


def tick(cdn: Cdn, *, exit_code: int | None = 0, **moved: float) -> Any:
    """Run a tick after a while; it ends with `exit_code`, if one is given."""
    cdn.clock.move(**moved)
    result = cdn.sslctl("daemon-tick", "--json")
    assert exit_code in (result.exit_code, None), result
    return result.json


def view(cdn: Cdn, name: str = NAME) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def reason(cdn: Cdn, name: str = NAME) -> Any:
    return view(cdn, name)["reason"]["code"]


def events(cdn: Cdn, name: str = NAME) -> list[str]:
    return [event["kind"] for event in cdn.sslctl("view", name, "--json").json["domain"]["events"]]


def asked_c4(cdn: Cdn, name: str = NAME) -> int:
    return sum(request.path.startswith(f"/v1/domains/{name}") for request in cdn.c4.requests)


def asked_dns(cdn: Cdn, name: str = NAME) -> int:
    return sum(asked == name for asked, _ in cdn.zone.queries)


@pytest.fixture
def failing(cdn: Cdn) -> Cdn:
    """A CDN with a domain that was just added and points elsewhere; at 00:01 in Singapore, so that no recheck is near."""
    cdn.clock.at = cdn.clock.at.replace(hour=16, minute=1)
    cdn.add_domain(NAME, points_at="elsewhere.test")
    assert cdn.sslctl("add", NAME).exit_code == 4
    return cdn


def test_tick_orders_within_5_minutes_after_the_cname_was_set(failing: Cdn) -> None:
    assert tick(failing, minutes=5)["domains"] == []
    failing.point(NAME, f"{NAME}.{SUFFIX}")
    assert [each["status"] for each in tick(failing, minutes=5)["domains"]] == ["Success"]
    assert failing.uploads(NAME) == [200]


def test_looks_are_every_5_minutes_then_hourly_then_only_daily_and_ask_c4_and_ca_nothing(
    failing: Cdn,
) -> None:
    """15 days of ticks every 5 minutes would last long; each tick here stands for the ones around a bound."""
    began, asked = failing.clock(), asked_c4(failing)

    def looks(*minutes: int) -> list[int]:
        """Run a tick at each of `minutes` after the start; return those at which DNS was asked."""
        found = []
        for minute in minutes:
            failing.clock.at = began + timedelta(minutes=minute)
            before = asked_dns(failing)
            tick(failing, exit_code=None)
            found += [minute] if asked_dns(failing) > before else []
        return found

    assert looks(*range(5, 185, 5)) == [*range(5, 60, 5), 110, 165]
    assert (asked_c4(failing), len(failing.issuer.orders)) == (asked, 0)
    day = 24 * 60
    # The first tick of a day makes up for the recheck of its midnight, which counts as a look.
    assert looks(6 * day, 6 * day + 50, 6 * day + 55, 7 * day - 5) == [6 * day, 6 * day + 55, 7 * day - 5]
    assert looks(7 * day, 7 * day + 60, 7 * day + 300, 8 * day) == [7 * day, 8 * day]
    assert (failing.uploads(NAME), len(failing.issuer.orders)) == ([], 0)


def test_look_that_finds_another_fault_updates_the_finding_and_moves_no_recheck(failing: Cdn) -> None:
    before, asked = view(failing), asked_c4(failing)
    failing.clear_dns(NAME)
    assert tick(failing, minutes=5)["domains"] == []
    after = view(failing)
    assert (after["reason"]["code"], after["status"]) == ("NXDOMAIN", "Failure")
    assert after["reason"]["retry_at"] == before["reason"]["retry_at"]
    failing.zone.add(NAME, "A", "198.51.100.7")
    tick(failing, minutes=5)
    assert reason(failing) == "CNAME_MISSING"
    assert "198.51.100.7" in view(failing)["reason"]["sentence"]
    known = events(failing)
    failing.clear_dns(NAME).add(NAME, "A", "198.51.100.8")
    tick(failing, minutes=5)
    assert "198.51.100.8" in view(failing)["reason"]["sentence"]
    assert (events(failing), asked_c4(failing)) == (known, asked)


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.SILENCE], ids=str)
def test_look_without_an_answer_changes_nothing(
    failing: Cdn, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_DNS_TIMEOUT_SECONDS", "0.3")
    before, known = view(failing), events(failing)
    failing.zone.spoil(NAME, trouble)
    asked = asked_dns(failing)
    assert tick(failing, minutes=5)["domains"] == []
    assert asked_dns(failing) > asked
    assert (view(failing), events(failing)) == (before, known)
    failing.zone.mend(NAME)
    failing.point(NAME, f"{NAME}.{SUFFIX}")
    tick(failing, minutes=5)
    assert view(failing)["status"] == "Success"


def test_pass_follows_when_the_fault_is_one_that_a_look_cannot_judge(failing: Cdn) -> None:
    failing.clear_dns(NAME).add(NAME, "CNAME", f"{NAME}.{SUFFIX}")
    failing.clear_dns(f"{NAME}.{SUFFIX}")
    assert len(tick(failing, exit_code=5, minutes=5)["domains"]) == 1
    assert reason(failing) == "TARGET_MISSING"


def test_target_of_c4_outside_the_suffixes_is_recognised_without_asking_c4(cdn: Cdn) -> None:
    cdn.c4.create_domain(NAME, cname_target="shop.other-cdn.test", ports=(80, 443))
    cdn.zone.add("shop.other-cdn.test", "A", "192.0.2.9")
    cdn.zone.add(NAME, "A", "198.51.100.7")
    assert cdn.sslctl("add", NAME).exit_code == 4
    cdn.clear_dns(NAME).add(NAME, "CNAME", "shop.other-cdn.test")
    tick(cdn, minutes=5)
    assert view(cdn)["status"] == "Success"


def test_other_name_of_the_certificate_is_looked_at_too(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    other = f"www.{NAME}"
    cdn.zone.add(other, "A", "198.51.100.7")
    assert cdn.sslctl("add", NAME, "--san", other).exit_code == 4
    tick(cdn, minutes=5)
    assert reason(cdn) == "CNAME_MISSING"
    cdn.clear_dns(other)
    cdn.point(other, f"{NAME}.{SUFFIX}")
    tick(cdn, minutes=5)
    assert view(cdn)["status"] == "Success"


def test_domain_that_points_during_a_maintenance_pause_waits_for_its_end(failing: Cdn) -> None:
    until = (failing.clock() + timedelta(hours=2)).isoformat()
    assert failing.sslctl("pause", "--until", until, "--reason", "work on C4").exit_code == 0
    failing.point(NAME, f"{NAME}.{SUFFIX}")
    tick(failing, exit_code=5, minutes=5)
    assert (reason(failing), len(failing.issuer.orders)) == ("MAINTENANCE", 0)
    tick(failing, hours=2)
    assert (view(failing)["status"], failing.uploads(NAME)) == ("Success", [200])


def test_c4_that_is_down_is_not_asked_at_each_look(failing: Cdn) -> None:
    failing.point(NAME, f"{NAME}.{SUFFIX}")
    failing.c4.set_faults(Fault(status=503, retry_after=3600))
    tick(failing, exit_code=5, minutes=5)
    asked = asked_c4(failing)
    for _ in range(11):
        tick(failing, minutes=5)
    assert (asked_c4(failing), reason(failing)) == (asked, "CNAME_ELSEWHERE")
    failing.c4.set_faults()
    tick(failing, minutes=10)
    assert view(failing)["status"] == "Success"
