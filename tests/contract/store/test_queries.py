"""Queries: domains are read in blocks, as they were written, and in the requested order."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.cli.output import json_shapes
from sslctl.rules.model import (
    Caution,
    Certificate,
    CertificateSummary,
    Domain,
    DomainSummary,
    Finding,
    Installed,
    Leaf,
    RenewalInfo,
    Source,
    State,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.name_pattern import NamePattern
from sslctl.rules.reasons import Code, Status
from sslctl.rules.remarks import NO_REMARKS, Remarks, Snooze
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query, Sort
from sslctl.store.sql.remarks import remark_columns
from sslctl.store.sql.values import names_text
from sslctl.text import clean, instant
from tests.support.fakes import START
from tests.support.store_backends import Backend, Sql
from tests.support.store_cases import finding, issue, serve

MANY = [f"{number * 7919 % 1200:05}.test" for number in range(1200)]

# Whole values, written into the tables column by column.

_instants = st.builds(
    lambda seconds: START + timedelta(seconds=seconds), st.integers(-2_000_000_000, 2_000_000_000)
)
_maybe = st.none() | _instants
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).map(
    clean
)  # as they are stored
_names = st.lists(_texts, max_size=3).map(tuple)
_leaves = st.builds(Leaf, _names, _texts, _texts, _texts, _texts, _instants, _instants)
_renewals = st.builds(RenewalInfo, _instants, _instants, _instants, _instants, _texts)


def _certificates(number: int, version: int) -> st.SearchStrategy[Certificate]:
    return st.builds(
        Certificate,
        st.just(number * 2 + version),
        st.just(number),
        st.just(version),
        st.sampled_from(Source),
        _leaves,
        _instants,
        uploaded_at=_maybe,
        verified_at=_maybe,
        replaced_at=_maybe,
        revoked_at=_maybe,
        renewal_info=st.none() | _renewals,
    )


_installed = st.builds(Installed, st.sampled_from(Source), _texts, _instants, st.sampled_from(State))
_unconfirmed = st.builds(
    Unconfirmed, st.sampled_from(Code), _texts, _instants, _instants, tries=st.integers(1, 9)
)
_suspicions = st.builds(Suspicion, st.sampled_from(Code), _texts, _texts, _instants, _instants)
_cautions = st.builds(Caution, st.sampled_from(Code), _texts, _texts, _instants)
_snoozes = st.builds(
    Snooze,
    _instants,
    st.sampled_from(Status),
    st.frozensets(st.sampled_from(Code), max_size=3),
    st.booleans(),
)
_remarks = st.just(NO_REMARKS) | st.builds(Remarks, _texts, _texts, _texts, st.none() | _snoozes)
_PARTS = ("foreign", "unconfirmed", "suspicion", "caution")


@st.composite
def _domains(draw: st.DrawFn, number: int) -> Domain:
    wanted, other = draw(st.none() | _certificates(number, 1)), draw(_certificates(number, 2))
    return Domain(
        number,
        f"{number}.test",
        draw(_names),
        draw(st.sampled_from(Source)),
        draw(_instants),
        draw(_maybe),
        draw(_maybe),
        draw(
            st.none()
            | st.builds(
                Finding,
                st.sampled_from(Code),
                _texts,
                _texts,
                _instants,
                _maybe,
                tries=st.integers(0, 9),
            )
        ),
        wanted,
        draw(st.sampled_from((None, wanted, other))),
        draw(st.none() | _installed),
        draw(st.none() | _unconfirmed),
        draw(st.none() | _suspicions),
        draw(st.none() | _cautions),
        draw(_maybe),
        draw(_maybe),
        draw(_texts),
        draw(st.integers(0, 9)),
        draw(_texts),
        draw(_remarks),
    )


_fleets = st.integers(1, 6).flatmap(lambda size: st.tuples(*map(_domains, range(1, size + 1))))


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    return names_text(value) if isinstance(value, tuple) else value


def _insert(sql: Sql, table: str, row: dict[str, object]) -> None:
    sql(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - ours
        [_stored(value) for value in row.values()],
    )


def _plain(value: object, *, without: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        field.name: getattr(value, field.name)
        for field in fields(value)  # type: ignore[arg-type]
        if field.name not in without
    }


def _put(sql: Sql, domain: Domain) -> None:
    row = _plain(
        domain, without=("finding", "wanted", "serving", "c4_customer", "remarks", "choice", *_PARTS)
    )
    row |= {"customer": domain.c4_customer, **remark_columns(domain.remarks)}
    for part in _PARTS:
        value = getattr(domain, part)
        row |= {f"{part}_{name}": one for name, one in (_plain(value) if value else {}).items()}
    if domain.finding is not None:
        found = _plain(domain.finding, without=("retry_at",))
        row |= {f"finding_{name}": value for name, value in found.items()}
        row["retry_at"] = domain.finding.retry_at
    _insert(sql, "domain", row)
    for certificate in {one.id: one for one in (domain.wanted, domain.serving) if one}.values():
        row = _plain(certificate, without=("leaf", "renewal_info")) | _plain(certificate.leaf)
        if certificate.renewal_info is not None:
            info = _plain(certificate.renewal_info)
            info["explanation"] = info.pop("explanation_url")
            row |= {f"ari_{name}": value for name, value in info.items()}
        _insert(sql, "certificate", {**row, "pem": "", "chain_pem": "", "sealed_key": b""})
    for place, one in (("wanted_id", domain.wanted), ("serving_id", domain.serving)):
        sql(f"UPDATE domain SET {place} = ? WHERE id = ?", (one and one.id, domain.id))  # noqa: S608 - ours


def _summary(domain: Domain) -> DomainSummary:
    def of(one: Certificate | None) -> CertificateSummary | None:
        if one is None:
            return None
        return CertificateSummary(one.version, one.source, one.leaf.fingerprint, one.leaf.not_after)

    return DomainSummary(
        domain.name,
        domain.sans,
        domain.source,
        domain.created_at,
        domain.deleted_at,
        domain.checked_at,
        domain.finding,
        of(domain.wanted),
        of(domain.serving),
        domain.foreign,
        domain.unconfirmed,
        domain.suspicion,
        domain.caution,
        domain.observed_at,
        domain.c4_customer,
        domain.remarks,
    )


@given(fleet=_fleets)
@settings(max_examples=150, deadline=None)
def test_domains_are_read_as_they_were_written(
    shared: Store, shared_backend: Backend, fleet: tuple[Domain, ...]
) -> None:
    with shared_backend.sql() as sql:
        sql("UPDATE domain SET wanted_id = NULL, serving_id = NULL", ())
        for table in ("certificate", "domain"):
            sql(f"DELETE FROM {table}", ())  # noqa: S608 - ours
        for domain in fleet:
            _put(sql, domain)
    for domain in fleet:
        assert shared.find(domain.name) == domain
        known = {one.id: one for one in (domain.wanted, domain.serving) if one}
        assert {one.id: one for one in shared.certificates(domain)} == known
    assert tuple(shared.domains_named([domain.name for domain in fleet])) == fleet
    for deleted in (False, True):
        query, expected = Query(deleted=deleted), [each for each in fleet if bool(each.deleted_at) is deleted]
        assert list(shared.domains(query, START)) == expected
        listing = shared.listing(query, START)
        assert listing.number == len(expected)
        summaries = list(listing.domains)
        assert summaries == [_summary(domain) for domain in expected]
        shapes = [json_shapes.domain(summary, START) for summary in summaries]
        assert shapes == [json_shapes.domain(domain, START) for domain in expected]


# In blocks


@pytest.fixture
def fleet(store: Store) -> Store:
    """A store with more domains than one block, added in another order than that of their names."""
    store.add_domains(MANY)
    return store


@pytest.mark.parametrize("sort", Sort)
def test_each_domain_is_yielded_once_and_in_order(fleet: Store, sort: Sort) -> None:
    names = [domain.name for domain in fleet.domains(Query(sort=sort), START)]
    assert names == sorted(MANY)
    listing = fleet.listing(Query(sort=sort), START, measure_names=True)
    assert [domain.name for domain in listing.domains] == names
    assert (listing.number, listing.longest_name) == (1200, 10)
    assert [domain.name for domain in fleet.candidates(START, timedelta(days=7))] == names
    assert [domain.name for domain in fleet.domains(Query(limit=700), START)] == names[:700]
    # The second half is read from the end.
    for offset in (1000, 1150, 1199, 1200):
        page = fleet.listing(Query(sort=sort, limit=60, offset=offset), START).domains
        assert [domain.name for domain in page] == names[offset : offset + 60]


@pytest.mark.parametrize("sort", [Sort.URGENCY, Sort.EXPIRES, Sort.STATUS])
def test_first_domains_by_expiry_are_those_of_the_whole_list(store: Store, sort: Sort) -> None:
    # Two expire at the same time, some have expired, some are in trouble, and one is not served.
    for place, days in enumerate((90, 30, 30, 31, -1, -20, 29, 8, 9, -40)):
        domain = issue(store, store.add_domain(f"d{-place % 7}{place}.test", (), Source.C4), days=days)
        if place != 4:
            domain = serve(store, domain)
        if place % 4 == 3:
            store.record_finding(domain, finding())
        elif place != 4:
            store.record_finding(domain, None)
    everything = [domain.name for domain in store.domains(Query(sort=sort), START)]
    for limit in range(1, 12):
        page = [domain.name for domain in store.domains(Query(sort=sort, limit=limit), START)]
        assert page == everything[:limit]
        second = store.domains(Query(sort=sort, limit=limit, offset=2), START)
        assert [domain.name for domain in second] == everything[2 : 2 + limit]


@pytest.mark.parametrize("pattern", [None, NamePattern("test"), NamePattern("0*[0-8].test")], ids=str)
@pytest.mark.parametrize("sort", [Sort.URGENCY, Sort.EXPIRES, Sort.STATUS])
def test_last_domains_by_expiry_are_those_of_the_whole_list(
    fleet: Store, backend: Backend, sort: Sort, pattern: NamePattern | None
) -> None:
    """Each third one expires at the same time as another one; some have expired, are in trouble or were never issued."""
    domains = list(fleet.domains(Query(), START))
    with backend.sql() as sql:
        for place, domain in enumerate(domains):
            if place % 99:
                _put_certificate(sql, domain.id, place * 7919 % 800 - 30)
    for domain in domains[::150]:
        fleet.record_finding(domain, finding())
    everything = [domain.name for domain in fleet.domains(Query(sort=sort, pattern=pattern), START)]
    assert len(everything) == sum(pattern is None or pattern.matches((name,)) for name in MANY)
    for offset in range(0, 1250, 25):
        query = Query(sort=sort, pattern=pattern, limit=25, offset=offset)
        assert [each.name for each in fleet.domains(query, START)] == everything[offset : offset + 25]
    success = Query(sort=sort, pattern=pattern, statuses=(Status.SUCCESS,))
    succeeding = list(fleet.domains(success, START))
    for offset in (0, 30, 1000):
        page = list(fleet.domains(replace(success, limit=20, offset=offset), START))
        assert page == succeeding[offset : offset + 20]


def _put_certificate(sql: Sql, domain_id: int, days: int) -> None:
    start, end = instant(START - timedelta(days=60)), instant(START + timedelta(days=days))
    certificate = sql(
        "INSERT INTO certificate (domain_id, version, source, names, fingerprint, serial, issuer, key_type, not_before,"
        " not_after, pem, chain_pem, sealed_key, issued_at)"
        " VALUES (?, 1, 'c4', '[]', '', '', '', '', ?, ?, '', '', ?, ?) RETURNING id",
        (domain_id, start, end, b"\0", start),
    )[0][0]
    values = (certificate, certificate, domain_id)
    sql("UPDATE domain SET finding_code = NULL, wanted_id = ?, serving_id = ? WHERE id = ?", values)


@pytest.mark.parametrize("others", [0, 1, 9, 10, 99])
def test_longest_name_has_room_for_the_number_of_other_names(store: Store, others: int) -> None:
    assert store.listing(Query(), START, measure_names=True).longest_name == 0
    store.add_domain("longer.test", (), Source.C4)
    store.add_domain("a.test", tuple(f"s{number}.a.test" for number in range(others)), Source.C4)
    assert store.listing(Query(), START).longest_name == 0
    assert store.listing(Query(), START, measure_names=True).longest_name == len("longer.test")
    query = Query(source=Source.C4, pattern=NamePattern("a.test"))
    longest = store.listing(query, START, measure_names=True).longest_name
    assert longest == len(f"a.test +{others}" if others else "a.test")


def test_domain_is_read_when_its_turn_comes(fleet: Store) -> None:
    order = sorted(MANY)
    reading = iter(fleet.listing(Query(statuses=(Status.PENDING,)), START).domains)
    assert next(reading).name == order[0]
    fleet.delete_domain(fleet.domain(order[1100]))
    fleet.record_finding(fleet.domain(order[1101]), finding(Code.CNAME_ELSEWHERE))
    fleet.record_finding(fleet.domain(order[1102]), finding(Code.DNS_UNANSWERED))
    fleet.add_domain("zzz.test", (), Source.C4)
    rest = list(reading)
    # Domains that no longer match are skipped; new ones are not included.
    assert [domain.name for domain in rest] == order[1:1100] + order[1102:]
    assert rest[1099].finding == finding(Code.DNS_UNANSWERED)


def test_slow_reader_blocks_no_writer(fleet: Store, backend: Backend) -> None:
    """`sslctl list | less` may stay open for hours."""
    reading = iter(fleet.domains(Query(), START))
    next(reading)
    with backend.sql(patience=0) as sql:
        sql("UPDATE domain SET checked_at = '2026-11-23T04:00:00Z'", ())
    assert len(list(reading)) == 1199
