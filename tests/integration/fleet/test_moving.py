"""A move of the state that is interrupted anywhere goes on when it is run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from sslctl.config.state import StateSection
from sslctl.errors import StateError
from sslctl.fleet.moving import Move
from sslctl.rules.limits import NO_LIMITS
from sslctl.store.configured import open_store as open_configured
from sslctl.store.configured import require_state
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.moving import find_tables
from sslctl.store.sqlite.waiting import Waiting
from tests.support.fakes import Clock
from tests.support.moving_cases import dump_without_moves, make_state
from tests.support.postgres import cluster
from tests.support.store_cases import database_of, finding, key_of, look_into, open_store

pytestmark = pytest.mark.postgres


class _Stopped(BaseException):
    """The process was stopped here."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StateSection]:
    """An empty database on a server, beside the files of the state."""
    name = cluster().new_database("template0")
    yield StateSection(tmp_path, url=cluster().url(name))
    cluster().drop(name)


def move(
    state: StateSection,
    to: StateSection,
    on_block: Callable[[str, str, int, int], None] = lambda *_: None,
    clock: Callable[[], datetime] | None = None,
) -> int:
    """Move the state; return how many rows were written."""
    keyring = Keyring(state.master_key_path)
    return Move(state, keyring, clock or Clock(), lambda _state: 0, on_block, "mover").run(to).written


def ends(folder: Path, server: StateSection, *, is_back: bool) -> tuple[StateSection, StateSection]:
    """Return where the state is, and where to move it: from the file in `folder` to `server`, or back from there, where it is moved first."""
    state = StateSection(folder)
    if not is_back:
        return state, server
    move(state, server)
    return server, StateSection(folder / "new", key_of(folder))


def stop_at(number: int) -> Callable[..., None]:
    """Return a function that stops the process when it is called for the time `number`."""
    calls = count()

    def stop(*_: object) -> None:
        if next(calls) == number:
            raise _Stopped

    return stop


def test_only_links_between_domains_and_certificates_are_filled_later() -> None:
    tables = {table.name: table for table in find_tables()}
    assert {name: set(table.late) for name, table in tables.items() if table.late} == {
        "domain": {"wanted_id", "serving_id"}
    }


def test_every_table_except_claims_is_moved(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with look_into(database_of(tmp_path)) as connection:
        found = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
    assert {table.name for table in find_tables()} == found - {"lease"}


@pytest.mark.parametrize("is_back", [False, True])
def test_move_that_is_stopped_at_each_block_goes_on(
    tmp_path: Path, server: StateSection, is_back: bool
) -> None:
    make_state(tmp_path)
    before = dump_without_moves(database_of(tmp_path))
    state, to = ends(tmp_path, server, is_back=is_back)
    written = 0
    for number in count():
        try:
            written += move(state, to, stop_at(number))
        except _Stopped:
            require_state(state)
            continue
        break
    # Each table is copied, then compared, also behind its last row; domains are copied once more for their links.
    assert number == 3 * len(find_tables()) + 1
    # The last run found every row in its place.
    assert written == 0
    if is_back:
        assert dump_without_moves(to.database_path) == before
    else:
        move(to, StateSection(tmp_path / "new", key_of(tmp_path)))
        assert dump_without_moves(tmp_path / "new" / "sslctl.db") == before


@pytest.mark.parametrize("is_back", [False, True])
def test_move_that_is_stopped_between_the_two_marks_is_finished(
    tmp_path: Path, server: StateSection, is_back: bool
) -> None:
    make_state(tmp_path)
    state, to = ends(tmp_path, server, is_back=is_back)
    stop, clock = stop_at(2), Clock()

    def stopping_clock() -> datetime:
        stop()
        return clock()

    with pytest.raises(_Stopped):
        move(state, to, clock=stopping_clock)
    with pytest.raises(StateError):
        move(to, replace(state, dir=tmp_path / "third"))
    assert move(state, to) == 0
    with pytest.raises(StateError):
        move(state, to)


def test_changes_after_an_interrupted_move_are_moved_too(tmp_path: Path, server: StateSection) -> None:
    make_state(tmp_path)
    state = StateSection(tmp_path)
    with pytest.raises(_Stopped):
        move(state, server, stop_at(2 * len(find_tables())))
    store = open_store(tmp_path)
    store.delete_domain(store.domain("0.example.com"))
    store.close()
    with look_into(database_of(tmp_path)) as connection:
        connection.execute("DELETE FROM silent_edge")
        connection.execute("UPDATE account_key SET role = 'next'")
    before = dump_without_moves(database_of(tmp_path))
    assert move(state, server) > 0
    move(server, StateSection(tmp_path / "new", key_of(tmp_path)))
    assert dump_without_moves(tmp_path / "new" / "sslctl.db") == before


def test_copy_of_another_state_is_refused(tmp_path: Path, server: StateSection) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make_state(tmp_path / folder)
    with pytest.raises(_Stopped):
        move(StateSection(tmp_path / "a"), server, stop_at(9))
    with pytest.raises(StateError, match="a copy of another state"):
        move(StateSection(tmp_path / "b"), server)
    move(StateSection(tmp_path / "a"), server)


@pytest.mark.parametrize("is_back", [False, True])
def test_process_that_had_the_old_database_open_changes_nothing_more(
    tmp_path: Path, server: StateSection, is_back: bool
) -> None:
    make_state(tmp_path)
    state, to = ends(tmp_path, server, is_back=is_back)
    waiting = Waiting()
    old = open_configured(
        state, Keyring(key_of(tmp_path)), clock=Clock(), actor="old", limits={"": NO_LIMITS}, waiting=waiting
    )
    domain = old.domain("0.example.com")
    move(state, to)
    with pytest.raises(StateError, match="it was moved to"):
        old.record_finding(domain, finding())
    assert old.domain("0.example.com").revision == domain.revision
    old.close()
