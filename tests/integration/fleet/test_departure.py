"""A domain that left the CDN: its certificate stays until it expires, and its return is noticed."""

from __future__ import annotations

from typing import Any

from tests.support.cdn import SUFFIX, Cdn

NAME = "shop.example.com"


def point(cdn: Cdn, target: str) -> None:
    cdn.clear_dns(NAME)
    cdn.point(NAME, target)


def tick(cdn: Cdn, days: int) -> Any:
    """Run a tick on each of so many days, and return the domain then."""
    for _ in range(days):
        cdn.clock.move(days=1)
        cdn.sslctl("daemon-tick")
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def test_departed_domain_keeps_its_certificate_until_it_expires_and_recovers_at_midnight(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    installed = cdn.installed(NAME)
    point(cdn, "elsewhere.example.org")
    # A person who looks hears of it at once.
    cdn.sslctl("recheck", NAME)
    (warning,) = tick(cdn, 1)["warnings"]
    assert (warning["code"], warning["owner"]) == ("CNAME_ELSEWHERE", "customer")
    domain = tick(cdn, 7)
    (warning,) = domain["warnings"]
    assert (domain["status"], warning["code"]) == ("Success", "DEPARTED")
    assert "`sslctl delete` takes it out. Its certificate stays until it expires." in warning["next_step"]
    assert warning["records"][0]["wanted"] == [f"{NAME}.{SUFFIX}"]
    assert tick(cdn, 77)["status"] == "Failure"
    assert tick(cdn, 6)["status"] == "Expired"
    assert (cdn.installed(NAME), len(cdn.issuer.orders)) == (installed, 1)
    point(cdn, f"{NAME}.{SUFFIX}")
    domain = tick(cdn, 1)
    assert (domain["status"], domain["warnings"], len(cdn.issuer.orders)) == ("Success", [], 2)


def test_return_of_a_departed_domain_is_noticed_within_a_day(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    point(cdn, "elsewhere.example.org")
    assert [each["code"] for each in tick(cdn, 15)["warnings"]] == ["DEPARTED"]
    point(cdn, f"{NAME}.{SUFFIX}")
    assert tick(cdn, 1)["warnings"] == []
