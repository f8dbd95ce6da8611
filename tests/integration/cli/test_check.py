"""`sslctl check`: what an order would meet, step by step; nothing is ordered or recorded."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.rules.limits import LimitKind, Scope
from sslctl.sandbox.edge import Edge
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal, await_true, run
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.fleet_ticks import serve
from tests.support.misbehaving import Misbehaving, silence

NAME = "shop.example.com"
TARGET = f"{NAME}.cdn.test"
WWW = "www.example.com"


def diagnose(cdn: Cdn, *names: str) -> Any:
    """Return the JSON of `check` about the first of `names`, with the exit code of the command."""
    result = cdn.sslctl("check", *(names or (NAME,)), "--json")
    return {**result.json["diagnoses"][0], "exit": result.exit_code}


def step(diagnosis: Any, wanted: str, name: str = NAME) -> Any:
    """Return the step `wanted` about `name`."""
    return next(each for each in diagnosis["steps"] if (each["step"], each["name"]) == (wanted, name))


def grades(diagnosis: Any) -> dict[str, str]:
    return {each["step"]: each["grade"] for each in diagnosis["steps"]}


def files(folder: Path) -> dict[str, str]:
    """Return the digest of each file below `folder`."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def edge_of(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """Serve what C4 has on loopback for the block; the target of `NAME` leads there, and probes are on."""
    with Edge(cdn.c4, None) as edge:
        cdn.zone.add(TARGET, "A", "127.0.0.1")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PORTS", "true")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PRIVATE", "true")
        monkeypatch.setenv("SSLCTL_CDN_HTTP_PORT", str(edge.http_port))
        monkeypatch.setenv("SSLCTL_CDN_HTTPS_PORT", str(edge.https_port))
        yield edge


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


def test_check_compares_the_served_certificate_with_that_of_c4(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(cdn, NAME)
    with edge_of(cdn, monkeypatch):
        found = diagnose(cdn)
        assert found["exit"] == 0
        assert (step(found, "port_443")["grade"], step(found, "certificate")["grade"]) == ("ok", "ok")
        fingerprint = cdn.installed(NAME)
        assert fingerprint is not None
        assert f"{fingerprint[:16]} (issued by sslctl) for {NAME}" in step(found, "certificate")["found"]


def test_check_finds_that_the_edge_serves_no_certificate(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    cdn.add_domain(NAME)
    with edge_of(cdn, monkeypatch):
        found = diagnose(cdn)
    assert (found["exit"], step(found, "certificate")["grade"]) == (0, "warn")
    assert "unrecognized name" in step(found, "certificate")["found"]


def test_check_finds_an_edge_that_serves_another_certificate_than_c4_has(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(cdn, NAME)
    with Cdn(cdn.folder / "other", cdn.clock) as other:
        other.add_domain(NAME)
        assert other.sslctl("add", NAME).exit_code == 0
        with edge_of(other, monkeypatch):
            cdn.zone.add(TARGET, "A", "127.0.0.1")
            found = diagnose(cdn)
    assert found["exit"] == 0
    served = step(found, "certificate")
    assert served["grade"] == "warn"
    assert "it is not the one that C4 has" in served["found"]
    assert served["wanted"].startswith(f"the certificate {(cdn.installed(NAME) or '')[:16]}")


def test_check_finds_closed_ports(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    cdn.add_domain(NAME)
    with edge_of(cdn, monkeypatch):
        pass
    found = diagnose(cdn)
    assert found["exit"] == 4
    assert [step(found, port)["code"] for port in ("port_80", "port_443")] == [
        "PORT_80_CLOSED",
        "PORT_443_CLOSED",
    ]


def test_check_connects_to_no_private_address(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    cdn.add_domain(NAME)
    with socket.create_server(("127.0.0.1", 0)) as listener, edge_of(cdn, monkeypatch):
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PRIVATE", "false")
        monkeypatch.setenv("SSLCTL_CDN_HTTPS_PORT", str(listener.getsockname()[1]))
        found = diagnose(cdn)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [step(found, each)["grade"] for each in ("port_80", "port_443", "certificate")] == 3 * ["skipped"]


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
