"""`sslctl check`: what an order would meet, step by step; nothing is ordered or recorded."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import REASONS, Code
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal, await_true, run
from tests.support.diagnosing import NAME, diagnose, step
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.fleet_ticks import serve
from tests.support.misbehaving import Misbehaving, silence

TARGET = f"{NAME}.cdn.test"
WWW = "www.example.com"


def grades(diagnosis: Any) -> dict[str, str]:
    return {each["step"]: each["grade"] for each in diagnosis["steps"]}


def files(folder: Path) -> dict[str, str]:
    """Return the digest of each file below `folder`."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_check_finds_an_unmanaged_domain_ready(cdn: Cdn) -> None:
    cdn.add_domain(NAME, customer="ACME")
    found = diagnose(cdn)
    assert (found["exit"], found["exit_code"], found["code"], found["records"]) == (0, 0, None, [])
    assert (found["managed"], found["domain"], found["status"]) == (False, None, None)
    assert found["customer"] == "ACME"
    assert step(found, "cname")["hops"] == [{"at": NAME, "to": TARGET, "address": None, "status": None}]
    assert list(grades(found)) == [
        "c4", "ports", "cname", "addresses", "dnssec", "caa", "resolvers", "port_80", "port_443", "certificate", "ca"
    ]  # fmt: skip
    assert "bad" not in grades(found).values()


@pytest.mark.parametrize("is_managed", [False, True])
def test_check_orders_and_records_nothing(cdn: Cdn, *, is_managed: bool) -> None:
    serve(cdn, WWW)
    if is_managed:
        serve(cdn, NAME)
    else:
        cdn.add_domain(NAME)
    cdn.zone.spoil(NAME, Trouble.SERVFAIL)
    before, orders, requests = files(cdn.folder / "state"), len(cdn.issuer.orders), len(cdn.c4.requests)
    assert cdn.sslctl("check", NAME, WWW, "gone.example.com").exit_code == 5
    assert files(cdn.folder / "state") == before
    assert len(cdn.issuer.orders) == orders
    assert {request.method for request in cdn.c4.requests[requests:]} == {"GET"}


def test_check_reports_every_problem_at_once(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test", ports=[80])
    cdn.zone.add("example.com", "CAA", '0 issue "other.example"')
    found = diagnose(cdn)
    bad = [each["code"] for each in found["steps"] if each["grade"] == "bad"]
    assert bad == ["PORTS_NOT_ENABLED", "CNAME_ELSEWHERE", "CAA_FORBIDS"]
    assert (found["exit"], found["code"], found["owner"]) == (4, "PORTS_NOT_ENABLED", "customer")
    assert [(each["type"], each["name"]) for each in found["records"]] == [
        ("CNAME", NAME),
        ("CAA", "example.com"),
    ]
    text = cdn.sslctl("check", NAME).stdout
    assert "✗  CNAME" in text
    assert "wanted: port 443 and port 80" in text or "wanted: port 80 and port 443" in text
    assert text.index("Records to set") < text.index("CNAME_ELSEWHERE: The CNAME does not")
    assert text.rstrip().endswith("remove the record.")


def test_check_shows_each_link_of_the_chain(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="alias.example.com")
    cdn.zone.add("alias.example.com", "CNAME", TARGET).add(TARGET, "A", "192.0.2.1")
    text = cdn.sslctl("check", NAME).stdout
    assert f"{NAME} → alias.example.com\n" in text
    assert f"alias.example.com → {TARGET}\n" in text


@pytest.mark.parametrize(
    ("trouble", "exit_code", "code", "where"),
    [
        (Trouble.SERVFAIL, 75, "DNS_UNANSWERED", "cname"),
        (Trouble.BOGUS, 4, "DNSSEC_BOGUS", "dnssec"),
    ],
)
def test_check_exits_by_what_dns_answers(
    cdn: Cdn, trouble: Trouble, exit_code: int, code: str, where: str
) -> None:
    cdn.add_domain(NAME)
    cdn.zone.add("example.com", "DS", "12345 13 2 " + 32 * "ab").spoil(NAME, trouble)
    found = diagnose(cdn)
    assert (found["exit"], found["code"], step(found, where)["code"]) == (exit_code, code, code)


@pytest.mark.parametrize(
    ("kind", "value", "code", "where"),
    [
        ("AAAA", "2001:db8::1", "AAAA_ELSEWHERE", "addresses"),
        ("A", "198.51.100.7", "CNAME_MISSING", "cname"),
    ],
)
def test_check_names_the_step_of_a_wrong_address(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, kind: str, value: str, code: str, where: str
) -> None:
    monkeypatch.setenv("SSLCTL_CDN_IP_RANGES", "192.0.2.0/24")
    cdn.add_domain(NAME)
    cdn.clear_dns(NAME).add(NAME, "A", "192.0.2.1")
    cdn.zone.add(NAME, kind, value)
    found = diagnose(cdn)
    assert (found["exit"], step(found, where)["code"], step(found, where)["grade"]) == (4, code, "bad")


def test_check_exits_with_6_if_c4_does_not_know_the_domain(cdn: Cdn) -> None:
    cdn.point(NAME, TARGET)
    found = diagnose(cdn)
    assert (found["exit"], found["code"]) == (6, "C4_UNKNOWN_DOMAIN")
    assert step(found, "cname")["grade"] == "ok"


def test_check_proposes_to_create_and_add_a_name_that_neither_c4_nor_the_state_knows(cdn: Cdn) -> None:
    serve(cdn, WWW)
    cdn.c4.delete_domain(WWW)
    for name, next_step in (
        (NAME, f"Create it in C4, then `sslctl add {NAME}`."),
        (WWW, REASONS[Code.C4_UNKNOWN_DOMAIN].next_step),
    ):
        assert diagnose(cdn, name)["next_step"] == next_step
        assert next_step in " ".join(cdn.sslctl("check", name).stdout.split())


@pytest.mark.parametrize(
    ("is_served", "kind", "value", "visitors"),
    [
        (True, "CNAME", "parking.elsewhere.test", "At present visitors do not"),
        (True, "A", "203.0.113.9", "At present visitors do not"),
        (True, "AAAA", "2001:db8::9", "At present some visitors do not"),
        (False, "CNAME", "parking.elsewhere.test", ""),
    ],
)
def test_check_ends_with_who_does_not_see_the_certificate_of_a_served_domain(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, *, is_served: bool, kind: str, value: str, visitors: str
) -> None:
    monkeypatch.setenv("SSLCTL_CDN_IP_RANGES", "192.0.2.0/24")
    if is_served:
        serve(cdn, NAME)
    else:
        cdn.add_domain(NAME)
    zone = cdn.clear_dns(NAME)
    if kind == "AAAA":
        zone.add(NAME, "A", "192.0.2.1")
    zone.add(NAME, kind, value)
    text = " ".join(cdn.sslctl("check", NAME).stdout.split())
    assert ("reach the CDN, so" in text, visitors in text) == (bool(visitors), True)


def test_check_goes_on_without_c4_and_exits_with_75(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.c4.stop()
    found = diagnose(cdn)
    assert (found["exit"], found["code"]) == (75, "C4_UNANSWERED")
    assert step(found, "cname")["code"] == "CNAME_ELSEWHERE"


def test_check_exits_with_3_and_names_the_next_safe_time_in_a_pause_of_the_ca(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    app = cdn.app()
    app.store.pause(Scope(LimitKind.ACCOUNT), cdn.clock() + timedelta(hours=2), "too many requests")
    app.close()
    found = diagnose(cdn)
    assert (found["exit"], found["code"]) == (3, "BUDGET_HELD")
    assert found["next_order_at"] == "2026-11-23T06:00:00Z"
    assert "too many requests" in step(found, "ca")["found"]


def test_check_exits_with_3_in_a_maintenance_pause(cdn: Cdn) -> None:
    serve(cdn, NAME)
    assert cdn.sslctl("pause", "--until", "2h", "--reason", "C4 moves").exit_code == 0
    found = diagnose(cdn)
    assert (found["exit"], found["code"]) == (3, "MAINTENANCE")
    assert "C4 moves" in step(found, "ca")["found"]


def test_check_includes_the_other_names_and_reports_whose_name_it_is(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.point(WWW, TARGET)
    assert cdn.sslctl("add", NAME, "--san", WWW).exit_code == 0
    cdn.point(WWW, "parking.elsewhere.test")
    found = diagnose(cdn, WWW)
    assert (found["name"], found["domain"], found["names"]) == (WWW, NAME, [NAME, WWW])
    assert (found["exit"], found["status"]) == (4, "Success")
    assert step(found, "cname")["grade"] == "ok"
    assert step(found, "cname", WWW)["code"] == "CNAME_ELSEWHERE"
    text = cdn.sslctl("check", WWW).stdout
    assert text.startswith(f"{WWW}: another name of the certificate of {NAME}, Success")
    assert f"✗  {WWW} CNAME" in text


def test_check_treats_a_deleted_domain_as_unmanaged(cdn: Cdn) -> None:
    serve(cdn, NAME)
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == 0
    assert diagnose(cdn)["managed"] is False


def test_check_reports_resolvers_that_disagree(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    with DnsZone() as other:
        other.add(NAME, "CNAME", TARGET).add(TARGET, "A", "192.0.2.1")
        ports = [cdn.zone.address[1], other.address[1]]
        monkeypatch.setenv("SSLCTL_DNS_RESOLVERS", ",".join(f"127.0.0.1:{port}" for port in ports))
        found = diagnose(cdn)
    assert (found["exit"], found["code"]) == (75, "RESOLVERS_DISAGREE")
    assert (step(found, "cname")["grade"], step(found, "cname")["code"]) == ("warn", "CNAME_ELSEWHERE")


@pytest.mark.parametrize("is_broken", [False, True])
def test_check_works_without_a_usable_state(cdn: Cdn, *, is_broken: bool) -> None:
    cdn.add_domain(NAME)
    shutil.rmtree(cdn.folder / "state")
    if is_broken:
        (cdn.folder / "state").mkdir()
        (cdn.folder / "state" / "sslctl.db").write_bytes(b"no database")
    found = diagnose(cdn)
    assert (found["exit"], found["managed"], found["next_order_at"]) == (0, None, None)
    assert step(found, "ca")["grade"] == "skipped"
    assert (cdn.folder / "state").exists() is is_broken


def test_check_exits_with_8_if_the_configuration_is_unusable(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_C4_BASE_URL", "")
    assert cdn.sslctl("check", NAME).exit_code == 8


@pytest.mark.parametrize("name", ["*.example.com", "nodots", "192.0.2.1"])
def test_check_refuses_what_no_ca_issues_for(cdn: Cdn, name: str) -> None:
    assert cdn.sslctl("check", name).exit_code == 2


def test_check_of_several_names_prints_them_in_order_and_each_once(cdn: Cdn) -> None:
    names = [f"shop{number}.example.com" for number in range(12)]
    for name in names:
        cdn.add_domain(name)
    cdn.zone.delay(names[0], 0.5)
    result = cdn.sslctl("check", *names, names[3].upper())
    assert result.exit_code == 0
    heads = [line.partition(":")[0] for line in result.stdout.splitlines() if ": not managed here" in line]
    assert heads == names
    assert cdn.sslctl("check", *names, "gone.example.com").exit_code == 5


def test_check_writes_ascii_if_the_output_cannot_print_more(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    result = run(cdn, "check", NAME, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 4
    assert result.stdout.isascii()
    assert "x   CNAME" in result.stdout
    assert f"{NAME} -> parking.elsewhere.test" in result.stdout
    assert "\\u" not in result.stdout


def test_check_ends_at_ctrl_c_while_nothing_answers(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    with Misbehaving(silence) as c4, Terminal(cdn, "check", NAME, SSLCTL_C4_BASE_URL=c4.url) as terminal:
        await_true(lambda: c4.connections > 0)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert "Traceback" not in terminal.screen


def test_check_json_is_one_object_also_for_an_error(cdn: Cdn) -> None:
    error = json.loads(cdn.sslctl("check", "nodots", "--json").stdout)
    assert error["exit_code"] == 2
