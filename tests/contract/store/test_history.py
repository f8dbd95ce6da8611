"""The history: any edit without the key file is found, and the first event that it concerns."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.errors import StateError
from sslctl.rules.audit_chain import Chain, Head, mac_of
from sslctl.rules.model import Source
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from tests.support.fakes import START
from tests.support.history_cases import COLUMNS, Edit, audit, edit, rows, set_column, sql, write_history
from tests.support.store_backends import Backend, Sql
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    finding,
    processes,
    write_in_threads_and_acknowledge,
    write_some,
)


@pytest.fixture
def written(backend: Backend) -> Backend:
    """A state with seven events about two domains."""
    write_history(backend)
    return backend


def test_unchanged_history_is_verified(written: Backend) -> None:
    found = audit(written)
    assert (found.intact, found.broken, found.inherited, found.begun_at) == (7, "", 0, START)
    assert found.head == Head(7, str(rows(written)[-1][-1]))
    assert audit(written, found.head) == found


def test_empty_history_is_verified(backend: Backend) -> None:
    found = audit(backend)
    assert (found.intact, found.head, found.broken) == (0, None, "")


# Any single edit


def _other(value: object) -> object:
    return value + 100 if isinstance(value, int) else 1 if value is None else f"{value[:-1]}x"  # type: ignore[index]


def _single_edits(backend: Backend) -> Iterator[tuple[str, int, tuple[Edit, ...]]]:
    """Yield each edit with its name, and the number of unchanged events before it."""
    stored = rows(backend)
    put = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
    for place, row in enumerate(stored):
        # An event with a higher id moves to the end and leaves a gap.
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
    yield "another state", len(stored), (sql("UPDATE audit_chain SET state = ?", bytes(32)),)


def test_every_single_edit_is_found_at_its_event(written: Backend) -> None:
    saved = written.save()
    before, tried = rows(written), 0
    for name, place, edits in list(_single_edits(written)):
        written.restore(saved)
        edit(written, *edits)
        if name.startswith("no version") and before == rows(written):
            continue  # it had none
        found = audit(written)
        tried += 1
        assert found.broken, name
        assert found.intact == place, name
    assert tried > 130
    written.restore(saved)
    assert not audit(written).broken


def _forge(chain: Chain, *, encrypted_by: Keyring | None = None) -> Edit:
    """Recompute the whole chain with another key, and encrypt that key if a keyring is given."""

    def forge(run: Sql) -> None:
        state = chain.first()
        found = run(
            "SELECT event.id, domain_id, name, at, actor, kind, detail, version FROM event"
            " JOIN domain ON domain.id = domain_id ORDER BY event.id",
            (),
        )
        for record in found:
            state = chain.advance(state, record)
            run("UPDATE event SET mac = ? WHERE id = ?", (mac_of(state), record[0]))
        run("UPDATE audit_chain SET state = ?", (state,))
        if encrypted_by is not None:
            run("UPDATE audit_chain SET sealed = ?", (encrypted_by.encrypt(chain.to_json()),))

    return forge


def _other_chain(backend: Backend) -> Chain:
    found = audit(backend)
    return Chain(secrets.token_bytes(32), found.begun_at.isoformat(), found.inherited)


def test_chain_recomputed_with_another_key_is_found(written: Backend) -> None:
    edit(written, sql("UPDATE event SET actor = 'nobody'"), _forge(_other_chain(written)))
    assert (audit(written).intact, bool(audit(written).broken)) == (0, True)


def test_chain_key_encrypted_with_another_key_file_is_refused(written: Backend, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other.key")
    other.make()
    edit(written, _forge(_other_chain(written), encrypted_by=other))
    with pytest.raises(StateError, match="does not decrypt this database"):
        audit(written)


def test_another_secret_in_place_of_the_chain_key_is_refused(written: Backend) -> None:
    edit(written, sql("UPDATE audit_chain SET sealed = (SELECT sealed FROM key_check)"))
    with pytest.raises(StateError, match="the key of the audit trail is not one") as refused:
        audit(written)
    assert refused.value.hint is not None


def test_chain_without_its_key_is_not_begun_again(written: Backend) -> None:
    edit(written, sql("DELETE FROM audit_chain"))
    with pytest.raises(StateError, match="the audit trail has lost its key"):
        written.open()


def test_chain_begun_again_over_an_edited_history_is_found_by_a_noted_head(
    written: Backend,
) -> None:
    head = audit(written).head
    edit(written, sql("UPDATE event SET actor = 'nobody', mac = NULL"), sql("DELETE FROM audit_chain"))
    found = audit(written)
    assert (found.intact, found.inherited, found.broken) == (7, 7, "")
    assert "differs from the head 7:" in audit(written, head).broken


def test_event_written_after_a_cut_does_not_hide_it(written: Backend) -> None:
    edit(written, sql("DELETE FROM event WHERE id = 7"))
    store = written.open()
    store.add_domain("later.test", (), Source.C4)
    store.close()
    found = audit(written)
    assert (found.intact, found.broken[:8]) == (6, "event 7 ")


def test_older_database_in_its_place_is_found_by_a_noted_head(
    written: Backend,
) -> None:
    older = written.save()
    store = written.open()
    store.add_domain("later.test", (), Source.C4)
    head = store.verify_history().head
    store.close()
    assert head is not None
    written.restore(older)
    assert audit(written).broken == "", "nothing in the database itself shows it"
    assert audit(written, head).broken == "event 8, which was noted as a head, is missing"
    assert "differs from the head" in audit(written, replace(head, id=7)).broken


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_history_with_any_text_is_verified(new_backend: Callable[[], Backend], texts: list[str]) -> None:
    backend = new_backend()
    store = backend.open()
    domain = store.add_domain(NAME, (), Source.C4)
    for text in texts:
        store.record_event(domain, text, text[::-1])
    found = store.verify_history()
    store.close()
    backend.discard()
    assert (found.intact, found.broken) == (len(texts) + 1, "")


# Concurrent writers


def test_history_longer_than_a_block_is_verified(store: Store) -> None:
    names = [f"{number:04}.test" for number in range(2500)]
    assert store.add_domains(names) == []
    assert store.add_domains([*names[:5], "new.test"]) == names[:5]
    found = store.verify_history()
    assert (found.intact, found.broken) == (2501, "")
    assert [name for name, _ in store.audit_trail()] == [*names, "new.test"]
    last = store.last_event()
    assert list(store.audit_trail(after=last)) == []
    assert [name for name, _ in store.audit_trail(after=last - 1)] == ["new.test"]


def test_history_is_verified_after_threads_rolled_back_some_work(store: Store) -> None:
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


def test_history_is_verified_after_concurrent_processes(written: Backend) -> None:
    running = [processes().Process(target=write_some, args=(written, 15)) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(PATIENCE)
        assert process.exitcode == 0
    found = audit(written)
    assert (found.intact, found.broken) == (7 + 4 * 15 * 2, "")


def test_history_is_verified_after_a_kill_at_any_moment(written: Backend) -> None:
    for turn in range(4):
        here, there = processes().Pipe(duplex=False)
        process = processes().Process(target=write_in_threads_and_acknowledge, args=(written, there))
        process.start()
        there.close()
        for _ in range(10 * turn + 1):
            assert here.poll(PATIENCE)
            here.recv()
        process.kill()
        process.join(PATIENCE)
        assert audit(written).broken == ""
