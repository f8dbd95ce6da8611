"""The daily look by C4's inventory: what is as it was known is recorded, and the rest is looked at one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.control_plane import Installed, State, Unanswered
from sslctl.fleet import inventory_look
from sslctl.fleet.inventory_look import look_at_inventory
from sslctl.issuance.customers import NamedCustomers
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.listing_c4 import ListingC4
from tests.support.store_cases import finding

FLEET = [f"d{number:02}.example.com" for number in range(20)]
EARLIER = timedelta(days=1)

Look = Callable[[], list[str]]


@pytest.fixture
def c4(clock: Clock, store: SqliteStore) -> ListingC4:
    """A C4 with `FLEET`, which is managed and was looked at a day ago."""
    made = ListingC4(clock)
    for name in FLEET:
        made.create(name, "target.cdn.test")
    made.read_faults.append(lambda record: replace(record, customer="acme"))
    store.add_domains(FLEET)
    store.confirm_observations(FLEET, clock() - EARLIER)
    return made


@pytest.fixture
def look(store: SqliteStore, c4: ListingC4, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Look:
    """A function that looks, in blocks of a few domains."""
    monkeypatch.setattr(inventory_look, "_BLOCK", 3)
    return lambda: look_at_inventory(store, c4, NamedCustomers(store), clock(), most=4)


def looked_at(store: SqliteStore, clock: Clock) -> list[str]:
    found = store.domains_named(FLEET)
    return [domain.name for domain in found if domain.observed_at == clock()]


def test_domain_that_is_as_it_was_known_is_looked_at(look: Look, store: SqliteStore, clock: Clock) -> None:
    assert look() == []
    assert looked_at(store, clock) == FLEET
    assert set(store.customers()) == set(FLEET)


def test_domains_that_differ_come_in_the_order_of_the_last_looks(
    look: Look, store: SqliteStore, c4: ListingC4, clock: Clock
) -> None:
    c4.lacking = FLEET[:5]
    c4.place(FLEET[5], Installed(Source.TEXT, "ef" * 32, clock(), State.ACTIVE))
    store.confirm_observations(FLEET[:2], clock() - EARLIER / 2)
    assert look() == FLEET[2:6]
    assert looked_at(store, clock) == FLEET[6:]


def test_domain_that_was_never_looked_at_comes_first(look: Look, store: SqliteStore, c4: ListingC4) -> None:
    store.add_domains(["new.example.com"])
    c4.lacking = FLEET[:1]
    assert look() == ["new.example.com", FLEET[0]]


def test_list_that_ends_early_proves_nothing(
    look: Look, store: SqliteStore, c4: ListingC4, clock: Clock
) -> None:
    c4.ends_after = 10
    with pytest.raises(Unanswered):
        look()
    assert looked_at(store, clock) == []


def test_domain_in_discard_is_looked_at_if_the_list_lacks_it_and_asked_about_if_it_has_it(
    look: Look, store: SqliteStore, c4: ListingC4, clock: Clock
) -> None:
    for name in FLEET[:2]:
        store.record_finding(store.domain(name), finding(Code.C4_UNKNOWN_DOMAIN))
    c4.lacking = FLEET[:1]
    assert look() == [FLEET[1]]
    assert looked_at(store, clock) == [FLEET[0], *FLEET[2:]]
