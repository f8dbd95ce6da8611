"""The CA's renewal information (ARI, RFC 9773) is stored with its certificate and polled again when it is due."""

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
    return [certificate.domain_id for certificate, _ in store.renewal_infos_due(clock(), limit, ca="")]


def test_recorded_renewal_info_is_returned_with_the_certificate(store: Store) -> None:
    domain = served(store, "a.test")
    assert held(domain).renewal_info is None
    for said in (info(), info(renew=DAY, url="")):
        store.record_renewal_infos([(held(domain), said)])
        again = store.domain("a.test")
        assert again.serving is not None
        assert again.serving.renewal_info == said
        assert store.certificates(domain)[0].renewal_info == said


def test_renewal_info_is_due_at_first_and_again_at_its_poll_time(store: Store, clock: Clock) -> None:
    domain = served(store, "a.test")
    assert store.renewal_infos_due(clock(), 9, ca="") == [(held(domain), CERTIFICATE)]
    store.record_renewal_infos([(held(domain), info(poll=6 * HOUR))])
    clock.move(hours=6, seconds=-1)
    assert due(store, clock) == []
    clock.move(seconds=1)
    assert due(store, clock) == [domain.id]


def test_postponed_renewal_info_is_kept(store: Store, clock: Clock) -> None:
    domains = [served(store, name) for name in ("a.test", "b.test")]
    store.record_renewal_infos([(held(domains[0]), info())])
    store.postpone_renewal_infos([(held(domain), START + 9 * HOUR) for domain in domains])
    assert store.certificates(domains[0])[0].renewal_info == info(poll=9 * HOUR)
    assert store.certificates(domains[1])[0].renewal_info is None
    clock.move(hours=9, seconds=-1)
    assert due(store, clock) == []
    clock.move(seconds=1)
    assert due(store, clock) == [domain.id for domain in domains]


def test_pause_of_ari_polling_holds_back_no_order(store: Store, clock: Clock) -> None:
    polling = Scope(LimitKind.RENEWAL_INFO)
    store.pause(polling, START + HOUR, "slow down")
    domain = store.add_domain("a.test", (), Source.C4)
    store.require_budget(domain, domain.names)
    assert (store.pauses(clock()), store.active_pause(clock()), store.is_breaker_open()) == ([], None, False)
    pause = Pause(polling, START + HOUR, "slow down")
    assert store.active_pause(clock(), polling) == pause
    store.pause(Scope(LimitKind.ACCOUNT), START + 2 * HOUR, "maintenance")
    assert store.active_pause(clock(), polling) == Pause(
        Scope(LimitKind.ACCOUNT), START + 2 * HOUR, "maintenance"
    )


def test_reset_closes_one_breaker_only(store: Store, clock: Clock) -> None:
    polling = Scope(LimitKind.RENEWAL_INFO)
    store.trip_breaker("down", LimitKind.RENEWAL_INFO)
    assert not store.is_breaker_open()
    store.trip_breaker("down")
    store.reset_breaker()
    assert (store.is_breaker_open(), store.active_pause(clock())) == (False, None)
    assert store.active_pause(clock(), polling) == Pause(polling, START + HOUR / 60, "down")
    store.reset_breaker(LimitKind.RENEWAL_INFO)
    assert store.active_pause(clock(), polling) is None


def test_certificates_never_polled_come_first_then_the_longest_overdue(store: Store, clock: Clock) -> None:
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
def test_certificate_out_of_service_is_not_polled(
    store: Store, clock: Clock, end: Callable[[Store, Domain], object]
) -> None:
    end(store, served(store, "a.test"))
    assert due(store, clock) == []


def test_expired_certificate_is_not_polled(store: Store, clock: Clock) -> None:
    served(store, "a.test")
    clock.move(days=90, seconds=-1)
    assert len(due(store, clock)) == 1
    clock.move(seconds=1)
    assert due(store, clock) == []


def test_text_certificate_is_not_polled(store: Store, clock: Clock) -> None:
    serve(store, store.add_text_certificate("a.test", (), bundle(), leaf(names=("a.test",))))
    issue(store, store.add_domain("not-yet-served.test", (), Source.C4))
    assert due(store, clock) == []


def test_domain_is_a_candidate_from_its_ari_renewal_time_on(store: Store, clock: Clock) -> None:
    domain, other = served(store, "a.test"), served(store, "b.test")
    for each, renew in ((domain, DAY), (other, 2 * DAY)):
        store.record_renewal_infos([(held(each), info(renew=renew))])
        store.record_finding(store.domain(each.name), None)
    clock.move(days=1, seconds=-1)
    assert list(store.candidates(clock(), 7 * DAY)) == []
    clock.move(seconds=1)
    assert [each.name for each in store.candidates(clock(), 7 * DAY)] == ["a.test"]
