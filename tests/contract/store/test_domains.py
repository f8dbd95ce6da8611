"""Domains: added, updated, deleted and added again, and what the last pass found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from sslctl.errors import Busy, NotManaged
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Caution, Domain, PassResult, Source, Suspicion
from sslctl.rules.reasons import Code
from sslctl.rules.status import queued_finding
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    NAME,
    bundle,
    finding,
    issue,
    kinds,
    leaf,
    private_key,
    serve,
)


def test_new_domain_is_queued_and_due_at_once(store: Store, clock: Clock) -> None:
    domain = store.add_domain(NAME, ("b.test", "xn--bcher-kva.test"), Source.C4)
    assert domain.names == (NAME, "b.test", "xn--bcher-kva.test")
    assert (domain.finding, domain.checked_at, domain.created_at) == (queued_finding(clock()), None, clock())
    event = store.events(domain)[0]
    assert (event.kind, event.actor, event.at, event.version) == ("added", "tester (pytest)", clock(), None)
    assert event.detail == "source c4, other names: b.test, xn--bcher-kva.test"


def test_times_are_stored_in_utc_to_the_second(store: Store, clock: Clock) -> None:
    clock.at = START.astimezone(timezone(timedelta(hours=8))) + timedelta(microseconds=999_999)
    created_at = store.add_domain(NAME, (), Source.C4).created_at
    assert (created_at, created_at.tzinfo) == (START, UTC)


def test_adding_a_managed_domain_raises_busy(store: Store, domain: Domain, backend: Backend) -> None:
    before = backend.dump()
    with pytest.raises(Busy, match=r"a\.test was added by another sslctl meanwhile"):
        store.add_domain(NAME, ("b.test",), Source.TEXT)
    assert backend.dump() == before
    assert store.domain(NAME) == domain


def test_domain_that_was_never_added_is_not_managed(store: Store) -> None:
    assert store.find(NAME) is None
    with pytest.raises(NotManaged, match=r"^a\.test is not managed here$"):
        store.domain(NAME)


def test_deletion_ends_management_and_keeps_the_history(store: Store, domain: Domain, clock: Clock) -> None:
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


def test_deleted_domain_comes_back_with_its_history(store: Store, domain: Domain, clock: Clock) -> None:
    deleted = store.delete_domain(serve(store, issue(store, domain)))
    clock.move(days=1)
    back = store.add_domain(NAME, ("b.test",), Source.TEXT)
    assert (back.id, back.sans, back.source, back.created_at) == (
        deleted.id,
        ("b.test",),
        Source.TEXT,
        clock(),
    )
    assert (back.deleted_at, back.wanted, back.serving, back.finding) == (
        None,
        None,
        None,
        queued_finding(clock()),
    )
    assert kinds(store, back)[-2:] == ["deleted", "added"]
    again = store.add_text_certificate(back.name, back.sans, bundle(), leaf())
    assert [version.version for version in store.certificates(again)] == [2, 1]


def test_update_changes_names_and_source_and_queues_the_domain(
    store: Store, domain: Domain, clock: Clock
) -> None:
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


def test_finding_writes_an_event_only_if_its_text_changed(store: Store, domain: Domain, clock: Clock) -> None:
    for found in ("here", "here", "there"):
        clock.move(hours=1)
        domain = store.record_finding(domain, finding(found=found, at=clock()))
        assert (domain.finding, domain.checked_at) == (finding(found=found, at=clock()), clock())
    for _ in range(2):
        clock.move(hours=1)
        domain = store.record_finding(domain, None)
        assert (domain.finding, domain.checked_at) == (None, clock())
    details = [event.detail for event in store.events(domain) if event.kind == "found"]
    assert details == [
        "CNAME_ELSEWHERE: The CNAME does not point at the CDN: found here, wanted that.",
        "CNAME_ELSEWHERE: The CNAME does not point at the CDN: found there, wanted that.",
        "well",
    ]


def test_finding_that_waits_for_a_person_has_no_retry_time(store: Store, domain: Domain) -> None:
    settled = store.record_finding(domain, finding(Code.C4_UNKNOWN_DOMAIN))
    assert settled.finding is not None
    assert settled.finding.retry_at is None


def test_queued_finding_is_no_check_and_writes_no_event(store: Store, domain: Domain, clock: Clock) -> None:
    checked = store.record_finding(domain, finding())
    before = kinds(store, checked)
    clock.move(hours=1)
    requeued = store.record_finding(checked, queued_finding(clock()))
    assert (requeued.finding, requeued.checked_at) == (queued_finding(clock()), START)
    assert kinds(store, requeued) == before


def test_holders_are_the_managed_domains_that_have_a_name_as_another_one(store: Store) -> None:
    store.add_domain("b.test", ("www.test", "both.test"), Source.C4)
    store.add_domain("a.test", ("both.test",), Source.TEXT)
    store.delete_domain(store.add_domain("gone.test", ("left.test",), Source.C4))
    asked = ["www.test", "both.test", "left.test", "a.test", "ww.test"]
    assert store.holders(asked) == {"www.test": "b.test", "both.test": "a.test"}
    assert store.holders([]) == {}
    with pytest.raises(NotManaged, match=r"^www\.test is another name of the certificate of b\.test,"):
        store.domain("www.test")


RECORDS = (
    DnsRecord("CAA", "a.test", ('0 issue ";"',), ('0 issue "ca.test; accounturi=https://ca.test/1"',)),
    DnsRecord("A", "b.test", (), None),
    DnsRecord("AAAA", "b.test", ("2001:db8::1", "2001:db8::2"), ()),
)


def test_dns_records_are_stored_with_finding_suspicion_and_caution(store: Store, domain: Domain) -> None:
    found = replace(finding(), records=RECORDS)
    suspicion = Suspicion(Code.NXDOMAIN, "", "", START, START, RECORDS[1:])
    caution = Caution(Code.CAA_FORBIDS, "", "", START, RECORDS[:1])
    result = PassResult(found, None, suspicion, caution)
    assert store.record_result(domain, result).result == result
    (summary,) = store.listing(Query(), START).domains
    assert (summary.finding, summary.suspicion, summary.caution) == (found, suspicion, caution)


def test_dns_records_are_gone_with_their_finding(store: Store, domain: Domain) -> None:
    failing = store.record_finding(domain, replace(finding(), records=RECORDS))
    store.delete_domain(failing)
    assert store.add_domain(NAME, (), Source.C4).finding == queued_finding(START)
    failing = store.record_finding(store.domain(NAME), replace(finding(), records=RECORDS))
    assert store.record_result(failing, PassResult()).result == PassResult()


def test_domains_are_unwell_since_a_time_if_their_last_pass_ended_then_with_trouble(
    store: Store, clock: Clock
) -> None:
    earlier, failing, well, deleted, _never = (
        store.add_domain(f"{name}.test", (), Source.C4)
        for name in ("earlier", "failing", "well", "deleted", "never")
    )
    store.record_finding(earlier, finding())
    clock.move(minutes=5)
    store.record_finding(failing, finding())
    store.record_finding(serve(store, issue(store, well)), None)
    store.delete_domain(store.record_finding(deleted, finding()))
    assert [domain.name for domain in store.unwell_since(clock())] == ["failing.test"]
    assert len(store.unwell_since(START)) == 2
    assert store.unwell_since(clock() + timedelta(seconds=1)) == []
