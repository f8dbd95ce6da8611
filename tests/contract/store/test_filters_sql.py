"""Filters in SQL by owner, reason, warning, customer and name, and the order by urgency, agree with the pure rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sslctl.fleet.todo import find_todo
from sslctl.fleet.troubles import find_time_left, urgency_of
from sslctl.rules import name_pattern
from sslctl.rules.concerns import find_concerns
from sslctl.rules.model import Domain, Source
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Codes, Query, Sort
from sslctl.store.sql.values import names_text
from sslctl.text import instant
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend, Sql

_RULE = RenewalRule()
_DAY = 86_400
_ENDS = (-90 * _DAY, -_DAY, 0, 1, _DAY, 5 * _DAY, 7 * _DAY, 30 * _DAY, 30 * _DAY + 1, 60 * _DAY)
_SINCE = (-8 * _DAY, -7 * _DAY - 1, -7 * _DAY, -7 * _DAY + 1, 0)


@dataclass(frozen=True)
class Facts:
    """The stored facts of one domain; ends and times are in seconds from now."""

    source: Source
    deleted: bool
    code: Code | None
    wanted: int | None
    serving: int | None
    same: bool
    foreign: tuple[Source, int] | None
    unconfirmed: Code | None
    suspicion: Code | None
    caution: tuple[Code, int] | None
    customer: str
    recorded_customer: str | None = None
    assignee: str | None = None


_codes = st.sampled_from(Code)
_ends = st.none() | st.sampled_from(_ENDS)
_facts = st.builds(
    Facts,
    source=st.sampled_from(Source),
    deleted=st.sampled_from((False, False, False, True)),
    code=st.none() | st.sampled_from(FINDINGS) | st.just(Code.FOREIGN_TEXT),
    wanted=_ends,
    serving=_ends,
    same=st.booleans(),
    foreign=st.none() | st.tuples(st.sampled_from(Source), st.sampled_from(_ENDS)),
    unconfirmed=st.none() | _codes,
    suspicion=st.none() | _codes,
    caution=st.none()
    | st.tuples(_codes | st.sampled_from((Code.CNAME_MISSING, Code.NXDOMAIN)), st.sampled_from(_SINCE)),
    customer=st.sampled_from(("", "Acme", "o'neill")),
    recorded_customer=st.sampled_from((None, "Acme", "Beta")),
    assignee=st.sampled_from((None, "alice", "o'brien")),
)
_now = st.sampled_from((0, 999_999)).map(lambda micros: START + timedelta(microseconds=micros))


def _at(seconds: int) -> str:
    return instant(START + timedelta(seconds=seconds))


def _put(sql: Sql, number: int, facts: Facts) -> None:
    row: dict[str, object] = {
        "id": number,
        "name": f"{number:03}.test",
        "sans": "[]",
        "source": facts.source,
        "customer": facts.customer,
        "recorded_customer": facts.recorded_customer,
        "assignee": facts.assignee,
        "created_at": _at(-number),
        "deleted_at": _at(0) if facts.deleted else None,
    }
    if facts.code is not None:
        row |= {"finding_code": facts.code, "finding_found": "x", "finding_wanted": "y", "finding_at": _at(0)}
    if facts.foreign is not None:
        source, end = facts.foreign
        row |= {"foreign_source": source, "foreign_fingerprint": "ab", "foreign_not_after": _at(end)}
        row["foreign_state"] = "active"
    if facts.unconfirmed is not None:
        row |= {"unconfirmed_code": facts.unconfirmed, "unconfirmed_found": "", "unconfirmed_since": _at(0)}
        row |= {"unconfirmed_retry_at": _at(0), "unconfirmed_tries": 1}
    if facts.suspicion is not None:
        row |= {"suspicion_code": facts.suspicion, "suspicion_found": "x", "suspicion_wanted": "y"}
        row |= {"suspicion_since": _at(0), "suspicion_at": _at(0)}
    if facts.caution is not None:
        code, since = facts.caution
        row |= {
            "caution_code": code,
            "caution_found": "x",
            "caution_wanted": "y",
            "caution_since": _at(since),
        }
    sql(f"INSERT INTO domain ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))  # noqa: S608 - ours
    wanted = None if facts.wanted is None else _put_certificate(sql, number, 1, facts.wanted)
    serving = wanted if facts.same else None
    if facts.serving is not None and not facts.same:
        serving = _put_certificate(sql, number, 2, facts.serving)
    if facts.foreign is not None:
        serving = None
    sql("UPDATE domain SET wanted_id = ?, serving_id = ? WHERE id = ?", (wanted, serving, number))


def _put_certificate(sql: Sql, number: int, version: int, end: int) -> int:
    identity: int = sql(
        "INSERT INTO certificate (domain_id, version, source, names, fingerprint, serial, issuer, key_type, not_before,"
        " not_after, pem, chain_pem, sealed_key, issued_at)"
        " VALUES (?, ?, 'c4', '[]', '', '', '', '', ?, ?, '', '', ?, ?) RETURNING id",
        (number, version, _at(end - 90 * _DAY), _at(end), b"\0", _at(0)),
    )[0][0]
    return identity


# A certificate that is not served, which C4 activates; one that is held back and expires; and one that nothing was tried for.
_PLAIN = Facts(
    source=Source.C4, deleted=False, code=None, wanted=5 * _DAY, serving=None, same=True, foreign=None,
    unconfirmed=None, suspicion=None, caution=None, customer="",
)  # fmt: skip
_WAITING = [
    replace(_PLAIN, code=Code.C4_ACTIVATING, wanted=60 * _DAY, same=False),
    replace(_PLAIN, code=Code.BUDGET_HELD),
    _PLAIN,
    replace(_PLAIN, wanted=-_DAY),
    replace(_PLAIN, source=Source.TEXT, wanted=7 * _DAY),
]


@example(stored=_WAITING, now=START)
@given(stored=st.lists(_facts, min_size=4, max_size=12), now=_now)
@settings(max_examples=200, deadline=None)
def test_sql_filters_agree_with_verdicts_and_warnings(
    shared: Store, shared_backend: Backend, stored: list[Facts], now: datetime
) -> None:
    with shared_backend.sql(guarded=False) as sql:
        sql("UPDATE domain SET wanted_id = NULL, serving_id = NULL", ())
        for table in ("event", "acme_order", "certificate", "domain"):
            sql(f"DELETE FROM {table}", ())  # noqa: S608 - ours
        for number, facts in enumerate(stored, start=1):
            _put(sql, number, facts)
    managed = list(shared.domains(Query(), now))
    verdicts = {domain: derive_status(domain, now) for domain in managed}
    warnings = {domain: find_warnings(domain, now) for domain in managed}

    def check(query: Query, expected: list[Domain]) -> None:
        assert list(shared.domains(query, now)) == expected, query
        counted = shared.count_by_status(now, query)
        assert counted == Counter(verdicts[domain].status for domain in expected)

    for owner in Owner:
        expected = [
            domain
            for domain in managed
            if verdicts[domain].owner is owner or owner in {each.owner for each in warnings[domain]}
        ]
        check(Query(owners=(owner,)), expected)
    for code in Code:
        with_warning = [domain for domain in managed if code in {each.code for each in warnings[domain]}]
        check(Query(warnings=(code,)), with_warning)
        expected = []
        for domain in managed:
            verdict, doubt = verdicts[domain], domain.unconfirmed
            found = {verdict.code, verdict.also and verdict.also.code, doubt and doubt.code}
            if code in found or domain in with_warning:
                expected.append(domain)
        check(Query(reasons=(code,)), expected)
    _check_people(shared, managed, check)
    # Each concern is found once, today, when waiting endangers something, and when new domains are abandoned.
    for at in (now, now + timedelta(days=2), now + timedelta(days=31)):
        _check_todo(shared, managed, at)
    both = Query(owners=(Owner.CUSTOMER, Owner.C4), statuses=(Status.SUCCESS, Status.EXPIRED))
    check(
        both,
        [
            domain
            for domain in managed
            if verdicts[domain].status in both.statuses
            and not {verdicts[domain].owner, *(each.owner for each in warnings[domain])}.isdisjoint(
                both.owners
            )
        ],
    )
    # Facts are stored to the second.
    second = now.replace(microsecond=0)
    urgent = sorted(
        managed, key=lambda each: (urgency_of(find_time_left(each, second)), each.created_at, each.name)
    )
    assert list(shared.domains(Query(sort=Sort.URGENCY), now)) == urgent
    assert list(shared.domains(Query(sort=Sort.URGENCY, offset=3, limit=2), now)) == urgent[3:5]
    for limit in (1, 2, 4, 9):
        assert list(shared.domains(Query(sort=Sort.URGENCY, limit=limit), now)) == urgent[:limit]
    assert list(shared.domains(Query(sort=Sort.URGENCY, offset=3), now)) == urgent[3:]
    assert shared.count_by_codes(now) == Counter(_codes_of(domain, now) for domain in managed)
    with_owners = [domain for domain in managed if not _codes_of(domain, now).owners.isdisjoint(both.owners)]
    assert sum(shared.count_by_codes(now, replace(both, statuses=())).values()) == len(with_owners)


def _codes_of(domain: Domain, now: datetime) -> Codes:
    verdict, warnings = derive_status(domain, now), find_warnings(domain, now)
    blamed = verdict.also.code if verdict.also else verdict.code
    doubt = None if domain.unconfirmed is None else domain.unconfirmed.code
    return Codes(verdict.status, blamed, frozenset(each.code for each in warnings), doubt)


def _check_people(store: Store, managed: list[Domain], check: Callable[[Query, list[Domain]], None]) -> None:
    for customer in ("", "Acme", "Beta", "o'neill"):
        check(Query(customers=(customer,)), [each for each in managed if each.customer == customer])
    for who in ("", "alice", "o'brien"):
        check(Query(assignees=(who,)), [each for each in managed if each.remarks.assignee == who])
    some = Query(assignees=("", "alice"), customers=("Acme", ""))
    check(
        some,
        [
            each
            for each in managed
            if each.customer in some.customers and each.remarks.assignee in some.assignees
        ],
    )
    assert store.assignees() == sorted({each.remarks.assignee for each in managed} - {""})


def _check_todo(store: Store, managed: list[Domain], now: datetime) -> None:
    todo = find_todo(store, Query(), now, _RULE, most=None)
    found = [(task.name, task.code, task.owner) for group in todo.groups for task in group.worst]
    concerned = {
        each.name: find_concerns(each, now, _RULE) for each in managed if not is_abandoned(each, now)
    }
    assert sorted(found) == sorted(
        (name, concern.code, concern.owner) for name, concerns in concerned.items() for concern in concerns
    )
    assert todo.domains == sum(map(bool, concerned.values()))
    assert todo.hidden.abandoned == sum(is_abandoned(each, now) for each in managed)


def test_every_reason_has_an_owner_that_finds_it() -> None:
    assert {reason.owner for reason in REASONS.values()} == set(Owner)


# Names

_LABELS = ("shop", "a", "b-1", "xn--bcher-kva", "xn--fiqs8s", "xn--53h", "xn--rger-5qa", "example", "com")
_a_name = st.lists(st.sampled_from(_LABELS), min_size=2, max_size=3).map(".".join)
_pieces = st.sampled_from(
    (
        "*",
        "?",
        "[a-c]",
        "[!x]",
        "[xb]",
        ".",
        "-",
        "a",
        "b",
        "ü",
        "ä",
        "中",
        "国",
        "☕",
        "bücher",
        "shop",
        "xn--",
        "le.c",
    )
)
_patterns = st.lists(_pieces, min_size=1, max_size=5).map("".join)


@given(
    fleet=st.lists(
        st.tuples(_a_name, st.lists(_a_name, max_size=3)), max_size=12, unique_by=lambda each: each[0]
    ),
    typed=_patterns,
)
@settings(max_examples=300, deadline=None)
def test_sql_pattern_agrees_with_the_pattern(
    shared: Store, shared_backend: Backend, fleet: list[tuple[str, list[str]]], typed: str
) -> None:
    with shared_backend.sql(guarded=False) as sql:
        sql("UPDATE domain SET wanted_id = NULL, serving_id = NULL", ())
        for table in ("event", "acme_order", "certificate", "domain"):
            sql(f"DELETE FROM {table}", ())  # noqa: S608 - ours
        for number, (name, sans) in enumerate(fleet, start=1):
            sql(
                "INSERT INTO domain (id, name, sans, source, created_at) VALUES (?, ?, ?, 'c4', ?)",
                (number, name, names_text(sans), _at(0)),
            )
    pattern = name_pattern.parse(typed)
    expected = sorted(name for name, sans in fleet if pattern.matches((name, *sans)))
    found = shared.listing(Query(pattern=pattern), START)
    assert [domain.name for domain in found.domains] == expected
    assert found.number == len(expected)
    assert sum(shared.count_by_status(START, Query(pattern=pattern)).values()) == len(expected)
    assert [one.name for one in shared.domains(Query(pattern=pattern, limit=2), START)] == expected[:2]
    pending = Query(pattern=pattern, owners=(Owner.NOBODY,), statuses=(Status.PENDING,))
    assert [one.name for one in shared.domains(pending, START)] == expected


def test_pattern_finds_every_domain_of_many_blocks(store: Store, clock: Clock) -> None:
    store.add_domains([f"xn--bcher-kva{number:04}.test" for number in range(3)])
    names = [f"d{number:04}.acme.test" for number in range(1200)]
    store.add_domains(names)
    found = store.listing(Query(pattern=name_pattern.parse("d[0-9]*.acme.test")), clock())
    assert [domain.name for domain in found.domains] == names
