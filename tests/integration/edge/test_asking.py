"""`AskedEdges` against real listeners: a silent edge costs little, and its recovery is noticed."""

from __future__ import annotations

from sslctl.edge.asking import AskedEdges
from sslctl.rules.edges import EdgeAddress
from sslctl.sandbox.edge_fault import EdgeFault
from tests.support.cdn import Cdn
from tests.support.edges import edges_of

NAME = "shop.example.com"


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


def test_silent_edge_is_asked_again_only_after_a_minute_and_recovers(cdn: Cdn) -> None:
    seconds = Seconds()
    with edges_of(cdn, 1) as (server,):
        server.fault = EdgeFault.LIE
        edges = AskedEdges([EdgeAddress("127.0.0.1", server.https_port)], 5, monotonic=seconds)
        (name,) = edges.names
        assert edges.ask(NAME)[0].fingerprint
        server.stop()
        for _ in range(3):
            assert not edges.is_silent(name)
            (answer,) = edges.ask(NAME)
            assert (answer.fingerprint, answer.why) == (None, "connection refused")
        assert edges.is_silent(name)
        server.start()
        seconds.at += 59
        assert edges.ask(NAME)[0].fingerprint is None
        assert edges.is_silent(name)
        seconds.at += 1
        assert edges.ask(NAME)[0].fingerprint
        assert not edges.is_silent(name)


def test_name_that_does_not_resolve_is_no_answer() -> None:
    edges = AskedEdges([EdgeAddress("edge.invalid", 443)], 0.1, monotonic=Seconds())
    (answer,) = edges.ask(NAME)
    assert (answer.edge, answer.fingerprint) == ("edge.invalid:443", None)
    assert answer.why
