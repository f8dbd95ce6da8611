"""What DNS does not answer, and what prevents no order: a warning in every command, while orders and renewals go on."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from sslctl.sandbox.c4.faults import Fault
from tests.support.cdn import Cdn
from tests.support.dns_zone import Trouble
from tests.support.fleet_ticks import serve, tick

NAME = "shop.example.com"
TARGET = f"{NAME}.cdn.test"
DS = "12345 13 2 " + 32 * "ab"


def warnings(cdn: Cdn) -> list[tuple[str, str]]:
    domain: Any = cdn.sslctl("view", NAME, "--json").json["domain"]
    return [(each["code"], each["owner"]) for each in domain["warnings"]]


@pytest.mark.parametrize(
    ("name", "code", "owner"),
    [(NAME, "ADDRESS_UNANSWERED", "customer"), (TARGET, "TARGET_ADDRESS_UNANSWERED", "cdn")],
)
def test_add_orders_and_warns_when_aaaa_has_no_answer(cdn: Cdn, name: str, code: str, owner: str) -> None:
    cdn.add_domain(NAME)
    cdn.zone.spoil(name, Trouble.SERVFAIL, "AAAA")
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == 0
    assert f"warning, {code}: " in result.stdout
    assert warnings(cdn) == [(code, owner)]
    assert len(cdn.issuer.orders) == 1
    cdn.clear_dns(NAME)
    cdn.clear_dns(TARGET)
    cdn.point(NAME, TARGET)
    cdn.zone.mend(name, "AAAA")
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert warnings(cdn) == []


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.NOTIMP, Trouble.FORMERR])
def test_tick_renews_and_warns_when_aaaa_has_no_answer(cdn: Cdn, trouble: Trouble) -> None:
    serve(cdn, NAME)
    cdn.zone.spoil(NAME, trouble, "AAAA")
    result = tick(cdn, days=84)
    assert (result["exit_code"], len(cdn.issuer.orders)) == (0, 2)
    assert warnings(cdn) == [("ADDRESS_UNANSWERED", "customer")]


def test_tick_finds_the_warning_before_the_renewal_is_due(cdn: Cdn) -> None:
    serve(cdn, NAME)
    cdn.zone.spoil(NAME, Trouble.SERVFAIL, "AAAA")
    result = tick(cdn, days=80)
    assert result["new_warnings"] == {"ADDRESS_UNANSWERED": 1}
    assert tick(cdn, days=1)["new_warnings"] == {}
    assert cdn.sslctl("list", "--status", "success", "--json").json["domains"][0]["domain"] == NAME


def test_recheck_with_force_renew_orders_and_says_nothing_else_when_aaaa_has_no_answer(cdn: Cdn) -> None:
    serve(cdn, NAME)
    cdn.zone.spoil(NAME, Trouble.SERVFAIL, "AAAA")
    cdn.clock.move(days=1)
    result = cdn.sslctl("recheck", NAME, "--force-renew")
    assert (result.exit_code, len(cdn.issuer.orders)) == (0, 2)
    assert "no certificate was ordered" not in result.stderr
    assert "warning, ADDRESS_UNANSWERED: " in result.stdout


def test_dnssec_failure_is_a_warning_until_the_renewal_is_due(cdn: Cdn) -> None:
    serve(cdn, NAME)
    cdn.zone.add("example.com", "DS", DS).spoil(NAME, Trouble.BOGUS)
    cdn.clock.move(days=1)
    early = cdn.sslctl("recheck", NAME)
    assert early.exit_code == 0
    assert warnings(cdn) == [("DNSSEC_BOGUS", "customer")]
    cdn.clock.move(days=83)
    due = cdn.sslctl("recheck", NAME)
    assert due.exit_code == 4
    assert "Failure DNSSEC_BOGUS" in due.stdout


def test_target_without_an_answer_keeps_success_and_names_the_cdn(cdn: Cdn) -> None:
    serve(cdn, NAME)
    cdn.zone.spoil(TARGET, Trouble.SERVFAIL)
    cdn.clock.move(days=84)
    result = cdn.sslctl("recheck", NAME, "--json")
    assert result.exit_code == 75
    domain = result.json["domains"][0]
    assert (domain["status"], domain["unconfirmed"]["code"]) == ("Success", "TARGET_UNANSWERED")


def test_list_shows_which_step_did_not_answer_behind_the_reason_that_is_kept(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.example.org")
    assert cdn.sslctl("add", NAME).exit_code == 4
    assert "(C4_UNANSWERED)" not in cdn.sslctl("list").stdout
    cdn.c4.set_faults(Fault(status=503))
    assert cdn.sslctl("recheck", NAME).exit_code == 75
    assert "CNAME_ELSEWHERE (C4_UNANSWERED)" in cdn.sslctl("list").stdout
    (row,) = csv.DictReader(io.StringIO(cdn.sslctl("list", "--csv").stdout))
    assert (row["status"], row["reason"], row["unconfirmed"]) == (
        "Failure",
        "CNAME_ELSEWHERE",
        "C4_UNANSWERED",
    )
    shown = cdn.sslctl("view", NAME).stdout
    assert "not confirmed since 2026-11-23 12:00 SGT" in shown
    # The try that the step asks for, and not the next midnight, which is that of the reason.
    assert re.findall(r"Next try: +(.*?)\.?\n", shown) == ["2026-11-23 12:01 SGT"]
    cdn.c4.heal()
    assert cdn.sslctl("recheck", NAME).exit_code == 4
    assert "C4_UNANSWERED" not in cdn.sslctl("list", "--csv").stdout


def account_file(cdn: Cdn, text: str) -> None:
    directory = cdn.app().config.acme.directory_url.partition("://")[2]
    account = cdn.folder / "state" / "acme" / "accounts" / directory / "1"
    account.mkdir(parents=True, exist_ok=True)
    (account / "regr.json").write_text(text)


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        (json.dumps({"body": {}, "uri": "https://ca.test/acct/1"}), 0),
        (json.dumps({"body": {}, "uri": "https://ca.test/acct/2"}), 4),
        ("not JSON", 0),
        ("[]", 0),
        ('{"uri": 1}', 0),
    ],
)
def test_add_compares_accounturi_with_the_account_of_certbot(cdn: Cdn, text: str, exit_code: int) -> None:
    cdn.add_domain(NAME)
    cdn.zone.add("example.com", "CAA", '0 issue "ca.test; accounturi=https://ca.test/acct/1"')
    account_file(cdn, text)
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == exit_code
    if exit_code:
        assert 'issue "ca.test; accounturi=https://ca.test/acct/2"' in result.stdout
