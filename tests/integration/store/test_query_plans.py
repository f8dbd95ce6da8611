"""Query plans: the queries of every tick and every order read indexes, not whole tables."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sslctl.rules.limits import LimitKind
from sslctl.rules.name_pattern import parse
from sslctl.store.interface.domains import Query
from sslctl.store.sql.budget import _TIMES
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import START


def test_queries_of_every_tick_read_indexes_only(store: SqliteStore) -> None:
    """A row of `certificate` fills a page: reading 100,000 pages that are not in memory takes many seconds."""
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    store.count_by_status(START)
    assert list(store.candidates(START - timedelta(days=1), timedelta(days=7))) == []
    connection.set_trace_callback(None)
    assert len(asked) == 2
    for sql in asked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert [step for step in plan if step in ("SCAN domain", "SCAN certificate")] == [], plan
        certificates = [step for step in plan if step.startswith(("SEARCH wanted", "SEARCH serving"))]
        in_use = [step for step in plan if "certificate_in_use" in step]
        assert (len(certificates), len(in_use)) == (2, 1)
        assert all("COVERING INDEX" in step for step in (*certificates, *in_use)), plan
    # Of most domains only the number is read: that there is no more to say of them, an index knows.
    counted = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert counted.count("SCAN domain USING COVERING INDEX domain_not_plain") == 2


def test_due_renewal_infos_are_found_by_an_index(store: SqliteStore) -> None:
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    store.renewal_infos_due(START, 9, ca="")
    connection.set_trace_callback(None)
    [sql] = asked
    steps = [str(row["detail"]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert any("certificate_by_poll" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step] == []


@pytest.mark.parametrize("kind", _TIMES, ids=str)
def test_orders_are_counted_by_an_index(store: SqliteStore, kind: LimitKind) -> None:
    plan = store._database.read(
        lambda row: str(row["detail"]),
        f"EXPLAIN QUERY PLAN {_TIMES[kind]} ORDER BY at DESC LIMIT 1 OFFSET 4",
        {"ca": "", "key": "a.test", "since": "2026-11-23T00:00:00Z", "ahead": "2026-12-23T00:00:00Z"},
    )
    assert [step for step in plan if step.startswith("SCAN")] == []


def test_dns_checks_due_are_found_by_indexes(store: SqliteStore) -> None:
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    assert list(store.dns_checks_due(START, timedelta(days=7), timedelta(days=14), 9)) == []
    connection.set_trace_callback(None)
    [sql] = asked
    steps = [str(row["detail"]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    read = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
    # In the order of the check, so that the limit ends the search; the rest are ranges, and rows by their ids.
    assert "SCAN domain USING INDEX domain_by_dns_check" in read
    assert any(step.startswith("SEARCH domain USING INDEX domain_by_caution") for step in read)
    # What expires soon is sorted by its domain (`held`) before the domains are read.
    assert any(step.startswith("SEARCH certificate USING COVERING INDEX certificate_in_use") for step in read)
    assert [step for step in read if step in ("SCAN domain", "SCAN certificate")] == []


def test_names_that_sql_cannot_compare_are_found_by_an_index(store: SqliteStore) -> None:
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    store.listing(Query(pattern=parse("www.*[1-3]7.example")), START)
    connection.set_trace_callback(None)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert plan[0] == "SCAN domain USING INDEX domain_by_other_names"


def test_cohorts_are_counted_in_the_order_of_the_file(store: SqliteStore) -> None:
    store.add_domains(["a.test"])
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    assert [cohort.count for cohort in store.cohorts()] == [1]
    connection.set_trace_callback(None)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert plan[0].startswith("SEARCH domain USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)")


def test_figures_read_domains_in_the_order_of_the_file_and_the_rest_by_index(store: SqliteStore) -> None:
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    store.expiries(date(2026, 11, 23), date(2027, 2, 20))
    store.orders(date(2026, 10, 25), date(2026, 11, 23))
    connection.set_trace_callback(None)
    expiries, orders = ([row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in asked)
    # In the order of an index each row would be on another page of the file; few domains have a foreign certificate.
    scans = [step for step in expiries if step.startswith("SCAN domain")]
    assert scans == ["SCAN domain", "SCAN domain USING INDEX domain_facts"]
    assert any(step.startswith("SEARCH held USING COVERING INDEX certificate_facts") for step in expiries)
    assert (
        orders[0] == "SEARCH acme_order USING COVERING INDEX acme_order_by_day (opened_at>? AND opened_at<?)"
    )
