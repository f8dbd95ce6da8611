"""What the edges were seen to serve: only what is wrong is stored, and it ends when it is over."""

from __future__ import annotations

from datetime import timedelta

from sslctl.rules.edges import Drift, LateEdge, SilentEdge
from sslctl.rules.model import Source
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_cases import issue, serve

EAST, WEST = "edge-east.example.net:443", "[2001:db8::1]:443"
HOUR = timedelta(hours=1)


def drift(edge: str = EAST, fingerprint: str = "aa" * 32, version: int | None = None) -> Drift:
    return Drift(edge, fingerprint, version, START + HOUR)


def test_edge_is_late_for_the_domains_that_it_serves_otherwise_after_the_lag(
    store: Store, clock: Clock
) -> None:
    first, second, third = (store.add_domain(name, (), Source.C4) for name in ("a.test", "b.test", "c.test"))
    store.record_edge_answers(first, [drift(), drift(WEST, "")], [])
    store.record_edge_answers(second, [drift(version=1)], [WEST])
    store.record_edge_answers(third, [drift(fingerprint="")], [])
    assert store.late_edges(START + HOUR - timedelta(seconds=1)) == []
    assert store.late_edges(START + HOUR) == [
        LateEdge(WEST, 1, 0, 1, START, ("a.test",)),
        LateEdge(EAST, 3, 1, 1, START, ("a.test", "b.test", "c.test")),
    ]
    assert store.drifting_domains(2) == ["a.test", "b.test"]
    clock.move(hours=2)
    # The same again is no news; the other edge did not answer.
    store.record_edge_answers(first, [drift()], [])
    store.record_edge_answers(second, [], [EAST, WEST])
    assert [(each.edge, each.domains, each.since) for each in store.late_edges(clock())] == [
        (WEST, 1, START),
        (EAST, 2, START),
    ]


def test_answers_about_a_domain_that_was_changed_meanwhile_are_not_recorded(store: Store) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    issue(store, domain)
    store.record_edge_answers(domain, [drift()], [])
    assert store.drifting_domains(1) == []


def test_deleted_domain_is_no_trouble_of_an_edge(store: Store) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    store.record_edge_answers(domain, [drift()], [])
    store.delete_domain(domain)
    assert (store.drifting_domains(1), store.late_edges(START + HOUR)) == ([], [])


def test_silent_edge_is_silent_since_the_first_record(store: Store, clock: Clock) -> None:
    store.record_silent_edge(EAST, "no answer within 3 seconds")
    clock.move(hours=1)
    store.record_silent_edge(EAST, "connection refused")
    store.record_silent_edge(WEST, "connection refused")
    assert store.silent_edges() == [
        SilentEdge(WEST, START + HOUR, "connection refused"),
        SilentEdge(EAST, START, "connection refused"),
    ]
    store.record_edge_answered(EAST)
    assert [each.edge for each in store.silent_edges()] == [WEST]


def test_edge_that_is_not_configured_any_more_is_forgotten(store: Store) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    store.record_edge_answers(domain, [drift(), drift(WEST)], [])
    store.record_silent_edge(WEST, "connection refused")
    store.keep_edges([EAST])
    assert [each.edge for each in store.late_edges(START + HOUR)] == [EAST]
    assert store.silent_edges() == []


def test_sample_goes_round_the_served_domains(store: Store) -> None:
    names = ("d.test", "b.test", "a.test")
    served = [serve(store, issue(store, store.add_domain(name, (), Source.C4))) for name in names]
    store.add_domain("new.test", (), Source.C4)
    assert store.edge_sample(2) == ["d.test", "b.test"]
    store.advance_edge_sample("b.test")
    assert store.edge_sample(2) == ["a.test", "d.test"]
    store.advance_edge_sample("gone.test")
    assert store.edge_sample(9) == ["a.test", "d.test", "b.test"]
    store.delete_domain(served[0])
    assert store.edge_sample(9) == ["a.test", "b.test"]
