"""The history is append-only: what is edited in the file without the key file is found, and where it begins."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.errors import NotManaged, StateError
from sslctl.rules.audit_chain import Chain, mac_of
from sslctl.rules.limits import set_key
from sslctl.rules.model import Audit, Head, Source
from sslctl.rules.names import registered_domain
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.schema import APPLICATION_ID
from sslctl.store.sqlite.store import SqliteStore
from tests.support.cdn import Cdn
from tests.support.fakes import START
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    database_of,
    finding,
    held,
    issue,
    key_of,
    look_into,
    open_store,
    processes,
    serve,
    write_in_threads_and_tell,
    write_some,
    write_until_the_disk_is_full,
)

Edit = Callable[[sqlite3.Connection], object]
COLUMNS = ("id", "domain_id", "at", "actor", "kind", "detail", "version", "mac")
TRIGGERS = ("event_unchanged", "event_chained", "event_kept", "event_appended")


def write_history(folder: Path) -> None:
    """Write seven events about two domains."""
    store = open_store(folder)
    domain = store.add_domain(NAME, (), Source.C4)
    domain = serve(store, issue(store, domain))
    store.add_domain("b.test", ("c.test",), Source.C4)
    store.record_finding(store.domain("b.test"), finding())
    store.record_event(domain, "key downloaded", "pem", held(domain).version)
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    write_history(folder)
    return folder


def audit(folder: Path, noted: Head | None = None) -> Audit:
    store = open_store(folder)
    try:
        return store.verify_history(noted)
    finally:
        store.close()


def edit(folder: Path, *edits: Edit) -> None:
    """Do what somebody with the file and sqlite3 can do."""
    with look_into(database_of(folder)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER {trigger}")
        for each in edits:
            each(connection)


def sql(statement: str, *values: object) -> Edit:
    return lambda connection: connection.execute(statement, values)


def set_column(column: str, value: object, identity: object) -> Edit:
    return sql(f"UPDATE event SET {column} = ? WHERE id = ?", value, identity)  # noqa: S608 - a column of ours


def rows(folder: Path) -> list[tuple[object, ...]]:
    with look_into(database_of(folder)) as connection:
        return connection.execute(f"SELECT {', '.join(COLUMNS)} FROM event ORDER BY id").fetchall()  # noqa: S608 - ours


def test_an_untouched_history_is_whole(folder: Path) -> None:
    found = audit(folder)
    assert (found.intact, found.broken, found.inherited, found.begun_at) == (7, "", 0, START)
    assert found.head == Head(7, str(rows(folder)[-1][-1]))
    assert audit(folder, found.head) == found


def test_an_empty_history_is_whole(tmp_path: Path) -> None:
    found = audit(tmp_path)
    assert (found.intact, found.head, found.broken) == (0, None, "")


# Any single edit


def _other(value: object) -> object:
    return value + 100 if isinstance(value, int) else 1 if value is None else f"{value[:-1]}x"  # type: ignore[index]


def _single_edits(folder: Path) -> Iterator[tuple[str, int, tuple[Edit, ...]]]:
    """Give every edit with its name, and how many events before it are as they were."""
    stored = rows(folder)
    put = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
    for place, row in enumerate(stored):
        # An id that is moved to the end leaves a gap where it was.
        for column, value in zip(COLUMNS, row, strict=True):
            yield f"{column} of {place}", place, (set_column(column, _other(value), row[0]),)
        for column in ("version", "mac"):
            yield (
                f"no {column} of {place}",
                place,
                (set_column(column, None, row[0]),),
            )
        yield f"{place} deleted", place, (sql("DELETE FROM event WHERE id = ?", row[0]),)
        yield f"cut off from {place} on", place, (sql("DELETE FROM event WHERE id >= ?", row[0]),)
        if place:
            put_back = sql("UPDATE audit_chain SET state = ?", bytes.fromhex(str(stored[place - 1][-1])))
            cut = sql("DELETE FROM event WHERE id >= ?", row[0])
            yield f"cut off from {place} on, state put back", place, (cut, put_back)
        closed_up = sql("UPDATE event SET id = id - 1 WHERE id > ?", row[0])
        yield f"{place} deleted, closed up", place, (sql("DELETE FROM event WHERE id = ?", row[0]), closed_up)
        yield f"{place} again at the end", len(stored), (sql(put, 8, *row[1:]),)
        yield f"{place} again at the beginning", 0, (sql(put, 0, *row[1:]),)
        yield f"{place} again far below", 0, (sql(put, -(1 << 63), *row[1:]),)
    for one, other in combinations(range(len(stored)), 2):
        swapped = [
            sql("DELETE FROM event WHERE id IN (?, ?)", stored[one][0], stored[other][0]),
            sql(put, stored[one][0], *stored[other][1:]),
            sql(put, stored[other][0], *stored[one][1:]),
        ]
        yield f"{one} and {other} swapped", one, tuple(swapped)
    yield "all reversed", 0, (sql("UPDATE event SET id = -id"),)
    yield "another name", 0, (sql("UPDATE domain SET name = 'x.test' WHERE id = 1"),)
    yield (
        "names swapped",
        0,
        (
            sql("UPDATE domain SET name = 'x.test' WHERE id = 1"),
            sql("UPDATE domain SET name = ? WHERE id = 2", NAME),
            sql("UPDATE domain SET name = 'b.test' WHERE id = 1"),
        ),
    )
    yield "another state", len(stored), (sql("UPDATE audit_chain SET state = zeroblob(32)"),)


def test_every_single_edit_is_found_and_where_it_begins(folder: Path) -> None:
    whole = database_of(folder).read_bytes()
    before, tried = rows(folder), 0
    for name, place, edits in list(_single_edits(folder)):
        database_of(folder).write_bytes(whole)
        edit(folder, *edits)
        if name.startswith("no version") and before == rows(folder):
            continue  # it had none
        found = audit(folder)
        tried += 1
        assert found.broken, name
        assert found.intact == place, name
    assert tried > 130
    database_of(folder).write_bytes(whole)
    assert not audit(folder).broken


def _forge(chain: Chain, *, sealed_by: Keyring | None = None) -> Edit:
    """Compute the whole chain anew with another key, and seal that where a keyring is given."""

    def forge(connection: sqlite3.Connection) -> None:
        state = chain.first()
        found = connection.execute(
            "SELECT event.id, domain_id, name, at, actor, kind, detail, version FROM event"
            " JOIN domain ON domain.id = domain_id ORDER BY event.id"
        ).fetchall()
        for record in found:
            state = chain.advance(state, record)
            connection.execute("UPDATE event SET mac = ? WHERE id = ?", (mac_of(state), record[0]))
        connection.execute("UPDATE audit_chain SET state = ?", (state,))
        if sealed_by is not None:
            connection.execute("UPDATE audit_chain SET sealed = ?", (sealed_by.encrypt(chain.to_json()),))

    return forge


def _other_chain(folder: Path) -> Chain:
    found = audit(folder)
    return Chain(secrets.token_bytes(32), found.begun_at.isoformat(), found.inherited)


def test_a_chain_computed_anew_with_another_key_is_found(folder: Path) -> None:
    edit(folder, sql("UPDATE event SET actor = 'nobody'"), _forge(_other_chain(folder)))
    assert (audit(folder).intact, bool(audit(folder).broken)) == (0, True)


def test_a_chain_whose_key_is_sealed_with_another_key_file_is_found(folder: Path, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other.key")
    other.make()
    edit(folder, _forge(_other_chain(folder), sealed_by=other))
    with pytest.raises(StateError, match="does not open this database"):
        audit(folder)


def test_something_else_that_the_key_file_sealed_is_no_key_of_the_chain(folder: Path) -> None:
    edit(folder, sql("UPDATE audit_chain SET sealed = (SELECT sealed FROM key_check)"))
    with pytest.raises(StateError, match="the key of the audit trail is not one") as refused:
        audit(folder)
    assert refused.value.hint is not None


def test_a_chain_that_lost_its_key_is_not_begun_anew(folder: Path) -> None:
    edit(folder, sql("DELETE FROM audit_chain"))
    with pytest.raises(StateError, match="the audit trail has lost its key"):
        open_store(folder)


def test_a_chain_begun_anew_over_an_edited_history_says_so_and_a_noted_head_finds_it(folder: Path) -> None:
    head = audit(folder).head
    edit(folder, sql("UPDATE event SET actor = 'nobody', mac = NULL"), sql("DELETE FROM audit_chain"))
    found = audit(folder)
    assert (found.intact, found.inherited, found.broken) == (7, 7, "")
    assert "differs from the head 7:" in audit(folder, head).broken


def test_what_is_written_after_a_cut_does_not_hide_it(folder: Path) -> None:
    edit(folder, sql("DELETE FROM event WHERE id = 7"))
    store = open_store(folder)
    store.add_domain("later.test", (), Source.C4)
    store.close()
    found = audit(folder)
    assert (found.intact, found.broken[:8]) == (6, "event 7 ")


def test_an_older_file_in_the_place_of_this_one_is_found_by_a_noted_head(
    folder: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older.db"
    shutil.copy(database_of(folder), older)
    store = open_store(folder)
    store.add_domain("later.test", (), Source.C4)
    head = store.verify_history().head
    store.close()
    assert head is not None
    shutil.copy(older, database_of(folder))
    assert audit(folder).broken == "", "nothing in the file itself tells"
    assert audit(folder, head).broken == "event 8, which was noted as a head, is missing"
    assert "differs from the head" in audit(folder, replace(head, id=7)).broken


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE event SET {column} = {column} WHERE id = 3" for column in COLUMNS),  # noqa: S608 - ours
        "DELETE FROM event WHERE id = 3",
        "DELETE FROM event",
        "INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 3",
    ],
)
def test_the_database_itself_refuses_to_change_or_delete_an_event(folder: Path, statement: str) -> None:
    before = rows(folder)
    with (
        look_into(database_of(folder)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="an event is never"),
    ):
        connection.execute(statement)
    assert rows(folder) == before


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_whatever_an_event_tells_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    store = open_store(folder)
    domain = store.add_domain(NAME, (), Source.C4)
    for text in texts:
        store.record_event(domain, text, text[::-1])
    found = store.verify_history()
    store.close()
    assert (found.intact, found.broken) == (len(texts) + 1, "")


# Many at once


def test_many_more_events_than_are_read_at_a_time(store: SqliteStore) -> None:
    names = [f"{number:04}.test" for number in range(2500)]
    assert store.add_domains(names) == []
    assert store.add_domains([*names[:5], "new.test"]) == names[:5]
    found = store.verify_history()
    assert (found.intact, found.broken) == (2501, "")
    assert [name for name, _ in store.audit_trail()] == [*names, "new.test"]


def test_threads_that_share_commits_and_lose_some_work_leave_it_whole(store: SqliteStore) -> None:
    def work(thread: int) -> None:
        domain = store.add_domain(f"{thread}.test", (), Source.C4)
        for number in range(25):
            with suppress(ZeroDivisionError), store.transaction():
                store.record_event(domain, "tried", f"{number}")
                if number % 3 == 0:
                    raise ZeroDivisionError
            domain = store.record_finding(domain, finding(found=f"{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    found = store.verify_history()
    assert (found.intact, found.broken) == (8 * (1 + 25 + 16), "")


def test_processes_that_write_at_once_leave_it_whole(folder: Path) -> None:
    running = [processes().Process(target=write_some, args=(folder, 15)) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(PATIENCE)
        assert process.exitcode == 0
    found = audit(folder)
    assert (found.intact, found.broken) == (7 + 4 * 15 * 2, "")


def test_killed_at_any_moment_it_is_whole(folder: Path) -> None:
    for turn in range(4):
        here, there = processes().Pipe(duplex=False)
        process = processes().Process(target=write_in_threads_and_tell, args=(folder, there))
        process.start()
        there.close()
        for _ in range(10 * turn + 1):
            assert here.poll(PATIENCE)
            here.recv()
        process.kill()
        process.join(PATIENCE)
        assert audit(folder).broken == ""


def test_after_a_full_disk_it_is_whole(folder: Path) -> None:
    results = processes().Queue()
    process = processes().Process(target=write_until_the_disk_is_full, args=(folder, 200_000, results))
    process.start()
    acknowledged = results.get(timeout=PATIENCE)
    process.join(PATIENCE)
    found = audit(folder)
    assert (found.intact, found.broken) == (7 + len(acknowledged), "")


# Older databases


def _older(folder: Path, version: int) -> None:
    """Make a state of schema `version` with three events."""
    folder.mkdir(exist_ok=True)
    keyring = Keyring(key_of(folder))
    keyring.make()
    with look_into(database_of(folder)) as connection:
        connection.create_function("registered_domain", 1, registered_domain, deterministic=True)
        connection.create_function(
            "set_key_of", 1, lambda text: set_key(json.loads(text)), deterministic=True
        )
        for migration in MIGRATIONS[:version]:
            connection.executescript(migration)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("INSERT INTO key_check VALUES (1, ?)", (keyring.encrypt("sslctl"),))
        connection.execute(
            "INSERT INTO domain (name, sans, source, created_at) VALUES (?, '[]', 'c4', '2026-01-01T00:00:00Z')",
            (NAME,),
        )
        for number in range(3):
            connection.execute(
                "INSERT INTO event (domain_id, at, actor, kind, detail) VALUES (1, ?, 'root (pts/0)', 'found', ?)",
                (f"2026-01-0{number + 1}T00:00:00Z", f"{number}"),
            )


BEFORE = len(MIGRATIONS[: next(place for place, each in enumerate(MIGRATIONS) if "audit_chain" in each)])


@pytest.mark.parametrize("version", range(1, BEFORE + 1))
def test_the_events_of_an_older_database_are_taken_in(tmp_path: Path, version: int) -> None:
    _older(tmp_path, version)
    found = audit(tmp_path)
    assert (found.intact, found.inherited, found.begun_at, found.broken) == (3, 3, START, "")
    store = open_store(tmp_path)
    store.record_event(store.domain(NAME), "key downloaded", "pem")
    store.close()
    assert audit(tmp_path).intact == 4
    edit(tmp_path, sql("UPDATE event SET detail = 'x' WHERE id = 2"))
    assert (audit(tmp_path).intact, audit(tmp_path).broken[:8]) == (1, "event 2 ")


def test_an_older_database_without_its_key_file_is_read_and_begun_when_it_is_back(tmp_path: Path) -> None:
    _older(tmp_path, BEFORE)
    key = key_of(tmp_path).read_bytes()
    key_of(tmp_path).unlink()
    store = open_store(tmp_path)
    domain = store.domain(NAME)
    assert len(store.events(domain)) == 3
    with pytest.raises(StateError, match="has not begun"):
        store.verify_history()
    with pytest.raises(StateError, match=r"master\.key is missing"):
        store.record_finding(domain, finding())
    assert store.domain(NAME) == domain
    key_of(tmp_path).write_bytes(key)
    key_of(tmp_path).chmod(0o600)
    store.record_finding(domain, finding())
    found = store.verify_history()
    assert (found.intact, found.inherited, found.broken) == (4, 3, "")
    store.close()


# The commands


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain("shop.example.com")
    cdn.sslctl("add", "shop.example.com")
    cdn.clock.move(hours=1)
    cdn.sslctl("add", "other.example.com", "--no-wait")
    return cdn


def test_verify_says_that_all_is_whole_and_gives_the_head(shop: Cdn) -> None:
    found = shop.sslctl("audit", "verify", "--json")
    assert (found.exit_code, found.json["whole"], found.json["broken"]) == (0, True, None)
    head = found.json["head"]
    assert shop.sslctl("audit", "verify").stdout == (
        f"{found.json['events']} events unchanged (chained since 2026-11-23 12:00 SGT); head {head}\n"
    )
    shop.sslctl("add", "third.example.com", "--no-wait")
    assert shop.sslctl("audit", "verify", "--head", head).exit_code == 0


def test_verify_says_what_was_edited(shop: Cdn) -> None:
    edit(shop.folder / "state", sql("UPDATE event SET actor = 'nobody' WHERE id = 3"))
    result = shop.sslctl("audit", "verify")
    assert (result.exit_code, result.stdout) == (8, "")
    assert result.stderr.startswith("sslctl: error: the history was edited: event 3 (")
    assert "2 events before that" in result.stderr
    found = shop.sslctl("audit", "verify", "--json")
    assert (found.exit_code, found.json["whole"], found.json["events"]) == (8, False, 2)


def test_verify_says_that_a_noted_head_is_gone(shop: Cdn) -> None:
    result = shop.sslctl("audit", "verify", "--head", f"99:{'0' * 32}")
    assert (result.exit_code, "event 99, which was noted as a head, is missing" in result.stderr) == (8, True)
    assert shop.sslctl("audit", "verify", "--head", "99:0").exit_code == 2


def test_list_tells_who_did_what(shop: Cdn) -> None:
    events = shop.sslctl("audit", "list", "--json").json["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert {event["domain"] for event in events} == {"shop.example.com", "other.example.com"}
    only = shop.sslctl("audit", "list", "--domain", "SHOP.example.com", "--json").json["events"]
    assert [event["kind"] for event in only] == ["added", "ordered", "issued", "uploaded", "serving"]
    late = shop.sslctl("audit", "list", "--since", "2026-11-23 12:30").stdout
    assert [line.split()[-1] for line in late.splitlines()] == ["DETAIL", "names"]
    assert "other.example.com" in late
    assert shop.sslctl("audit", "list", "--actor", "(script)", "--json").json["events"] == events
    assert shop.sslctl("audit", "list", "--actor", "nobody").stdout == ""
    unknown = shop.sslctl("audit", "list", "--domain", "unknown.example.com")
    assert unknown.exit_code == NotManaged.exit_code
