"""`sslctl check` against real servers: the ports, the token, and the certificate that the edge serves."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sslctl.sandbox.edge import Edge
from tests.support.cdn import Cdn
from tests.support.diagnosing import NAME, diagnose, step
from tests.support.fakes import FullDiskIssuer
from tests.support.fleet_ticks import serve
from tests.support.misbehaving import http_head, sending
from tests.support.token_edge import TokenEdge

TARGET = f"{NAME}.cdn.test"
WWW = "www.example.com"


@contextmanager
def edge_of(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """Serve what C4 has on loopback for the block; the target of `NAME` leads there, and probes are on."""
    with Edge(cdn.c4, None) as edge:
        cdn.zone.add(TARGET, "A", "127.0.0.1")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PORTS", "true")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PRIVATE", "true")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_CHALLENGE", "false")
        monkeypatch.setenv("SSLCTL_CDN_HTTP_PORT", str(edge.http_port))
        monkeypatch.setenv("SSLCTL_CDN_HTTPS_PORT", str(edge.https_port))
        yield edge


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


@contextmanager
def token_edge_of(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenEdge]:
    """Serve tokens on loopback for the block; the target of `NAME` leads there. Ports are not probed."""
    with TokenEdge(cdn.issuer) as edge:
        cdn.zone.add(TARGET, "A", "127.0.0.1")
        monkeypatch.setenv("SSLCTL_CDN_PROBE_PRIVATE", "true")
        monkeypatch.setenv("SSLCTL_CDN_HTTP_PORT", str(edge.port))
        yield edge


@pytest.mark.parametrize("is_managed", [False, True])
def test_check_fetches_a_token_through_port_80(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, *, is_managed: bool
) -> None:
    if is_managed:
        serve(cdn, NAME)
    else:
        cdn.add_domain(NAME)
    probes = cdn.issuer.probes
    with token_edge_of(cdn, monkeypatch) as edge:
        found = diagnose(cdn)
        assert len(edge.requests) == 1
    port = step(found, "port_80")
    assert (found["exit"], port["grade"], port["found"]) == (0, "ok", "a token of sslctl was fetched")
    assert [(hop["address"], hop["status"]) for hop in port["hops"]] == [("127.0.0.1", 200)]
    assert (cdn.issuer.probes - probes, cdn.issuer.served) == (1, {})


def test_check_shows_what_came_back_in_place_of_the_token(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    cdn.add_domain(NAME)
    with token_edge_of(cdn, monkeypatch) as edge:
        edge.broken_hosts.add(NAME)
        found = diagnose(cdn)
        edge.broken = sending(http_head(302, "Location: https://login.example.org/\r\nContent-Length: 0\r\n"))
        redirected = diagnose(cdn)
        text = cdn.sslctl("check", NAME).stdout
    assert (found["exit"], found["code"], found["owner"]) == (4, "CHALLENGE_UNREACHABLE", "cdn")
    assert "answered 403: Access denied" in step(found, "port_80")["found"]
    assert (redirected["exit"], redirected["code"]) == (4, "CHALLENGE_UNREACHABLE")
    first = step(redirected, "port_80")["hops"][0]
    assert (first["status"], first["to"]) == (302, "https://login.example.org/")
    assert "at 127.0.0.1: 302 → https://login.example.org/" in text


@pytest.mark.parametrize("is_switched_off", [False, True])
def test_check_fetches_no_token_without_a_state_or_if_that_is_switched_off(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, *, is_switched_off: bool
) -> None:
    cdn.add_domain(NAME)
    if is_switched_off:
        monkeypatch.setenv("SSLCTL_CDN_PROBE_CHALLENGE", "false")
    else:
        shutil.rmtree(cdn.folder / "state")
    with token_edge_of(cdn, monkeypatch):
        found = diagnose(cdn)
    assert (found["exit"], step(found, "port_80")["grade"]) == (0, "skipped")
    assert cdn.issuer.probes == 0


def test_check_exits_as_an_order_would_if_no_token_can_be_served(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdn.add_domain(NAME)

    app = cdn.app()
    app.issuer = FullDiskIssuer(cdn.clock)
    with token_edge_of(cdn, monkeypatch):
        result = cdn.sslctl("check", NAME, "--json", app=app)
    found = result.json["diagnoses"][0]
    assert (result.exit_code, found["code"], found["owner"]) == (3, "ISSUER_FAILED", "operator")


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
