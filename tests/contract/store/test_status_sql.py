"""Filters, counts and sorting by status in SQL agree with `derive_status`, for any facts that are stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.rules import schedule
from sslctl.rules.expiry import is_renewal_late
from sslctl.rules.model import Certificate, Domain, Installed, Source
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Status
from sslctl.rules.renewal import Ari, RenewalRule
from sslctl.rules.schedule import RECHECKED
from sslctl.rules.status import derive_status
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query, Sort
from sslctl.store.sql.values import names_text
from sslctl.text import instant
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend, Sql
from tests.support.store_cases import finding, issue, serve

DAY = 86_400
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Held:
    """A certificate in the store. Lengths are in seconds from now; `asked` is when the CA wants it renewed."""

    left: int
    lifetime: int
    source: Source
    revoked: bool
    fits: bool
    asked: int | None


@dataclass(frozen=True)
class Facts:
    """The stored facts of one domain."""

    source: Source
    deleted: bool
    code: Code | None
    retry: int | None
    wanted: Held | None
    serving: Held | None
    same: bool
    foreign: tuple[Source, int, bool] | None
    unconfirmed: int | None


_near_now = st.sampled_from((-DAY, -1, 0, 1, DAY))
_held = st.builds(
    Held,
    left=st.one_of(_near_now, st.sampled_from((3 * DAY, 7 * DAY, 7 * DAY + 1, 8 * DAY, 60 * DAY))),
    lifetime=st.sampled_from((DAY, 6 * DAY, 14 * DAY, 90 * DAY)),
    source=st.sampled_from(Source),
    revoked=st.booleans(),
    fits=st.booleans(),
    asked=st.none() | _near_now,
)
_facts = st.builds(
    Facts,
    source=st.sampled_from(Source),
    deleted=st.booleans(),
    code=st.none() | st.sampled_from(FINDINGS),
    retry=st.none() | _near_now,
    wanted=st.none() | _held,
    serving=st.none() | _held,
    same=st.booleans(),
    foreign=st.none()
    | st.tuples(st.sampled_from(Source), _near_now | st.sampled_from((7 * DAY, 60 * DAY)), st.booleans()),
    unconfirmed=st.none() | _near_now,
)
# Facts are stored to the second; the time of a query may be finer.
_now = st.sampled_from((0, 1, 999_999)).map(lambda micros: START + timedelta(microseconds=micros))


def _name(number: int) -> str:
    return f"{number:03}.test"


def _put(sql: Sql, number: int, facts: Facts) -> None:
    name, at = _name(number), instant(START)
    retry_at = None if facts.retry is None else instant(START + timedelta(seconds=facts.retry))
    sql(
        "INSERT INTO domain (id, name, sans, source, created_at, deleted_at, finding_code, finding_found,"
        " finding_wanted, finding_at, retry_at) VALUES (?, ?, '[]', ?, ?, ?, ?, 'this', 'that', ?, ?)",
        (number, name, facts.source, at, at if facts.deleted else None, facts.code, at, retry_at),
    )
    wanted = None if facts.wanted is None else _put_certificate(sql, number, name, 1, facts.wanted)
    serving = wanted if facts.same else None
    if facts.serving is not None and not facts.same:
        serving = _put_certificate(sql, number, name, 2, facts.serving)
    if facts.foreign is not None:
        # C4 has another certificate than ours.
        serving = None
        source, left, is_agreed = facts.foreign
        expiry, consent = instant(START + timedelta(seconds=left)), "ab" if is_agreed else ""
        sql(
            "UPDATE domain SET foreign_source = ?, foreign_fingerprint = 'ab', foreign_not_after = ?,"
            " foreign_state = 'active', text_consent = ? WHERE id = ?",
            (source, expiry, consent, number),
        )
    if facts.unconfirmed is not None:
        retry_at = instant(START + timedelta(seconds=facts.unconfirmed))
        sql(
            "UPDATE domain SET unconfirmed_code = 'C4_UNANSWERED', unconfirmed_found = '', unconfirmed_since = ?,"
            " unconfirmed_retry_at = ?, unconfirmed_tries = 1 WHERE id = ?",
            (at, retry_at, number),
        )
    sql("UPDATE domain SET wanted_id = ?, serving_id = ? WHERE id = ?", (wanted, serving, number))


def _put_certificate(sql: Sql, number: int, name: str, version: int, held: Held) -> int | None:
    end, at = START + timedelta(seconds=held.left), instant(START)
    names = names_text([name] if held.fits else [name, "more.test"])
    identity: int = sql(
        "INSERT INTO certificate (domain_id, version, source, names, fingerprint, serial, issuer, key_type,"
        " not_before, not_after, pem, chain_pem, sealed_key, issued_at, revoked_at,"
        " ari_start_at, ari_end_at, ari_renew_at, ari_poll_at, ari_explanation)"
        " VALUES (?, ?, ?, ?, '', '', '', '', ?, ?, '', '', ?, ?, ?, ?, ?, ?, ?, '') RETURNING id",
        (
            *(
                number,
                version,
                held.source,
                names,
                instant(end - timedelta(seconds=held.lifetime)),
                instant(end),
            ),
            *(b"\0", at, at if held.revoked else None),
            *[None if held.asked is None else instant(START + timedelta(seconds=held.asked))] * 4,
        ),
    )[0][0]
    return identity


def _refill(backend: Backend, stored: list[Facts]) -> None:
    with backend.sql(guarded=False) as sql:
        for statement in ("UPDATE domain SET wanted_id = NULL, serving_id = NULL", *_EMPTY):
            sql(statement, ())
        for number, facts in enumerate(stored, start=1):
            _put(sql, number, facts)


_EMPTY = ("DELETE FROM event", "DELETE FROM acme_order", "DELETE FROM certificate", "DELETE FROM domain")


def _managed(store: Store, number: int) -> list[Domain]:
    found = [store.find(_name(each + 1)) for each in range(number)]
    return [domain for domain in found if domain is not None and domain.deleted_at is None]


def _current(domain: Domain) -> Certificate | Installed | None:
    return domain.in_service or domain.wanted


_many = st.lists(_facts, min_size=4, max_size=12)


@given(stored=_many, now=_now)
@settings(max_examples=150, deadline=None)
def test_sql_status_agrees_with_derive_status(
    shared: Store, shared_backend: Backend, stored: list[Facts], now: datetime
) -> None:
    _refill(shared_backend, stored)
    derived = {domain: derive_status(domain, now).status for domain in _managed(shared, len(stored))}
    for status in Status:
        expected = [domain for domain, its in derived.items() if its is status]
        assert list(shared.domains(Query(statuses=(status,)), now)) == expected
    assert shared.count_by_status(now) == Counter(derived.values())
    assert shared.count_managed() == len(derived)
    ranked = sorted(derived, key=lambda domain: (derived[domain].rank, domain.name))
    assert list(shared.domains(Query(sort=Sort.STATUS), now)) == ranked
    assert set(shared.domains(Query(statuses=RECHECKED, source=Source.C4), now)) == {
        domain for domain, status in derived.items() if domain.source is Source.C4 and status in RECHECKED
    }


@given(stored=_many, now=_now, before=st.sampled_from((1, 7, 30)))
@settings(max_examples=50, deadline=None)
def test_figures_of_the_fleet_agree_with_the_rules(
    shared: Store, shared_backend: Backend, stored: list[Facts], now: datetime, before: int
) -> None:
    _refill(shared_backend, stored)
    managed, rule = _managed(shared, len(stored)), RenewalRule(timedelta(days=before))
    derived = {domain: derive_status(domain, now) for domain in managed}
    reasons = Counter(
        (its.status, its.also.code if its.also is not None else its.code) for its in derived.values()
    )
    assert {(each.status, each.code): each.number for each in shared.count_by_reason(now)} == reasons
    assert all(
        REASONS[each.code].owner in {its.owner for its in derived.values() if its.status is each.status}
        for each in shared.count_by_reason(now)
        if each.code is not None
    )
    served = [
        (domain.in_service, domain)
        for domain in managed
        if domain.in_service is not None and domain.in_service.not_after > now
    ]
    soonest = {
        source: min(one.not_after for one, _ in served if one.source is source)
        for source in {one.source for one, _ in served}
    }
    assert shared.soonest_expiries(now) == soonest
    overdue = [
        domain
        for one, domain in served
        if one.source is Source.C4
        and is_renewal_late(domain, now, rule)
        and derived[domain].status is not Status.DISCARD
    ]
    assert shared.count_overdue(now, rule) == len(overdue)


@given(
    stored=_many,
    now=_now,
    before=st.sampled_from((1, 3, 7, 30)),
    more=st.sampled_from((0, 1, 60)),
    ari=st.sampled_from(Ari),
)
@settings(max_examples=150, deadline=None)
def test_candidates_include_every_domain_with_due_work(
    shared: Store,
    shared_backend: Backend,
    stored: list[Facts],
    now: datetime,
    before: int,
    more: int,
    ari: Ari,
) -> None:
    _refill(shared_backend, stored)
    candidates = list(shared.candidates(now, timedelta(days=before + more)))
    due = {
        domain
        for domain in _managed(shared, len(stored))
        if schedule.find_due_work(domain, now, RenewalRule(timedelta(days=before), ari)) is not None
    }
    assert due <= set(candidates)
    assert all(domain.deleted_at is None for domain in candidates)
    ends = [None if current is None else current.not_after for current in map(_current, candidates)]
    known = [end for end in ends if end is not None]
    assert ends == sorted(known) + [None] * (len(ends) - len(known))


@given(stored=_many, now=_now, within=st.sampled_from((0, 1, DAY, 7 * DAY)))
@settings(max_examples=50, deadline=None)
def test_expiring_within_uses_the_expiry_that_list_shows(
    shared: Store, shared_backend: Backend, stored: list[Facts], now: datetime, within: int
) -> None:
    _refill(shared_backend, stored)
    length = timedelta(seconds=within)
    expected = {
        domain
        for domain in _managed(shared, len(stored))
        if (current := _current(domain)) is not None and current.not_after <= now + length
    }
    assert set(shared.domains(Query(expiring_within=length), now)) == expected


@pytest.mark.parametrize("state", ["nothing", "owed", "served", "renewed"])
def test_sql_status_agrees_for_facts_that_the_store_wrote(store: Store, clock: Clock, state: str) -> None:
    for number, code in enumerate((None, *FINDINGS)):
        domain = store.add_domain(_name(number), (), Source.C4)
        if state != "nothing":
            domain = issue(store, domain, days=10)
        if state in ("served", "renewed"):
            domain = serve(store, domain)
        if state == "renewed":
            domain = issue(store, domain, days=20)
        store.record_finding(domain, None if code is None else finding(code))
    for _ in range(3):
        derived = {
            domain: derive_status(domain, clock()).status for domain in store.domains(Query(), clock())
        }
        assert store.count_by_status(clock()) == Counter(derived.values())
        for status in Status:
            listed = store.domains(Query(statuses=(status,)), clock())
            assert list(listed) == [domain for domain, its in derived.items() if its is status]
        due = {
            domain
            for domain in derived
            if schedule.find_due_work(domain, clock(), RenewalRule(WEEK)) is not None
        }
        assert due <= set(store.candidates(clock(), WEEK))
        clock.move(days=10)


def test_query_filters_and_limits_domains(store: Store, clock: Clock) -> None:
    for name, source in (("b.test", Source.C4), ("a.test", Source.TEXT), ("c.test", Source.C4)):
        store.add_domain(name, (), source)
        clock.move(hours=-1)
    gone = store.delete_domain(store.domain("c.test"))

    def names(query: Query) -> list[str]:
        return [domain.name for domain in store.domains(query, clock())]

    assert names(Query()) == ["a.test", "b.test"]
    assert names(Query(sort=Sort.CREATED)) == ["a.test", "b.test"]
    assert names(Query(source=Source.C4)) == ["b.test"]
    assert names(Query(limit=1)) == ["a.test"]
    assert names(Query(statuses=(Status.SUCCESS, Status.FAILURE))) == []
    assert list(store.domains(Query(deleted=True), clock())) == [gone]


def test_domains_without_expiry_are_sorted_last(store: Store, clock: Clock) -> None:
    for name, days in (("a.test", 30), ("b.test", 10), ("c.test", None)):
        domain = store.add_domain(name, (), Source.C4)
        if days is not None:
            serve(store, issue(store, domain, days=days))
    by_expiry = store.domains(Query(sort=Sort.EXPIRES), clock())
    assert [domain.name for domain in by_expiry] == ["b.test", "a.test", "c.test"]
