"""Renewals: cohorts, renewals made, and renewals that may be made early."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from sslctl.store.interface.renewals import Cohort
from tests.support.fakes import Clock
from tests.support.store_cases import CERTIFICATE, CHAIN, bundle, leaf, open_order, serve

NOW = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    clock.at = NOW


def issue(store: Store, domain: Domain, at: datetime = NOW, days: float = 90) -> Domain:
    order = open_order(store, domain)
    facts = leaf(at, names=domain.names, days=days)
    return store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, facts)


def served(store: Store, clock: Clock, name: str, left: float, *, days: float = 90) -> Domain:
    """Add a domain whose certificate expires in `left` days, stored when it was issued."""
    clock.at = NOW + timedelta(days=left - days)
    domain = serve(store, issue(store, store.add_domain(name, (), Source.C4), clock.at, days))
    clock.at = NOW
    return store.record_finding(domain, None)


def fleet(store: Store, clock: Clock, left: Iterable[float]) -> list[Domain]:
    return [served(store, clock, f"d{number}.test", days) for number, days in enumerate(left)]


def test_cohorts_groups_domains_by_finding_expiry_hour_and_lifetime(store: Store, clock: Clock) -> None:
    fleet(store, clock, [20, 20, 20.01, 30])
    served(store, clock, "short.test", 3, days=6)
    store.add_domain("new.test", (), Source.C4)

    def cohort(count: int, left: int, days: int = 90) -> Cohort:
        expires_at, lifetime = NOW + timedelta(days=left), timedelta(days=days)
        return Cohort(count, None, expires_at, lifetime, expires_at - lifetime)

    assert set(store.cohorts()) == {
        cohort(3, 20),
        cohort(1, 30),
        cohort(1, 3, days=6),
        Cohort(1, Code.QUEUED),
    }


def test_cohorts_excludes_deleted_and_text_domains(store: Store, clock: Clock) -> None:
    store.delete_domain(served(store, clock, "deleted.test", 20))
    pasted = serve(store, issue(store, store.add_domain("pasted.test", (), Source.C4)))
    store.update_domain(pasted, (), Source.TEXT)
    assert store.cohorts() == []


def test_cohorts_counts_a_domain_that_changed_from_text_to_c4_as_queued(store: Store) -> None:
    pasted = store.add_text_certificate("pasted.test", (), bundle(), leaf(NOW, names=("pasted.test",)))
    store.update_domain(serve(store, pasted), (), Source.C4)
    assert store.cohorts() == [Cohort(1, Code.QUEUED)]


def test_renewed_since_counts_renewals_and_excludes_first_certificates(store: Store, clock: Clock) -> None:
    for number, domain in enumerate(fleet(store, clock, [5, 5, 5])):
        clock.at = NOW + timedelta(hours=number - 1)
        issue(store, domain, at=clock.at)
    clock.at = NOW + timedelta(hours=3)
    issue(store, store.add_domain("new.test", (), Source.C4), at=clock.at)
    assert [store.renewed_since(NOW + timedelta(hours=hours)) for hours in (-1, 0, 1, 2)] == [3, 2, 1, 0]


def test_renewed_since_counts_renewals_whose_ids_do_not_follow_their_times(
    store: Store, clock: Clock
) -> None:
    early, late = fleet(store, clock, [5, 5])
    clock.at = NOW + timedelta(minutes=1)
    issue(store, late, at=clock.at)
    # Another host read its clock before, and wrote after.
    clock.at = NOW - timedelta(minutes=1)
    issue(store, early, at=clock.at)
    assert store.renewed_since(NOW) == 1


def test_renewable_excludes_certificates_before_half_of_their_lifetime(store: Store, clock: Clock) -> None:
    for number in range(6):
        served(store, clock, f"short{number}.test", 20, days=39.9)
    # 19.95 days of it are over in 72 minutes.
    minutes = [timedelta(minutes=71), timedelta(minutes=72)]
    assert [len(store.renewable(NOW + each, NOW, 9)) for each in minutes] == [0, 6]
