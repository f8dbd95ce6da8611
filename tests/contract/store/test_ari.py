"""What the CA says of when to renew (ARI, RFC 9773) is kept with the certificate, and asked for again when it is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from sslctl.rules.limits import LimitKind, Pause, Scope
from sslctl.rules.model import Domain, RenewalInfo, Source
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_cases import CERTIFICATE, bundle, held, issue, leaf, serve

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def info(
    renew: timedelta = 60 * DAY, poll: timedelta = 6 * HOUR, url: str = "https://ca.test/why"
) -> RenewalInfo:
    return RenewalInfo(START + renew - HOUR, START + renew + HOUR, START + renew, START + poll, url)


def served(store: Store, name: str) -> Domain:
    return serve(store, issue(store, store.add_domain(name, (), Source.C4)))


def due(store: Store, clock: Clock, limit: int = 99) -> list[int]:
    return [certificate.domain_id for certificate, _ in store.renewal_infos_due(clock(), limit)]


def test_what_was_said_comes_back_with_the_certificate(store: Store) -> None:
    domain = served(store, "a.test")
    assert held(domain).renewal_info is None
    for said in (info(), info(renew=DAY, url="")):
        store.record_renewal_infos([(held(domain), said)])
        again = store.domain("a.test")
        assert again.serving is not None
        assert again.serving.renewal_info == said
        assert store.certificates(domain)[0].renewal_info == said


def test_a_certificate_is_asked_about_at_first_and_then_when_its_time_comes(
    store: Store, clock: Clock
) -> None:
    domain = served(store, "a.test")
    assert store.renewal_infos_due(clock(), 9) == [(held(domain), CERTIFICATE)]
    store.record_renewal_infos([(held(domain), info(poll=6 * HOUR))])
    clock.move(hours=6, seconds=-1)
    assert due(store, clock) == []
    clock.move(seconds=1)
    assert due(store, clock) == [domain.id]


def test_who_is_put_off_keeps_what_was_said(store: Store, clock: Clock) -> None:
    domains = [served(store, name) for name in ("a.test", "b.test")]
    store.record_renewal_infos([(held(domains[0]), info())])
    store.postpone_renewal_infos([(held(domain), START + 9 * HOUR) for domain in domains])
    assert store.certificates(domains[0])[0].renewal_info == info(poll=9 * HOUR)
    assert store.certificates(domains[1])[0].renewal_info is None
    clock.move(hours=9, seconds=-1)
    assert due(store, clock) == []
    clock.move(seconds=1)
    assert due(store, clock) == [domain.id for domain in domains]


def test_a_pause_of_the_polling_concerns_nothing_else(store: Store, clock: Clock) -> None:
    polling = Scope(LimitKind.RENEWAL_INFO)
    store.pause(polling, START + HOUR, "slow down")
    domain = store.add_domain("a.test", (), Source.C4)
    store.require_budget(domain, domain.names)
    assert (store.pauses(clock()), store.active_pause(clock()), store.is_breaker_open) == ([], None, False)
    pause = Pause(polling, START + HOUR, "slow down")
    assert store.active_pause(clock(), polling) == pause
    store.pause(Scope(LimitKind.ACCOUNT), START + 2 * HOUR, "maintenance")
    assert store.active_pause(clock(), polling) == Pause(
        Scope(LimitKind.ACCOUNT), START + 2 * HOUR, "maintenance"
    )


def test_each_breaker_is_closed_by_itself(store: Store, clock: Clock) -> None:
    polling = Scope(LimitKind.RENEWAL_INFO)
    store.trip_breaker("down", LimitKind.RENEWAL_INFO)
    assert not store.is_breaker_open
    store.trip_breaker("down")
    store.reset_breaker()
    assert (store.is_breaker_open, store.active_pause(clock())) == (False, None)
    assert store.active_pause(clock(), polling) == Pause(polling, START + HOUR / 60, "down")
    store.reset_breaker(LimitKind.RENEWAL_INFO)
    assert store.active_pause(clock(), polling) is None


def test_those_never_asked_about_come_first_and_then_who_waits_longest(store: Store, clock: Clock) -> None:
    domains = [served(store, name) for name in ("a.test", "b.test", "c.test")]
    store.record_renewal_infos([(held(domains[0]), info(poll=2 * HOUR))])
    store.record_renewal_infos([(held(domains[1]), info(poll=HOUR))])
    clock.move(hours=3)
    assert due(store, clock) == [domains[2].id, domains[1].id, domains[0].id]
    assert due(store, clock, 2) == [domains[2].id, domains[1].id]


def _replace(store: Store, domain: Domain) -> None:
    serve(store, issue(store, domain, serial="2f"))  # type: ignore[arg-type]
    [newest, _] = store.certificates(domain)
    store.record_renewal_infos([(newest, info())])


@pytest.mark.parametrize(
    "end",
    [
        lambda store, domain: store.mark_revoked(held(domain)),
        lambda store, domain: store.delete_domain(domain),
        lambda store, domain: store.mark_not_serving(domain, "gone"),
        _replace,
    ],
    ids=["revoked", "deleted", "not served", "replaced"],
)
def test_what_is_of_no_use_is_not_asked_about(
    store: Store, clock: Clock, end: Callable[[Store, Domain], object]
) -> None:
    end(store, served(store, "a.test"))
    assert due(store, clock) == []


def test_an_expired_certificate_is_not_asked_about(store: Store, clock: Clock) -> None:
    served(store, "a.test")
    clock.move(days=90, seconds=-1)
    assert len(due(store, clock)) == 1
    clock.move(seconds=1)
    assert due(store, clock) == []


def test_a_pasted_certificate_is_not_asked_about(store: Store, clock: Clock) -> None:
    serve(store, store.add_text_certificate("a.test", (), bundle(), leaf(names=("a.test",))))
    issue(store, store.add_domain("not-yet-served.test", (), Source.C4))
    assert due(store, clock) == []


def test_the_time_that_was_picked_makes_a_candidate(store: Store, clock: Clock) -> None:
    domain, other = served(store, "a.test"), served(store, "b.test")
    for each, renew in ((domain, DAY), (other, 2 * DAY)):
        store.record_renewal_infos([(held(each), info(renew=renew))])
        store.record_finding(store.domain(each.name), None)
    clock.move(days=1, seconds=-1)
    assert list(store.candidates(clock(), 7 * DAY)) == []
    clock.move(seconds=1)
    assert [each.name for each in store.candidates(clock(), 7 * DAY)] == ["a.test"]
