"""`sslctl recheck`: the named domains, or all domains of source c4 in Failure, Pending or Expired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support import words
from tests.support.cdn import Cdn
from tests.support.dns_zone import Trouble

NAME = "shop.example.com"


def test_recheck_without_names_takes_only_c4_domains_in_failure_pending_or_expired(cdn: Cdn) -> None:
    for name in ("well", "failing", "queued", "held", "text"):
        cdn.add_domain(f"{name}.example.com")
    cdn.sslctl("add", "well.example.com")
    cdn.sslctl("add", "text.example.com", *cdn.paste(cdn.text_pair("text.example.com", days=1)))
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    cdn.sslctl("add", "held.example.com")
    cdn.c4.heal()
    cdn.point("failing.example.com", "parking.elsewhere.test")
    cdn.sslctl("add", "failing.example.com", "unknown.example.com")
    cdn.sslctl("add", "queued.example.com", "--no-wait")
    cdn.clock.move(days=2)
    cdn.point("failing.example.com", "failing.example.com.cdn.test")
    result = cdn.sslctl("recheck", "--json")
    assert result.exit_code == 0
    assert [(row["domain"], row["status"]) for row in result.json["domains"]] == [
        ("failing.example.com", "Success"),
        ("queued.example.com", "Success"),
    ]
    cdn.clock.move(days=100)
    again = cdn.sslctl("recheck", "--json")
    # The certificate of the domain in Emergency has expired too by now.
    expired = [f"{name}.example.com" for name in ("failing", "held", "queued", "well")]
    assert [row["domain"] for row in again.json["domains"]] == expired
    assert again.exit_code == 0


def test_recheck_exits_with_0_when_there_is_nothing_to_recheck(cdn: Cdn) -> None:
    result = cdn.sslctl("recheck")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("Nothing to recheck")
    assert cdn.sslctl("recheck", "--json").json == {"schema_version": 1, "domains": []}


def test_recheck_of_a_named_domain_checks_it_whatever_its_status(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "unknown.example.com")
    cdn.c4.delete_domain(NAME)
    result = cdn.sslctl("recheck", NAME, "unknown.example.com")
    assert result.exit_code == 5
    assert result.stdout.count("Discard C4_UNKNOWN_DOMAIN") == 1
    assert result.stdout.count("suspected, C4_UNKNOWN_DOMAIN") == 1
    cdn.add_domain(NAME)
    cdn.add_domain("unknown.example.com")
    assert cdn.sslctl("recheck", "unknown.example.com", NAME).exit_code == 0
    # The old certificate is still valid, so no new order is placed.
    assert cdn.issuer.orders == [(NAME,), ("unknown.example.com",)]


@pytest.mark.parametrize(
    "command", [["recheck"], ["recheck", "--force-renew"], ["delete", "--yes"]], ids=words
)
def test_command_exits_with_9_when_a_domain_is_not_managed(cdn: Cdn, command: list[str]) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    result = cdn.sslctl(*command, NAME, "nobody.example.com")
    assert (result.exit_code, result.stdout) == (9, "")
    assert result.stderr.startswith("sslctl: error: nobody.example.com is not managed here")


def test_recheck_force_renew_places_an_order_when_nothing_is_due(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    old = cdn.installed(NAME)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.installed(NAME) == old
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == 0
    assert cdn.installed(NAME) not in (None, old)
    assert len(cdn.issuer.orders) == 2


def test_recheck_force_renew_prints_why_no_certificate_was_ordered(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clear_dns(NAME)
    cdn.point(NAME, "elsewhere.example.org")
    result = cdn.sslctl("recheck", NAME, "--force-renew")
    assert result.exit_code == 4
    assert f"{NAME}: no certificate was ordered: " in result.stderr
    assert len(cdn.issuer.orders) == 1


def test_recheck_force_renew_is_rejected_without_names(cdn: Cdn) -> None:
    result = cdn.sslctl("recheck", "--force-renew")
    assert result.exit_code == 2
    assert "--force-renew places an order for each domain; name the domains" in result.stderr


def test_recheck_reinstalls_our_certificate_after_it_was_removed_from_c4(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    ours = cdn.installed(NAME)
    cdn.app().control_plane.remove(NAME)
    assert cdn.installed(NAME) is None
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.installed(NAME) == ours
    assert len(cdn.issuer.orders) == 1


def _leave(cdn: Cdn) -> None:
    cdn.clear_dns(NAME)
    cdn.point(NAME, "elsewhere.example.org")


def _vanish(cdn: Cdn) -> None:
    cdn.clear_dns(NAME)


def _forbid(cdn: Cdn) -> None:
    cdn.zone.add(NAME, "CAA", '0 issue "other-ca.example"')


def _close_port(cdn: Cdn) -> None:
    cdn.c4.delete_domain(NAME)
    cdn.add_domain(NAME, ports=[80])
    assert cdn.sslctl("recheck", NAME).exit_code == 0  # it uploads again


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (_leave, "CNAME_ELSEWHERE"),
        (_vanish, "NXDOMAIN"),
        (_forbid, "CAA_FORBIDS"),
        (_close_port, "PORTS_NOT_ENABLED"),
    ],
)
def test_named_recheck_warns_of_what_will_prevent_the_renewal(
    cdn: Cdn, trouble: Callable[[Cdn], None], code: str
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    trouble(cdn)
    cdn.clock.move(days=1)
    result = cdn.sslctl("recheck", NAME)
    assert result.exit_code == 0
    assert "Success" in result.stdout
    assert f"warning, {code}: " in result.stdout
    assert f"warning, {code}: " in cdn.sslctl("view", NAME).stdout
    assert len(cdn.issuer.orders) == 1
    cdn.clock.move(days=83)
    due = cdn.sslctl("recheck", NAME)
    assert due.exit_code == 4
    assert f"Failure {code}" in due.stdout


def test_named_recheck_ends_the_warning_once_the_domain_points_here_again(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    _leave(cdn)
    assert "warning, CNAME_ELSEWHERE: " in cdn.sslctl("recheck", NAME).stdout
    cdn.clear_dns(NAME)
    cdn.point(NAME, f"{NAME}.cdn.test")
    result = cdn.sslctl("recheck", NAME, "--json")
    assert (result.exit_code, result.json["domains"][0]["warnings"]) == (0, [])


def test_named_recheck_exits_with_75_if_dns_does_not_answer(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.zone.spoil(NAME, Trouble.SERVFAIL)
    result = cdn.sslctl("recheck", NAME)
    assert result.exit_code == 75
    assert "not confirmed since" in result.stdout
    cdn.clear_dns(NAME)
    cdn.point(NAME, f"{NAME}.cdn.test")
    assert cdn.sslctl("recheck", NAME).exit_code == 0


def test_named_recheck_that_uploads_again_ends_the_emergency_and_warns(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    assert cdn.sslctl("add", NAME).exit_code == 7
    cdn.c4.heal()
    _leave(cdn)
    result = cdn.sslctl("recheck", NAME)
    assert result.exit_code == 0
    assert f"{NAME}: Success" in result.stdout
    assert "warning, CNAME_ELSEWHERE: " in result.stdout
