"""What people record about a domain: kept with its events, apart from the revision, and gone after a deletion."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.errors import Busy
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.remarks import NO_REMARKS, Remarks, Snooze
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from tests.support.fakes import START
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME, PATIENCE, finding, kinds

SNOOZE = Snooze(
    START + timedelta(days=9), Status.FAILURE, frozenset({Code.NXDOMAIN, Code.CAA_FORBIDS}), is_dark=True
)
FULL = Remarks("Acme & Söhne", 'said "soon"; \'); DROP TABLE domain; --', "alice", SNOOZE)


def details(store: Store, domain: Domain) -> list[tuple[str, str, str]]:
    return [(event.kind, event.detail, event.actor) for event in store.events(domain)][1:]


def test_remarks_are_read_as_they_were_recorded(store: Store, domain: Domain, backend: Backend) -> None:
    assert store.record_remarks(domain, FULL) == replace(domain, remarks=FULL)
    again = backend.open()
    assert again.domain(NAME).remarks == FULL
    assert [one.remarks for one in again.listing(Query(), START).domains] == [FULL]
    again.close()


def test_each_change_has_an_event_with_the_new_and_the_old_value(store: Store, domain: Domain) -> None:
    changed = store.record_remarks(domain, FULL)
    changed = store.record_remarks(changed, Remarks("globex", "mailed", "alice", None))
    store.record_remarks(changed, NO_REMARKS)
    actor = "tester (pytest)"
    snoozed = "until 2026-12-02 12:00 SGT, in Failure CAA_FORBIDS NXDOMAIN"
    assert details(store, domain) == [
        ("customer", '"Acme & Söhne"', actor),
        ("note", f'"{FULL.note}"', actor),
        ("assigned", '"alice"', actor),
        ("snoozed", snoozed, actor),
        ("customer", '"globex"; was "Acme & Söhne"', actor),
        ("note", f'"mailed"; was "{FULL.note}"', actor),
        ("snoozed", f"removed; was {snoozed}", actor),
        ("customer", 'removed; was "globex"', actor),
        ("note", 'removed; was "mailed"', actor),
        ("assigned", 'removed; was "alice"', actor),
    ]


def test_same_remarks_are_no_change(store: Store, domain: Domain, backend: Backend) -> None:
    changed = store.record_remarks(domain, FULL)
    before = backend.dump()
    assert store.record_remarks(changed, FULL) == changed
    assert backend.dump() == before


def test_remarks_do_not_disturb_a_pass_that_is_under_way(store: Store, domain: Domain) -> None:
    changed = store.record_remarks(domain, FULL)
    assert changed.revision == domain.revision
    assert store.record_finding(domain, finding(Code.NXDOMAIN)).remarks == FULL


def test_remark_that_somebody_else_changed_meanwhile_raises_busy(
    store: Store, domain: Domain, backend: Backend
) -> None:
    store.record_remarks(domain, Remarks(note="mailed Tuesday"))
    before = backend.dump()
    with pytest.raises(Busy, match="was changed by another sslctl meanwhile"):
        store.record_remarks(domain, Remarks(note="called Tuesday"))
    assert backend.dump() == before
    # What others changed beside it stays as they left it.
    assert store.record_remarks(domain, Remarks(assignee="bob")).remarks == Remarks(
        "", "mailed Tuesday", "bob"
    )


def test_one_of_two_people_who_change_a_note_at_once_is_refused(backend: Backend, store: Store) -> None:
    store.add_domain(NAME, (), Source.C4)
    for number in range(5):
        read = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            written = [pool.submit(_write_note, backend, f"{who} {number}", read) for who in ("alice", "bob")]
            notes = [each.result(PATIENCE) for each in written]
        assert len([note for note in notes if note]) == 1
        assert store.domain(NAME).remarks.note in notes


def _write_note(backend: Backend, note: str, read: threading.Barrier) -> str:
    """Write `note` over what two people have read before; return it, empty if that was refused."""
    opened = backend.open()
    domain = opened.domain(NAME)
    read.wait(PATIENCE)
    try:
        return opened.record_remarks(domain, replace(domain.remarks, note=note)).remarks.note
    except Busy:
        return ""
    finally:
        opened.close()


def test_deleted_domain_has_no_remarks_and_its_history_stays(store: Store, domain: Domain) -> None:
    changed = store.record_remarks(domain, FULL)
    deleted = store.delete_domain(changed)
    assert deleted.remarks == NO_REMARKS
    with pytest.raises(Busy):
        store.record_remarks(deleted, Remarks(note="late"))
    with pytest.raises(Busy):
        store.record_remarks(changed, NO_REMARKS)
    assert store.add_domain(NAME, (), Source.C4).remarks == NO_REMARKS
    assert kinds(store, domain)[:5] == ["added", "customer", "note", "assigned", "snoozed"]


def test_recorded_customer_counts_whatever_c4_names(store: Store) -> None:
    store.add_domains([NAME, "b.test", "c.test"])
    for name in (NAME, "b.test"):
        store.record_remarks(store.domain(name), Remarks(customer="typed"))
    store.record_customers({NAME: "acme", "c.test": "globex"})
    assert store.customers() == {NAME: "typed", "b.test": "typed", "c.test": "globex"}
    assert {name: store.domain(name).customer for name in store.customers()} == store.customers()
    assert {seen.name: seen.customer for seen in store.seen([NAME, "b.test", "c.test"])} == {
        NAME: "acme",
        "b.test": "",
        "c.test": "globex",
    }
    store.delete_domain(store.domain("b.test"))
    assert store.customers() == {NAME: "typed", "c.test": "globex"}


def test_forgotten_customer_of_c4_has_an_event_and_is_compared(store: Store, domain: Domain) -> None:
    store.record_customers({NAME: "acme"})
    read = store.domain(NAME)
    store.record_customers({NAME: "globex"})
    with pytest.raises(Busy):
        store.forget_customer(read)
    store.forget_customer(store.domain(NAME))
    assert store.customers() == {}
    assert details(store, domain) == [("customer", 'removed; C4 had named "globex"', "tester (pytest)")]


def test_snoozed_domains_are_found(store: Store) -> None:
    store.add_domains([NAME, "b.test", "c.test", "d.test"])
    for name in (NAME, "c.test", "b.test"):
        store.record_remarks(store.domain(name), FULL)
    store.delete_domain(store.domain("c.test"))
    store.record_remarks(store.domain("d.test"), replace(FULL, snooze=None))
    assert [domain.name for domain in store.snoozed()] == [NAME, "b.test"]
    assert store.snoozed()[0].remarks == FULL
