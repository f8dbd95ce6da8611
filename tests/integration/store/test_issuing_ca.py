"""The CA of each certificate, and the budget of each CA."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import NO_LIMITS, Limit, LimitKind, Limits, Scope
from sslctl.rules.model import Domain, Source
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.recent_migrations import ISSUING_CA
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import START, Clock
from tests.support.store_cases import bundle, database_of, key_of, leaf, open_order, private_key
from tests.support.store_cases import issue as issue_from_first

FIRST, OTHER = "https://ca.test/directory", "https://other.test/directory"


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqliteStore]:
    """A store with two CAs; the other one allows one order in three hours."""
    limits = Limits(orders=Limit(1, timedelta(hours=3)))
    opened = SqliteStore(
        database_of(tmp_path),
        Keyring(key_of(tmp_path)),
        clock=clock,
        actor="tester (test)",
        limits={FIRST: NO_LIMITS, OTHER: limits},
        create=True,
    )
    yield opened
    opened.close()


def issue_from(store: SqliteStore, domain: Domain, ca: str) -> Domain:
    order = store.open_order(domain, domain.names, private_key(), "csr", ca=ca)
    assert order.ca == (ca or FIRST)
    store.record_order_url(order, "https://ca.test/order/1")
    return store.add_issued_certificate(domain, order, "certificate", "chain", leaf(names=domain.names))


def test_certificate_names_the_ca_of_its_order(store: SqliteStore) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    for ca in ("", OTHER):
        domain = issue_from(store, domain, ca)
    domain = store.add_text_certificate("a.test", (), bundle(), leaf(names=("a.test",)))
    assert [each.ca for each in store.certificates(domain)] == ["", OTHER, FIRST]


def test_each_ca_has_its_own_limits_and_knows_its_own_renewals(store: SqliteStore) -> None:
    names = [store.add_domain(f"{name}.test", (), Source.C4) for name in "abc"]
    issue_from(store, names[0], OTHER)
    assert not store.is_renewal(("a.test",))
    assert store.is_renewal(("a.test",), ca=OTHER)
    with pytest.raises(BudgetHeld) as held:
        store.require_budget(names[1], ("b.test",), ca=OTHER)
    assert held.value.scope == Scope(LimitKind.ORDERS)
    assert store.find_hold(names[1], ca=OTHER) is not None
    assert store.find_hold(names[1]) is None
    with pytest.raises(BudgetHeld):
        store.open_order(names[1], ("b.test",), private_key(), "csr", ca=OTHER)
    issue_from_first(store, names[1])
    open_order(store, names[2])


def test_pauses_and_breakers_of_the_cas_are_apart_and_lifted_together(store: SqliteStore) -> None:
    account, until = Scope(LimitKind.ACCOUNT), START + timedelta(hours=1)
    domain = store.add_domain("a.test", (), Source.C4)
    store.pause(account, until, "the CA asked for it", ca=OTHER)
    store.trip_breaker("down", ca=OTHER)
    assert (store.pauses(START), store.active_pause(START), store.is_breaker_open()) == ([], None, False)
    assert [(each.scope.kind, each.ca) for each in store.pauses(START, ca=OTHER)] == [
        (LimitKind.ACCOUNT, OTHER),
        (LimitKind.BREAKER, OTHER),
    ]
    store.require_ca(domain)
    with pytest.raises(BudgetHeld):
        store.require_ca(domain, ca=OTHER)
    store.reset_breaker()
    assert store.is_breaker_open(ca=OTHER)
    store.lift_pauses([account])
    store.reset_breaker(ca=OTHER)
    assert store.pauses(START, ca=OTHER) == []


def test_migration_finds_the_ca_of_older_certificates(
    store: SqliteStore, tmp_path: Path, clock: Clock
) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    for ca in (FIRST, OTHER, FIRST):
        domain = issue_from(store, domain, ca)
        clock.move(hours=4)
    store.add_text_certificate("a.test", (), bundle(), leaf(names=("a.test",)))
    alone = issue_from(store, store.add_domain("b.test", (), Source.C4), OTHER)
    statements = [each for each in ISSUING_CA.split(";") if "ADD COLUMN" not in each]
    with closing(sqlite3.connect(database_of(tmp_path), isolation_level=None)) as connection:
        connection.execute("UPDATE certificate SET ca = ''")
        # The orders of old certificates are deleted after a while.
        connection.execute("DELETE FROM acme_order_name")
        connection.execute("DELETE FROM acme_order WHERE domain_id = ?", (alone.id,))
        for statement in statements:
            connection.execute(statement)
    assert [each.ca for each in store.certificates(domain)] == ["", FIRST, OTHER, FIRST]
    assert [each.ca for each in store.certificates(alone)] == [""]
