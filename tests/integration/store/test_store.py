"""The store keeps each step before the next begins, and a change with its event or neither.

It changes nothing on the word of somebody who knows old facts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sslctl.errors import Busy, NotManaged, StateError
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.status import queued_finding
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import START, Clock
from tests.support.store_cases import (
    ADVANCES,
    CERTIFICATE,
    CHAIN,
    CSR,
    NAME,
    Step,
    bundle,
    database_of,
    dump,
    finding,
    held,
    issue,
    kinds,
    leaf,
    look_into,
    open_order,
    open_store,
    private_key,
    serve,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the fixture `store`."""
    return database_of(tmp_path / "state")


@pytest.fixture
def domain(store: SqliteStore) -> Domain:
    """A domain that was just added."""
    return store.add_domain(NAME, (), Source.C4)


@pytest.fixture
def busy_domain(store: SqliteStore, domain: Domain) -> Domain:
    """A domain that is served and whose renewal is ordered: every method has something to do for it."""
    served = serve(store, issue(store, domain))
    open_order(store, served)
    return served


def again(path: Path) -> SqliteStore:
    """Open the same state a second time, as the next run would find it."""
    return open_store(path.parent)


def test_the_sqlite_store_is_a_store(store: SqliteStore) -> None:
    seam: Store = store
    assert list(seam.domains(Query(), START)) == []


# Domains


def test_a_new_domain_is_queued_and_due_at_once(store: SqliteStore, clock: Clock) -> None:
    domain = store.add_domain(NAME, ("b.test", "xn--bcher-kva.test"), Source.C4)
    assert domain.names == (NAME, "b.test", "xn--bcher-kva.test")
    assert (domain.finding, domain.checked_at, domain.created_at) == (queued_finding(clock()), None, clock())
    event = store.events(domain)[0]
    assert (event.kind, event.actor, event.at, event.version) == ("added", "tester (pytest)", clock(), None)
    assert event.detail == "source c4, other names: b.test, xn--bcher-kva.test"


def test_times_are_kept_in_utc_to_the_second(store: SqliteStore, clock: Clock) -> None:
    clock.at = START.astimezone(timezone(timedelta(hours=8))) + timedelta(microseconds=999_999)
    created_at = store.add_domain(NAME, (), Source.C4).created_at
    assert (created_at, created_at.tzinfo) == (START, UTC)


def test_a_managed_domain_is_not_added_again(store: SqliteStore, domain: Domain, path: Path) -> None:
    before = dump(path)
    with pytest.raises(Busy, match=r"a\.test was added by somebody else meanwhile"):
        store.add_domain(NAME, ("b.test",), Source.TEXT)
    assert dump(path) == before
    assert store.domain(NAME) == domain


def test_a_domain_that_was_never_added_is_not_managed(store: SqliteStore) -> None:
    assert store.find(NAME) is None
    with pytest.raises(NotManaged, match=r"^a\.test is not managed here$"):
        store.domain(NAME)


def test_delete_ends_management_and_keeps_the_history(
    store: SqliteStore, domain: Domain, clock: Clock
) -> None:
    served = serve(store, issue(store, domain))
    clock.move(days=1)
    deleted = store.delete_domain(served)
    assert (deleted.deleted_at, deleted.wanted, deleted.serving, deleted.finding) == (
        clock(),
        None,
        None,
        None,
    )
    assert store.find(NAME) == deleted
    assert list(store.domains(Query(), clock())) == []
    assert list(store.candidates(clock(), timedelta(days=365))) == []
    assert store.count_by_status(clock()) == {}
    with pytest.raises(NotManaged, match=r"^a\.test was deleted$"):
        store.domain(NAME)
    [version] = store.certificates(deleted)
    assert (version.verified_at, version.replaced_at) == (START, clock())
    assert store.bundle(version).private_key == private_key()
    assert kinds(store, deleted) == ["added", "issued", "uploaded", "serving", "deleted"]


def test_a_deleted_domain_comes_back_with_its_history(
    store: SqliteStore, domain: Domain, clock: Clock
) -> None:
    deleted = store.delete_domain(serve(store, issue(store, domain)))
    clock.move(days=1)
    back = store.add_domain(NAME, ("b.test",), Source.TEXT)
    assert (back.id, back.sans, back.source, back.created_at) == (deleted.id, ("b.test",), Source.TEXT, START)
    assert (back.deleted_at, back.wanted, back.serving, back.finding) == (
        None,
        None,
        None,
        queued_finding(clock()),
    )
    assert kinds(store, back)[-2:] == ["deleted", "added"]
    again = store.add_text_certificate(back.name, back.sans, bundle(), leaf())
    assert [version.version for version in store.certificates(again)] == [2, 1]


def test_what_is_wanted_of_a_domain_may_change(store: SqliteStore, domain: Domain, clock: Clock) -> None:
    served = store.record_finding(serve(store, issue(store, domain)), None)
    clock.move(days=1)
    amended = store.update_domain(served, ("b.test",), Source.TEXT)
    assert (amended.sans, amended.source, amended.finding) == (
        ("b.test",),
        Source.TEXT,
        queued_finding(clock()),
    )
    assert (amended.serving, amended.checked_at) == (served.serving, START)
    assert (
        store.events(amended)[-1].detail == "source text, other names: b.test; was source c4, no other names"
    )


# Findings


def test_a_finding_is_news_only_when_its_text_changed(
    store: SqliteStore, domain: Domain, clock: Clock
) -> None:
    for found in ("here", "here", "there"):
        clock.move(hours=1)
        domain = store.record_finding(domain, finding(found=found, at=clock()))
        assert (domain.finding, domain.checked_at) == (finding(found=found, at=clock()), clock())
    for _ in range(2):
        clock.move(hours=1)
        domain = store.record_finding(domain, None)
        assert (domain.finding, domain.checked_at) == (None, clock())
    told = [event.detail for event in store.events(domain) if event.kind == "found"]
    assert told == [
        "CNAME_ELSEWHERE: The CNAME does not point at the CDN: found here, wanted that.",
        "CNAME_ELSEWHERE: The CNAME does not point at the CDN: found there, wanted that.",
        "well",
    ]


def test_a_finding_that_waits_for_a_person_has_no_time(store: SqliteStore, domain: Domain) -> None:
    settled = store.record_finding(domain, finding(Code.C4_UNKNOWN_DOMAIN))
    assert settled.finding is not None
    assert settled.finding.retry_at is None


def test_queued_is_neither_a_check_nor_news(store: SqliteStore, domain: Domain, clock: Clock) -> None:
    checked = store.record_finding(domain, finding())
    before = kinds(store, checked)
    clock.move(hours=1)
    requeued = store.record_finding(checked, queued_finding(clock()))
    assert (requeued.finding, requeued.checked_at) == (queued_finding(clock()), START)
    assert kinds(store, requeued) == before


# Orders


def test_key_and_request_are_on_disk_before_the_order_is_placed(
    store: SqliteStore, domain: Domain, path: Path
) -> None:
    order = store.open_order(domain, (NAME, "b.test"), private_key(), CSR)
    assert (order.names, order.csr_pem, order.url, order.opened_at) == ((NAME, "b.test"), CSR, None, START)
    assert store.domain(NAME) == domain
    next_run = again(path)
    assert next_run.find_open_order(domain) == order
    assert next_run.order_key(order) == private_key()
    next_run.close()


def test_the_url_of_the_order_is_on_disk_as_soon_as_it_is_known(
    store: SqliteStore, domain: Domain, path: Path
) -> None:
    url = "https://ca.test/order/1"
    order = store.record_order_url(open_order(store, domain), url)
    next_run = again(path)
    assert order.url == url
    assert next_run.find_open_order(domain) == order
    assert [(event.kind, event.detail) for event in next_run.events(domain)][-1] == ("ordered", url)
    next_run.close()


def test_a_domain_has_one_open_order(store: SqliteStore, domain: Domain, path: Path) -> None:
    first = open_order(store, domain)
    with pytest.raises(Busy, match=r"an order for a\.test is open already"):
        open_order(store, domain)
    with look_into(path) as connection, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute(
            "INSERT INTO acme_order (domain_id, names, csr_pem, sealed_key, opened_at) SELECT domain_id, names, csr_pem,"
            " sealed_key, opened_at FROM acme_order"
        )
    assert store.find_open_order(domain) == first
    store.close_order(first, "came to nothing")
    assert open_order(store, domain).id != first.id


def test_another_domain_may_have_an_order_of_its_own(store: SqliteStore, domain: Domain) -> None:
    other = store.add_domain("b.test", (), Source.C4)
    assert open_order(store, domain).domain_id == domain.id
    assert open_order(store, other).domain_id == other.id


def _close(store: SqliteStore, domain: Domain) -> None:
    order = store.find_open_order(domain)
    assert order is not None
    store.close_order(order, "came to nothing")


def _keep(store: SqliteStore, domain: Domain) -> None:
    ADVANCES["add_issued_certificate"](store, domain)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize("end", [_close, _keep])
def test_of_a_closed_order_no_key_is_left_in_the_file(
    store: SqliteStore, path: Path, end: Callable[[SqliteStore, Domain], None], kind: str
) -> None:
    """Many orders, so that rows have moved between the pages of the file before their keys are wiped."""
    domains = [store.add_domain(f"{number}.test", (), Source.C4) for number in range(40)]
    for domain in domains:
        open_order(store, domain, private_key(kind))
    with look_into(path) as connection:
        sealed = [row[0] for row in connection.execute("SELECT sealed_key FROM acme_order")]
    assert all(key in path.read_bytes() for key in sealed)
    for domain in domains:
        end(store, domain)
    left = path.read_bytes()
    # Fernet tokens share their first bytes; any 60 later ones are a token's own.
    assert not [
        key for key in sealed for at in (60, len(key) // 2, len(key) - 60) if key[at : at + 60] in left
    ]


@pytest.mark.parametrize(
    "step",
    [
        lambda store, order: store.record_order_url(order, "https://ca.test/order/1"),
        lambda store, order: store.close_order(order, "again"),
        lambda store, order: store.order_key(order),
        lambda store, order: store.add_issued_certificate(
            store.domain(NAME), order, CERTIFICATE, CHAIN, leaf()
        ),
    ],
    ids=["record_order_url", "close_order", "order_key", "add_issued_certificate"],
)
def test_nothing_is_done_with_an_order_that_somebody_closed(
    store: SqliteStore, domain: Domain, path: Path, step: Callable[[SqliteStore, object], object]
) -> None:
    order = open_order(store, domain)
    store.close_order(order, "came to nothing")
    before = dump(path)
    with pytest.raises(Busy, match="the order was closed by another sslctl meanwhile"):
        step(store, order)
    assert dump(path) == before


# Certificates


def test_what_was_issued_is_kept_with_the_key_of_its_order(
    store: SqliteStore, domain: Domain, path: Path
) -> None:
    key = private_key("rsa")
    order = open_order(store, domain, key)
    facts = leaf(names=(NAME, "b.test"), serial="2a")
    kept = store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, facts)
    next_run = again(path)
    assert next_run.domain(NAME) == kept
    assert next_run.find_open_order(kept) is None
    version = held(kept)
    assert (version.leaf, version.source, version.version, version.issued_at) == (facts, Source.C4, 1, START)
    assert kept.serving is None
    found = next_run.bundle(version)
    assert (found.certificate, found.chain, found.private_key) == (CERTIFICATE, CHAIN, key)
    event = next_run.events(kept)[-1]
    assert (event.kind, event.detail, event.version) == ("issued", "serial 2a", 1)
    next_run.close()


def test_an_order_stays_open_with_its_key_when_its_certificate_cannot_be_kept(
    store: SqliteStore, domain: Domain
) -> None:
    """`add_issued_certificate` closes the order first; what fails after that takes it back."""
    order = open_order(store, domain)
    store.record_finding(domain, finding())
    with pytest.raises(Busy):
        store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, leaf())
    assert store.find_open_order(domain) == order
    assert store.order_key(order) == private_key()
    assert store.certificates(domain) == []


def test_versions_count_up_for_each_domain_by_itself(store: SqliteStore, domain: Domain) -> None:
    other = store.add_domain("b.test", (), Source.TEXT)
    domain = issue(store, domain)
    other = store.add_text_certificate(other.name, other.sans, bundle(), leaf())
    domain = store.add_text_certificate(domain.name, domain.sans, bundle(), leaf())
    domain = issue(store, domain)
    assert [(each.version, each.source) for each in store.certificates(domain)] == [
        (3, Source.C4),
        (2, Source.TEXT),
        (1, Source.C4),
    ]
    assert [each.version for each in store.certificates(other)] == [1]
    assert kinds(store, domain) == ["added", "issued", "changed", "pasted", "issued"]
    assert kinds(store, other) == ["added", "pasted"]


def test_each_step_of_an_upload_is_stamped_when_it_happens(
    store: SqliteStore, domain: Domain, clock: Clock, path: Path
) -> None:
    version = held(issue(store, domain))
    for step in (store.mark_uploading, store.mark_uploaded):
        clock.move(minutes=1)
        step(version)
    clock.move(minutes=1)
    served = store.mark_serving(store.domain(NAME), version, wanted=version)
    assert served.serving == served.wanted
    kept = held(served)
    minute = timedelta(minutes=1)
    assert (kept.uploaded_at, kept.verified_at, kept.replaced_at) == (
        START + 2 * minute,
        START + 3 * minute,
        None,
    )
    with look_into(path) as connection:
        assert connection.execute("SELECT uploading_at FROM certificate").fetchall() == [
            ("2026-11-23T04:01:00Z",)
        ]
    assert [(event.kind, event.version) for event in store.events(served)][-2:] == [
        ("uploaded", 1),
        ("serving", 1),
    ]


def test_the_old_certificate_is_replaced_when_the_new_one_is_served_and_not_before(
    store: SqliteStore, domain: Domain, clock: Clock
) -> None:
    first = serve(store, issue(store, domain))
    clock.move(days=83)
    renewed = issue(store, first)
    assert (held(renewed).version, renewed.serving) == (2, first.serving)
    assert store.certificates(renewed)[1].replaced_at is None
    serve(store, renewed)
    new, old = store.certificates(renewed)
    assert (new.verified_at, new.replaced_at, old.verified_at, old.replaced_at) == (
        clock(),
        None,
        START,
        clock(),
    )


def test_a_version_that_was_never_served_is_not_replaced(store: SqliteStore, domain: Domain) -> None:
    served = serve(store, issue(store, issue(store, domain)))
    assert [version.replaced_at for version in store.certificates(served)] == [None, None]
    store.delete_domain(served)
    assert [version.replaced_at for version in store.certificates(served)] == [START, None]


def test_a_certificate_that_is_put_back_is_no_longer_replaced(
    store: SqliteStore, domain: Domain, clock: Clock
) -> None:
    first = serve(store, issue(store, domain))
    old = held(first)
    second = serve(store, issue(store, first))
    clock.move(days=1)
    back = store.mark_serving(second, old, wanted=held(second))
    assert (held(back).id, back.serving and back.serving.id) == (held(second).id, old.id)
    assert [(each.version, each.replaced_at) for each in store.certificates(back)] == [
        (2, clock()),
        (1, None),
    ]
    assert kinds(store, back)[-1] == "serving"


def test_serving_the_same_as_before_is_no_news(store: SqliteStore, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    before = kinds(store, served)
    served = store.mark_serving(served, held(served), wanted=served.wanted)
    assert kinds(store, served) == before


def test_a_certificate_that_c4_lost_is_wanted_still(store: SqliteStore, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    lost = store.mark_not_serving(served, "C4 has no certificate")
    assert (lost.serving, held(lost).id) == (None, held(served).id)
    event = store.events(lost)[-1]
    assert (event.kind, event.detail, event.version) == ("not serving", "C4 has no certificate", 1)


@pytest.mark.parametrize("year", [1, 950, 9999])
def test_a_certificate_with_strange_dates_is_kept_as_it_is(
    store: SqliteStore, domain: Domain, year: int
) -> None:
    facts = replace(
        leaf(), not_before=datetime(1, 1, 1, tzinfo=UTC), not_after=datetime(year, 12, 31, tzinfo=UTC)
    )
    store.add_text_certificate(domain.name, domain.sans, bundle(), facts)
    assert held(store.domain(NAME)).leaf == facts


def test_a_revocation_is_stamped_and_told(store: SqliteStore, domain: Domain) -> None:
    domain = issue(store, domain)
    store.mark_revoked(held(domain))
    assert held(store.domain(NAME)).revoked_at == START
    assert (store.events(domain)[-1].kind, store.events(domain)[-1].version) == ("revoked", 1)


def test_the_history_can_be_written_to(store: SqliteStore, domain: Domain) -> None:
    store.record_event(domain, "key downloaded", "pem", 7)
    event = store.events(domain)[-1]
    assert (event.kind, event.detail, event.version, event.domain_id) == (
        "key downloaded",
        "pem",
        7,
        domain.id,
    )


# Compare-and-set


@pytest.mark.parametrize("step", [*ADVANCES.values(), open_order], ids=[*ADVANCES, "open_order"])
def test_old_facts_change_nothing(store: SqliteStore, domain: Domain, path: Path, step: Step) -> None:
    served = serve(store, issue(store, domain))
    if step is not open_order:
        open_order(store, served)
    stale = served
    store.record_finding(served, finding(Code.NXDOMAIN))
    before = dump(path)
    with pytest.raises(Busy, match=r"^a\.test was changed by another sslctl meanwhile$"):
        step(store, stale)
    assert dump(path) == before


@pytest.mark.parametrize("step", ADVANCES.values(), ids=ADVANCES)
def test_every_change_makes_what_was_known_before_old(
    store: SqliteStore, busy_domain: Domain, step: Step
) -> None:
    assert isinstance(step(store, busy_domain), Domain)
    with pytest.raises(Busy):
        store.record_finding(busy_domain, None)


@pytest.mark.parametrize("step", [step for name, step in ADVANCES.items() if name != "delete_domain"])
def test_what_a_change_gives_is_what_the_next_one_starts_from(
    store: SqliteStore, busy_domain: Domain, step: Step
) -> None:
    changed = step(store, busy_domain)
    assert changed == store.domain(NAME)
    assert isinstance(changed, Domain)
    assert store.record_finding(changed, None).revision == changed.revision + 1


def test_a_deleted_domain_cannot_be_changed_by_who_knew_it_before(store: SqliteStore, domain: Domain) -> None:
    store.delete_domain(domain)
    for known in (domain, replace(domain, revision=domain.revision + 1)):
        with pytest.raises((Busy, NotManaged)):
            store.record_finding(known, None)


# A change and its event


_STAMPS: dict[str, Step] = {
    "mark_uploaded": lambda store, domain: store.mark_uploaded(held(domain)),
    "mark_revoked": lambda store, domain: store.mark_revoked(held(domain)),
    "add_domain": lambda store, _: store.add_domain("b.test", (), Source.C4),
}
# Steps that tell something for a domain that is served: what was wanted is wanted still, so that is no news there.
_TOLD = {name: step for name, step in {**ADVANCES, **_STAMPS}.items() if name != "record_finding healthy"}


@pytest.mark.parametrize("step", _TOLD.values(), ids=_TOLD)
def test_a_change_whose_event_cannot_be_written_does_not_happen(
    store: SqliteStore, busy_domain: Domain, path: Path, step: Step
) -> None:
    # A certificate that is served already is served without an event; another one is not.
    known = store.mark_not_serving(busy_domain, "") if step is ADVANCES["mark_serving"] else busy_domain
    with look_into(path) as connection:
        connection.execute(
            "CREATE TRIGGER no_events BEFORE INSERT ON event BEGIN SELECT RAISE (ABORT, 'no more events'); END"
        )
    before = dump(path)
    with pytest.raises(StateError, match="no more events"):
        step(store, known)
    assert dump(path) == before
    with look_into(path) as connection:
        connection.execute("DROP TRIGGER no_events")
    step(store, known)
    assert dump(path) != before


@pytest.mark.parametrize("step", _TOLD.values(), ids=_TOLD)
def test_a_change_is_told_once(store: SqliteStore, busy_domain: Domain, path: Path, step: Step) -> None:
    known = store.mark_not_serving(busy_domain, "") if step is ADVANCES["mark_serving"] else busy_domain

    def told() -> int:
        with look_into(path) as connection:
            number: int = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        return number

    before = told()
    step(store, known)
    assert told() == before + 1
