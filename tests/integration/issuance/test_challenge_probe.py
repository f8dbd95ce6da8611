"""Before a first order, a token is fetched through the domain's port 80; only an answer that is not the token holds it back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sslctl.errors import Exit
from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code
from tests.support.cdn import SUFFIX, Cdn
from tests.support.fakes import START, FullDiskIssuer
from tests.support.misbehaving import Behaviour, reset, sending
from tests.support.token_edge import TokenEdge, respond

NAME = "shop.example.com"


@pytest.fixture
def edge(cdn: Cdn) -> Iterator[TokenEdge]:
    with TokenEdge(cdn.issuer) as edge:
        probe = f"probe_ports = false\nprobe_private = true\nhttp_port = {edge.port}"
        configure(cdn, "probe_ports = false", probe)
        add_domain(cdn, NAME)
        yield edge


def configure(cdn: Cdn, before: str, after: str) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text().replace(before, after))


def add_domain(cdn: Cdn, name: str) -> None:
    cdn.add_domain(name)
    cdn.zone.add(f"{name}.{SUFFIX}", "A", "127.0.0.1")


def test_first_order_is_placed_when_the_token_is_fetched(cdn: Cdn, edge: TokenEdge) -> None:
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    assert (cdn.issuer.probes, len(edge.requests), cdn.issuer.served) == (1, 1, {})


def test_first_order_is_held_back_until_the_token_is_fetched(cdn: Cdn, edge: TokenEdge) -> None:
    edge.broken_hosts.add(NAME)
    added = cdn.sslctl("add", NAME, "--json")
    assert added.exit_code == Exit.FAILURE
    (domain,) = added.json["domains"]
    reason = domain["reason"]
    assert (domain["status"], reason["code"], reason["owner"]) == ("Failure", "CHALLENGE_UNREACHABLE", "cdn")
    assert f"found http://{NAME}/.well-known/acme-challenge/" in reason["sentence"]
    assert " answered 403: Access denied, wanted the token that sslctl put there." in reason["sentence"]
    assert cdn.issuer.orders == []
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.FAILURE
    edge.broken_hosts.clear()
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.OK
    assert len(cdn.issuer.orders) == 1


def test_tick_fetches_the_token_again_after_a_minute(cdn: Cdn, edge: TokenEdge) -> None:
    edge.broken_hosts.add(NAME)
    cdn.sslctl("add", NAME)
    with_finding = cdn.app().store.domain(NAME).finding
    assert with_finding is not None
    assert with_finding.retry_at == START + timedelta(minutes=1)
    edge.broken_hosts.clear()
    cdn.clock.move(minutes=1)
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert len(cdn.issuer.orders) == 1


@pytest.mark.parametrize("broken", [reset, sending(b"")], ids=["reset", "empty"])
def test_edge_without_an_answer_holds_nothing_back(cdn: Cdn, edge: TokenEdge, broken: Behaviour) -> None:
    edge.broken_hosts.add(NAME)
    edge.broken = broken
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    assert cdn.issuer.probes == 1


def test_refused_connection_is_port_80_closed(cdn: Cdn, edge: TokenEdge, closed_port: int) -> None:
    configure(cdn, f"http_port = {edge.port}", f"http_port = {closed_port}")
    added = cdn.sslctl("add", NAME, "--json")
    assert added.json["domains"][0]["reason"]["code"] == "PORT_80_CLOSED"
    assert cdn.issuer.orders == []


@pytest.mark.parametrize("days", [84, 91], ids=["valid", "expired"])
def test_renewal_is_never_probed(cdn: Cdn, edge: TokenEdge, days: int) -> None:
    cdn.sslctl("add", NAME)
    edge.broken_hosts.add(NAME)
    cdn.clock.move(days=days)
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == Exit.OK
    assert (len(cdn.issuer.orders), cdn.issuer.probes) == (3, 1)


def test_probe_can_be_switched_off(cdn: Cdn, edge: TokenEdge) -> None:
    edge.broken_hosts.add(NAME)
    configure(cdn, "probe_private = true", "probe_private = true\nprobe_challenge = false")
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    assert (cdn.issuer.probes, edge.requests) == (0, [])


def test_nothing_is_probed_during_maintenance(cdn: Cdn, edge: TokenEdge) -> None:
    edge.broken_hosts.add(NAME)
    cdn.sslctl("pause", "--until", "2026-11-24 00:00", "--reason", "a new edge")
    added = cdn.sslctl("add", NAME, "--json")
    assert added.json["domains"][0]["reason"]["code"] == "MAINTENANCE"
    assert (cdn.issuer.probes, edge.requests) == (0, [])


def test_open_order_goes_on_without_a_probe(cdn: Cdn, edge: TokenEdge) -> None:
    cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "pending"))
    cdn.sslctl("add", NAME)
    cdn.issuer.pending.add("https://ca.test/order/1")
    edge.broken_hosts.add(NAME)
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.OK
    assert (len(cdn.issuer.orders), cdn.issuer.probes) == (1, 1)


def test_each_name_of_a_certificate_is_probed(cdn: Cdn, edge: TokenEdge) -> None:
    add_domain(cdn, f"www.{NAME}")
    edge.broken_hosts.add(f"www.{NAME}")
    added = cdn.sslctl("add", NAME, "--san", f"www.{NAME}", "--json")
    assert added.json["domains"][0]["reason"]["code"] == "CHALLENGE_UNREACHABLE"
    assert f"http://www.{NAME}/" in added.json["domains"][0]["reason"]["sentence"]
    assert cdn.issuer.probes == 1


def test_broken_webroot_holds_back_only_first_orders(cdn: Cdn, edge: TokenEdge) -> None:
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=84)
    new = [f"new{number}.example.com" for number in range(3)]
    for name in new:
        add_domain(cdn, name)
    edge.broken_hosts.update((NAME, *new))
    edge.broken = respond(404, b"")
    added = cdn.sslctl("add", *new, "--json")
    assert {domain["reason"]["code"] for domain in added.json["domains"]} == {"CHALLENGE_UNREACHABLE"}
    assert "check acme.webroot, or the edges, first" in added.json["domains"][0]["reason"]["next_step"]
    cdn.sslctl("daemon-tick")
    assert cdn.issuer.orders_by_name() == {NAME: 2}


def test_file_that_cannot_be_published_ends_the_pass_as_the_order_would(cdn: Cdn, edge: TokenEdge) -> None:
    app = cdn.app()
    app.issuer = FullDiskIssuer(cdn.clock)
    added = cdn.sslctl("add", NAME, "--json", app=app)
    (domain,) = added.json["domains"]
    assert (domain["status"], domain["reason"]["code"]) == ("Pending", "ISSUER_FAILED")
    assert edge.requests == []
