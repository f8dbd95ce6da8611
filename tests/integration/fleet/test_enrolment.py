"""`sslctl add` of many names: the effect is the same as one by one, in few transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.errors import Busy, StateError
from sslctl.fleet import enrolment
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.status import queued_finding
from sslctl.store.sqlite.store import SqliteStore
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock
from tests.support.store_cases import bundle, database_of, finding, issue, leaf, look_into, open_store, serve

MANY = [f"{number:05}.test" for number in range(6000)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the fixture `store`."""
    return tmp_path / "state"


# The store


def test_enrol_many_records_new_domains_with_events_and_returns_the_known_names(
    store: SqliteStore, clock: Clock
) -> None:
    known = store.add_domain("b.test", ("c.test",), Source.TEXT)
    gone = store.delete_domain(store.add_domain("a.test", (), Source.C4))
    clock.move(days=1)
    assert store.add_domains(["z.test", "b.test", "y.test", "a.test"]) == ["b.test", "a.test"]
    assert store.find("b.test") == known
    assert store.find("a.test") == gone
    for name in ("z.test", "y.test"):
        new = store.domain(name)
        alone = store.add_domain(f"alone-{name}", (), Source.C4)
        assert replace(new, id=alone.id, name=alone.name) == alone
        [event], [its] = store.events(new), store.events(alone)
        assert replace(event, id=its.id, domain_id=its.domain_id) == its


def test_enrol_many_keeps_committed_batches_after_an_error_and_can_be_repeated(
    store: SqliteStore, folder: Path
) -> None:
    with look_into(database_of(folder)) as connection:
        connection.execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON domain WHEN NEW.name = '{MANY[5500]}'"
            " BEGIN SELECT RAISE (ABORT, 'broken'); END"
        )
    with pytest.raises(StateError, match="broken"):
        store.add_domains(MANY)
    assert store.count_by_status(START) == {"Pending": 5000}
    with look_into(database_of(folder)) as connection:
        connection.execute("DROP TRIGGER broken")
    assert store.add_domains(MANY) == MANY[:5000]
    assert store.count_by_status(START) == {"Pending": 6000}


def test_named_yields_domains_in_the_requested_order(store: SqliteStore) -> None:
    store.add_domains(MANY)
    gone = store.delete_domain(store.domain(MANY[3]))
    asked = ["never.test", *reversed(MANY)]
    given = list(store.domains_named(asked))
    assert [domain.name for domain in given] == asked[1:]
    assert gone in given
    assert list(store.domains_named([])) == []


# Equivalence with one by one


def _fail(store: SqliteStore, domain: Domain) -> None:
    store.record_finding(domain, finding(Code.CNAME_ELSEWHERE))


def _discard(store: SqliteStore, domain: Domain) -> None:
    store.record_finding(domain, finding(Code.C4_UNKNOWN_DOMAIN))


def _wait(store: SqliteStore, domain: Domain) -> None:
    store.record_finding(domain, finding(Code.DNS_UNANSWERED))


def _serve(store: SqliteStore, domain: Domain) -> None:
    store.record_finding(serve(store, issue(store, domain)), None)


def _paste(store: SqliteStore, domain: Domain) -> None:
    store.add_text_certificate(domain.name, ("other.test",), bundle(), leaf(names=domain.names))


def _delete(store: SqliteStore, domain: Domain) -> None:
    store.delete_domain(serve(store, issue(store, domain)))


def _extend(store: SqliteStore, domain: Domain) -> None:
    store.update_domain(domain, ("other.test",), Source.C4)


STATES: dict[str, Callable[[SqliteStore, Domain], None]] = {
    each.__name__.strip("_"): each for each in (_fail, _discard, _wait, _serve, _paste, _delete, _extend)
}


def _prepare(folder: Path, clock: Clock) -> SqliteStore:
    store = open_store(folder, clock)
    for name, bring_about in STATES.items():
        bring_about(store, store.add_domain(f"{name}.test", (), Source.C4))
    return store


@pytest.mark.parametrize("drop_sans", [False, True])
@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("requeue", [False, True])
def test_enrol_many_has_the_same_effect_as_enrolling_one_by_one(
    tmp_path: Path, clock: Clock, *, drop_sans: bool, new: bool, requeue: bool
) -> None:
    one_by_one, together = (_prepare(tmp_path / name, clock) for name in ("one", "many"))
    clock.move(hours=1)
    names = ["fresh.test", *(f"{name}.test" for name in STATES)]
    for name in names:
        domain = enrolment.enrol(one_by_one, name, () if drop_sans else None, clock(), new=new)
        if requeue:
            enrolment.queue(one_by_one, domain, clock())
    intake = enrolment.enrol_many(together, names, clock(), drop_sans=drop_sans, new=new, requeue=requeue)
    # "fresh" is new, and "delete" was taken back.
    assert (intake.added, intake.already_managed, intake.refused) == (2, len(names) - 2, {})
    for name in names:
        alone, among_many = one_by_one.domain(name), together.domain(name)
        assert replace(among_many, id=alone.id, wanted=None, serving=None) == replace(
            alone, wanted=None, serving=None
        )
        for mine, its in ((among_many.wanted, alone.wanted), (among_many.serving, alone.serving)):
            assert (mine and mine.version) == (its and its.version)
        history = [(event.kind, event.detail) for event in together.events(among_many)]
        assert history == [(event.kind, event.detail) for event in one_by_one.events(alone)]
    one_by_one.close()
    together.close()


def test_enrol_many_reports_a_claimed_domain_and_enrols_the_others(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    store.record_finding(store.add_domain("busy.test", (), Source.C4), finding(Code.CNAME_ELSEWHERE))
    other = open_store(folder, clock)
    other._owner = "elsewhere.test/1/1"
    other.claim([domain_claim("busy.test")], timedelta(hours=1))
    intake = enrolment.enrol_many(store, ["a.test", "busy.test", "b.test"], clock(), requeue=True)
    assert (intake.added, intake.already_managed) == (2, 0)
    assert isinstance(intake.refused["busy.test"], Busy)
    assert store.domain("busy.test").finding == finding(Code.CNAME_ELSEWHERE)
    assert store.domain("b.test").finding == queued_finding(clock())
    other.close()


# The command


def test_add_no_wait_of_a_long_list_prints_one_summary_line(cdn: Cdn) -> None:
    cdn.sslctl("add", MANY[7], "--no-wait")
    text = "\n".join(MANY)
    result = cdn.sslctl("add", "--no-wait", "--from-file", "-", stdin=text)
    assert result.exit_code == 0
    assert result.stderr == "sslctl: 5,999 of 6,000 domains were recorded; 1 was managed already\n"
    assert result.stdout == "The next ticks order the certificates.\n"
    again = cdn.sslctl("add", "--no-wait", "--from-file", "-", "--json", stdin=text)
    assert [domain["domain"] for domain in again.json["domains"]] == MANY
    assert {domain["reason"]["code"] for domain in again.json["domains"]} == {"QUEUED"}
    assert {domain["error"] for domain in again.json["domains"]} == {None}
    assert cdn.sslctl("daemon-tick", "--dry-run").stdout.count("\n") == 6001
    assert (cdn.c4.requests, cdn.zone.queries, cdn.issuer.orders) == ((), [], [])


def test_add_no_wait_of_a_short_list_prints_each_domain(cdn: Cdn) -> None:
    result = cdn.sslctl("add", "--no-wait", *MANY[:3])
    assert result.stdout.count("Pending QUEUED") == 3


def test_add_no_wait_of_a_long_list_exits_with_0_although_one_domain_is_in_emergency(cdn: Cdn) -> None:
    store = cdn.app().store
    owed = issue(store, store.add_domain("owed.test", (), Source.C4))
    store.record_finding(owed, finding(Code.C4_REJECTED))
    store.close()
    assert cdn.sslctl("add", "--no-wait", "owed.test", *MANY[:200]).exit_code == 0
