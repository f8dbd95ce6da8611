"""The proof at the edges: real TLS listeners, of which some lag, lie or are silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sslctl.sandbox.edge_fault import EdgeFault
from tests.support.cdn import Cdn
from tests.support.edges import address, configure, edges_of

NAME = "shop.example.com"


@contextmanager
def closed_port() -> Iterator[str]:
    """Yield an address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def view(cdn: Cdn, name: str = NAME) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def test_add_is_success_when_every_edge_serves_the_new_certificate(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    with edges_of(cdn, 3):
        assert cdn.sslctl("add", NAME).exit_code == 0
    assert view(cdn)["status"] == "Success"


def test_renewal_is_pending_and_names_the_edges_when_one_lags_and_one_lies(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    with edges_of(cdn, 3) as (good, lagging, lying):
        assert cdn.sslctl("add", NAME).exit_code == 0
        lagging.fault, lying.fault = EdgeFault.LAG, EdgeFault.LIE
        result = cdn.sslctl("recheck", NAME, "--force-renew")
        assert result.exit_code == 3
        domain = view(cdn)
        assert (domain["status"], domain["reason"]["code"]) == ("Pending", "C4_ACTIVATING")
        found = domain["reason"]["sentence"]
        assert f"edge {address(lagging)} still serves version 1" in found
        assert f"edge {address(lying)} serves a certificate that sslctl did not install" in found
        assert address(good) not in found
        assert domain["reason"]["retry_at"] is not None
        # What C4 serves is known all the same.
        assert domain["serving"]["version"] == 2
        orders, uploads = len(cdn.issuer.orders), cdn.uploads(NAME)
        cdn.clock.move(minutes=2)
        cdn.sslctl("daemon-tick")
        assert view(cdn)["status"] == "Pending"
        lagging.fault = lying.fault = None
        cdn.clock.move(minutes=20)
        cdn.sslctl("daemon-tick")
        assert view(cdn)["status"] == "Success"
        assert (len(cdn.issuer.orders), cdn.uploads(NAME)) == (orders, uploads)


def test_add_is_success_when_an_edge_does_not_answer(cdn: Cdn) -> None:
    names = [f"shop{number}.example.com" for number in range(4)]
    for name in names:
        cdn.add_domain(name)
    with closed_port() as silent, edges_of(cdn, 1, silent):
        assert cdn.sslctl("add", *names).exit_code == 0
        (known,) = cdn.app().store.silent_edges()
        assert (known.edge, known.why) == (silent, "connection refused")
    with edges_of(cdn, 1) as (edge,):
        configure(cdn, address(edge))
        cdn.sslctl("daemon-tick")
        assert cdn.app().store.silent_edges() == []


def test_doctor_warns_of_edges_that_do_not_answer(cdn: Cdn) -> None:
    with closed_port() as silent, edges_of(cdn, 2, silent):
        checks = cdn.sslctl("doctor", "--json").json["checks"]
    found = [(each["grade"], each["detail"]) for each in checks if each["check"] == "edges"]
    assert found == [("warn", f"{silent} does not answer: connection refused"), ("ok", "2 edges answer")]
    assert not any(each["check"] == "edges" for each in no_edges(cdn))


def no_edges(cdn: Cdn) -> Any:
    configure(cdn)
    return cdn.sslctl("doctor", "--json").json["checks"]


def test_add_is_pending_when_an_edge_serves_nothing_for_the_new_domain(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    with edges_of(cdn, 2) as (_, lagging):
        lagging.fault = EdgeFault.LAG
        assert cdn.sslctl("add", NAME).exit_code == 3
        assert f"edge {address(lagging)} serves no certificate for it" in view(cdn)["reason"]["sentence"]
