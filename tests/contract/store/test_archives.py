"""Old history: what may go into an archive, and that nothing is deleted before its archive is sealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sslctl.errors import Busy, StateError
from sslctl.rules.audit_chain import Head
from sslctl.rules.history_seal import Seal
from sslctl.rules.model import Source
from sslctl.rules.revocation import RevocationReason
from sslctl.store.interface import Store
from sslctl.store.interface.archives import FIRST_ORDER
from sslctl.text import instant
from tests.support.archive_cases import KEEP, NAMES, certificates, prune, versions, write_years
from tests.support.fakes import START, Clock
from tests.support.history_cases import audit, edit, sql
from tests.support.store_backends import Backend
from tests.support.store_cases import bundle as pair
from tests.support.store_cases import issue, leaf, serve


@pytest.fixture
def years(store: Store, clock: Clock) -> Store:
    """A state with two years of history."""
    write_years(store, clock)
    return store


def old(store: Store, clock: Clock) -> list[int]:
    ids, _ = store.old_certificates(clock() - KEEP, 0, 1000)
    return list(ids)


def seal_of(store: Store, **changes: object) -> Seal:
    """Return the seal of an archive with the first ten events."""
    walk = store.walk_after(None)
    for record, mac in store.chained_events(0, 10):
        assert walk.take(record, mac) == ""
    seal = Seal(1, 0, 10, walk.state.hex(), "2026-11-23T04:00:00Z", "history-1", "0" * 64, 1, 10, 0, 0)
    return replace(seal, **changes)  # type: ignore[arg-type]


def test_certificates_are_old_once_they_expired_and_were_superseded_long_ago(
    years: Store, clock: Clock
) -> None:
    # Version 12 was issued 60 days ago. Version 8 was superseded 240 days ago and expired 210 days ago, version 9 150 days ago.
    wanted = [each.id for name in NAMES for each in certificates(years, name) if each.version <= 8]
    assert old(years, clock) == sorted(wanted)


def test_certificates_are_paged(years: Store, clock: Clock) -> None:
    found, after = list[int](), 0
    while True:
        ids, following = years.old_certificates(clock() - KEEP, after, 3)
        found += ids
        if following is None:
            break
        after = following
    assert found == old(years, clock)


def test_newest_version_of_a_dead_domain_is_never_old(store: Store, clock: Clock) -> None:
    store.delete_domain(serve(store, issue(store, store.add_domain("a.test", (), Source.C4))))
    clock.move(days=1000)
    assert old(store, clock) == []


def test_last_served_version_is_never_old(store: Store, clock: Clock) -> None:
    domain = serve(store, issue(store, store.add_domain("a.test", (), Source.C4)))
    domain = store.mark_not_serving(domain, "C4 has none")
    issue(store, domain)
    clock.move(days=1000)
    assert old(store, clock) == []
    store.mark_uploading(certificates(store, "a.test")[0])
    domain = store.domain("a.test")
    assert domain.wanted is not None
    store.mark_serving(domain, domain.wanted, wanted=domain.wanted)
    clock.move(days=100)
    assert old(store, clock) == [], "it was superseded just now"
    clock.move(days=100)
    assert old(store, clock) == [1]


def test_certificate_that_was_superseded_late_is_not_old(store: Store, clock: Clock) -> None:
    serve(store, issue(store, store.add_domain("a.test", (), Source.C4)))
    clock.move(days=1000)
    serve(store, issue(store, store.domain("a.test"), at=clock()))  # type: ignore[arg-type]
    clock.move(days=170)
    assert old(store, clock) == []


def test_orders_are_old_once_they_were_closed_long_ago(years: Store, clock: Clock) -> None:
    until = clock() - KEEP
    ids, last = years.old_orders(until, FIRST_ORDER, 1000)
    found = years.orders_to_archive(ids)
    assert len(found) == years.count_old_orders(until) == 20
    assert all(str(order["closed_at"]) <= instant(until) and "sealed_key" not in order for order in found)
    assert last is not None
    assert years.old_orders(until, last, 1000) == ([], None)
    # Two were opened in the same second.
    (first, second), place = years.old_orders(until, FIRST_ORDER, 2)
    (third,), _ = years.old_orders(until, (str(found[0]["opened_at"]), first), 1)
    assert (first, second, third) == (1, 2, 2)
    assert place is not None
    assert list(years.old_orders(until, place, 1)[0]) == [3]


def test_open_and_newest_order_are_never_old(store: Store, clock: Clock) -> None:
    for name in NAMES:
        domain = store.add_domain(name, (), Source.C4)
        store.open_order(domain, domain.names, "key", "csr")
    clock.move(days=1000)
    assert store.old_orders(clock(), FIRST_ORDER, 10)[0] == []
    domain = store.domain(NAMES[1])
    order = store.find_open_order(domain)
    assert order is not None
    store.close_order(order, "refused")
    clock.move(days=1000)
    assert store.old_orders(clock(), FIRST_ORDER, 10)[0] == []


def test_young_event_ends_what_is_old_and_a_wrong_clock_does_not(store: Store, clock: Clock) -> None:
    store.add_domain("a.test", (), Source.C4)
    clock.move(days=9000)
    store.add_domain("ahead.test", (), Source.C4)
    clock.move(days=-8800)
    for name in ("b.test", "c.test"):
        store.add_domain(name, (), Source.C4)
    until = clock() - KEEP
    assert store.find_young_event(0, 100, until) == (2, 3)
    assert store.find_young_event(0, 2, until) == (2, None)
    assert store.find_young_event(2, 100, until) == (0, 3)


# The seal


def test_events_are_deleted_only_below_a_seal(years: Store, backend: Backend) -> None:
    assert years.delete_archived_events(0, 100) is None
    with pytest.raises(Exception, match="never deleted"), backend.sql() as run:
        run("DELETE FROM event WHERE id = 1", ())
    years.seal_history(seal_of(years), [], [])
    assert [years.delete_archived_events(after, 6) for after in (0, 6, 10)] == [6, 10, None]
    assert years.delete_archived_events(0, 6) is None
    with pytest.raises(Exception, match="never deleted"), backend.sql() as run:
        run("DELETE FROM event WHERE id = 11", ())


def test_history_is_verified_and_shown_from_the_cut_on_at_each_moment(years: Store) -> None:
    whole = years.verify_history()
    years.seal_history(seal_of(years), [], [])
    for _ in range(4):
        found = years.verify_history()
        assert (found.broken, found.intact) == ("", whole.intact - 10 + 1)
        assert min(event.id for _, event in years.audit_trail()) == 11
        assert all(event.id > 10 for event in years.events(years.domain(NAMES[0])))
        years.delete_archived_events(0, 4)
    cut = years.history_cut()
    assert cut is not None
    assert (cut.id, cut.until) == (10, START.replace(hour=4))


def test_seal_is_an_event(years: Store) -> None:
    years.seal_history(seal_of(years), [], [])
    name, event = list(years.audit_trail())[-1]
    assert (name, event.kind) == (None, "history archived")
    assert "SHA-256 " + "0" * 64 in event.detail


def test_seal_does_not_follow_one_that_another_process_made(years: Store) -> None:
    seal = seal_of(years)
    years.seal_history(seal, [], [])
    with pytest.raises(Busy, match="another process archived"):
        years.seal_history(seal, [], [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history_seal SET cut = 11",
        "UPDATE history_seal SET until = '2020-01-01T00:00:00Z'",
        "UPDATE history_seal SET number = 2",
        "UPDATE history_seal SET sealed = (SELECT sealed FROM key_check)",
        "UPDATE history_seal SET sealed = (SELECT sealed FROM audit_chain)",
    ],
)
def test_changed_seal_is_refused(years: Store, backend: Backend, statement: str) -> None:
    years.seal_history(seal_of(years), [], [])
    edit(backend, sql(statement))
    with pytest.raises(StateError, match="seal of archive"):
        years.verify_history()


def test_events_without_their_seal_are_missing(years: Store, backend: Backend) -> None:
    years.seal_history(seal_of(years), [], [])
    years.delete_archived_events(0, 100)
    edit(backend, sql("DELETE FROM history_seal"))
    assert audit(backend).broken.startswith("event 11 (")


def test_history_cut_off_at_the_seal_is_found(years: Store, backend: Backend) -> None:
    seal = seal_of(years)
    years.seal_history(seal, [], [])
    state = bytes.fromhex(seal.state)[:16] + bytes(16)
    edit(backend, sql("DELETE FROM event WHERE id > 10"), sql("UPDATE audit_chain SET state = ?", state))
    assert audit(backend).broken == f"events after {seal.head} are missing"
    with backend.sql() as run:
        ((token,),) = run("SELECT sealed FROM history_seal", ())
    assert bytes.fromhex(seal.state) not in bytes(token), "whoever reads it could cut the history off there"


def test_head_at_the_cut_is_verified(years: Store) -> None:
    seal = seal_of(years)
    years.seal_history(seal, [], [])
    assert years.verify_history(seal.head).broken == ""
    assert "missing" in years.verify_history(Head(10, "0" * 32)).broken


def test_keys_rotate_encrypts_seals_again(years: Store, backend: Backend) -> None:
    years.seal_history(seal_of(years), [], [])
    with backend.sql() as run:
        before = run("SELECT sealed FROM history_seal", ())
    years.rotate_keys()
    with backend.sql() as run:
        assert run("SELECT sealed FROM history_seal", ()) != before
    assert years.seals() == [seal_of(years, state=years.seals()[0].state)]
    years.require_keys()


# The deletion


def test_archived_certificates_and_orders_are_deleted_with_what_belongs_to_them(
    years: Store, backend: Backend, clock: Clock
) -> None:
    ids = old(years, clock)
    for each in certificates(years, NAMES[0]):
        if each.id in ids[:3]:
            years.request_revocation(each, RevocationReason.SUPERSEDED, waits=False)
    orders, _ = years.old_orders(clock() - KEEP, FIRST_ORDER, 5)
    years.seal_history(seal_of(years), ids, orders)
    assert old(years, clock) == [], "they are in an archive"
    assert not set(orders) & set(years.old_orders(clock() - KEEP, FIRST_ORDER, 100)[0])
    assert [each for each, _ in years.archived_certificates(0, 3)] == ids[:3]
    assert [each for each, _ in years.archived_certificates(ids[2], 100)] == ids[3:]
    assert years.delete_archived_certificates(ids[:3]) == 3
    assert years.delete_archived_certificates(ids[3:]) == len(ids) - 3
    assert years.archived_certificates(0, 100) == []
    assert [years.delete_archived_orders(3) for _ in range(3)] == [3, 2, 0]
    assert versions(years) == {name: [9, 10, 11, 12] for name in NAMES}
    backend.require_intact()


def test_archived_certificate_that_is_served_again_stays(years: Store, clock: Clock) -> None:
    ids = old(years, clock)
    years.seal_history(seal_of(years), ids, [])
    domain = years.domain(NAMES[0])
    again = next(each for each in certificates(years, NAMES[0]) if each.id == ids[0])
    years.mark_serving(domain, again, wanted=domain.wanted)
    assert years.delete_archived_certificates(ids) == len(ids) - 1
    assert versions(years)[NAMES[0]] == [1, 9, 10, 11, 12]
    assert years.archived_certificates(0, 100) == []


def test_changed_certificate_is_not_archived(years: Store, backend: Backend, clock: Clock) -> None:
    edit(backend, sql("UPDATE certificate SET pem = 'other' WHERE id = 1"))
    with pytest.raises(StateError, match="not as it was stored"):
        years.certificates_to_archive(old(years, clock))


def test_pasted_pair_over_an_archived_version_is_withdrawn(store: Store, clock: Clock) -> None:
    issue(store, store.add_domain("a.test", (), Source.C4))
    store.add_text_certificate("a.test", (), pair(), leaf(days=900))
    clock.move(days=400)
    ids = old(store, clock)
    assert ids == [1]
    store.seal_history(seal_of_nothing(store), ids, [])
    assert store.delete_archived_certificates(ids) == 1
    domain = store.domain("a.test")
    assert domain.wanted is not None
    withdrawn = store.withdraw_pair(domain, domain.wanted, "refused")
    assert withdrawn is not None
    assert (withdrawn.wanted, withdrawn.source) == (None, Source.C4)


def seal_of_nothing(store: Store) -> Seal:
    walk = store.walk_after(None)
    return Seal(1, 0, 0, walk.state.hex(), "2026-11-23T04:00:00Z", "history-1", "0" * 64, 1, 0, 0, 0)


def test_order_whose_certificate_is_archived_makes_no_renewal_of_other_names(
    new_backend: Callable[[], Backend], clock: Clock, tmp_path: Path
) -> None:
    store = new_backend().open(clock)
    domain = serve(store, issue(store, store.add_domain("a.test", ("b.test",), Source.C4), at=clock()))  # type: ignore[arg-type]
    clock.move(days=300)
    domain = store.update_domain(store.domain("a.test"), (), Source.C4)
    serve(store, issue(store, domain, at=clock()))  # type: ignore[arg-type]
    clock.move(days=181)
    serve(store, issue(store, store.domain("a.test"), at=clock()))  # type: ignore[arg-type]
    assert not store.is_renewal(("a.test", "b.test"))
    prune(store, clock, tmp_path)
    assert versions_of(store) == [2, 3]
    assert not store.is_renewal(("a.test", "b.test"))
    assert store.is_renewal(("a.test",))
    store.close()


def versions_of(store: Store) -> list[int]:
    return [each.version for each in certificates(store, "a.test")][::-1]
