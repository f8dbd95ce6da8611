"""`sslctl state migrate`: the state moves from SQLite into PostgreSQL, and back."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.errors import Exit
from sslctl.store.keyring import Keyring
from sslctl.store.postgres import schema
from sslctl.store.sqlite.moving import find_tables
from tests.support.cdn import Cdn, Result
from tests.support.command_line import environment
from tests.support.fakes import Clock
from tests.support.moving_cases import dump_without_moves, make_state
from tests.support.postgres import cluster
from tests.support.store_cases import PATIENCE, database_of, look_into, open_store

pytestmark = pytest.mark.postgres


@pytest.fixture
def database() -> Iterator[str]:
    """The name of an empty database."""
    name = cluster().new_database("template0")
    yield name
    cluster().drop(name)


@pytest.fixture
def url(database: str) -> str:
    return cluster().url(database)


@pytest.fixture
def cdn(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    """A running CDN whose state, in SQLite, has rows in every table."""
    make_state(tmp_path / "state", 12)
    with Cdn(tmp_path, clock, has_state=False) as running:
        yield running


def folder_of(cdn: Cdn) -> Path:
    return cdn.folder / "state"


def configure(cdn: Cdn, url: str) -> None:
    """Let the configuration name `url`, as the printed next step says; empty for SQLite."""
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(re.sub(r'url = "(postgresql:.*)?"\n', f'url = "{url}"\n', text))


def moved_to(cdn: Cdn, place: str | Path, *more: str) -> Result:
    return cdn.sslctl("state", "migrate", "--to", str(place), *more)


def head_of(cdn: Cdn) -> str:
    """Return the head of the history, as a person notes it."""
    head = cdn.sslctl("audit", "verify", "--json").json["head"]
    assert head
    return str(head)


def recorded(cdn: Cdn) -> list[tuple[str, str]]:
    """Return actor and detail of each move in the history."""
    events = cdn.sslctl("audit", "list", "--json").json["events"]
    return [(each["actor"], each["detail"]) for each in events if each["kind"] == "state moved"]


def append_event(folder: Path, detail: str) -> None:
    """Append an event with exactly this detail."""
    store = open_store(folder)
    content = ("2026-11-23T16:00:00Z", "tester", "found", detail, None)
    with store._database.transaction():
        store._database.at_commit(lambda run: store._chain_events(run, [(None, None)], content))
    store.close()


def count_rows(path: Path) -> dict[str, int]:
    with look_into(path) as connection:
        return {
            table.name: connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]  # noqa: S608 - our schema
            for table in find_tables()
        }


def test_state_moves_to_postgresql_and_back_unchanged(cdn: Cdn, url: str) -> None:
    before, head = dump_without_moves(database_of(folder_of(cdn))), head_of(cdn)
    listed = cdn.sslctl("list").stdout
    assert "0.example.com" in listed
    counted = count_rows(database_of(folder_of(cdn)))
    assert min(counted.values()) > 0
    moved = moved_to(cdn, url, "--json")
    assert (moved.exit_code, moved.stderr.startswith("Next: set state.url = ")) == (Exit.OK, True)
    assert moved.json["rows"] == moved.json["written"] == sum(counted.values())
    assert (moved.json["domains"], moved.json["to"]) == (12, url)
    configure(cdn, url)
    assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK
    assert head_of(cdn) != head
    assert cdn.sslctl("list").stdout == listed
    assert moved_to(cdn, folder_of(cdn)).exit_code == Exit.OK
    assert cdn.sslctl("list").exit_code == Exit.UNUSABLE
    configure(cdn, "")
    assert cdn.sslctl("list").stdout == listed
    assert dump_without_moves(database_of(folder_of(cdn))) == before
    assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK


def test_history_of_the_new_place_records_each_move(cdn: Cdn, url: str) -> None:
    target = cdn.folder / "url"
    target.write_text(url.replace("postgres@", "postgres:s3cret-word@") + "\n")
    target.chmod(0o600)
    assert cdn.sslctl("state", "migrate", "--to-file", str(target)).exit_code == Exit.OK
    configure(cdn, url)
    ((actor, detail),) = recorded(cdn)
    assert actor
    assert detail.startswith(f"from {database_of(folder_of(cdn))} to the database of {target}: ")
    assert moved_to(cdn, folder_of(cdn)).exit_code == Exit.OK
    configure(cdn, "")
    assert len(recorded(cdn)) == 2
    assert "s3cret-word" not in cdn.sslctl("audit", "list").stdout
    assert cdn.sslctl("audit", "verify").exit_code == Exit.OK


@pytest.mark.parametrize("is_undone", [False, True])
def test_events_with_nul_of_earlier_releases_are_moved_and_verified(
    cdn: Cdn, url: str, is_undone: bool
) -> None:
    append_event(folder_of(cdn), "\0a\0b\N{REPLACEMENT CHARACTER}c")
    head = head_of(cdn)
    assert moved_to(cdn, url).exit_code == Exit.OK
    if is_undone:
        assert moved_to(cdn, url, "--undo").exit_code == Exit.OK
    else:
        configure(cdn, url)
        assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK
        assert "\N{REPLACEMENT CHARACTER}a" in cdn.sslctl("audit", "list", "--json").stdout.replace(
            "\\ufffd", "\N{REPLACEMENT CHARACTER}"
        )
        assert moved_to(cdn, folder_of(cdn)).exit_code == Exit.OK
        configure(cdn, "")
    assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK


def test_commands_on_the_old_configuration_name_the_new_place(cdn: Cdn, url: str) -> None:
    assert moved_to(cdn, url).exit_code == Exit.OK
    for command in (
        ["list"],
        ["daemon-tick"],
        ["init"],
        ["add", "x.example.com"],
        ["doctor"],
        ["state", "migrate", "--to", url],
    ):
        ended = cdn.sslctl(*command)
        assert ended.exit_code == Exit.UNUSABLE
        assert f"was moved to {url}" in ended.stdout + ended.stderr


def test_move_is_taken_back_unless_the_state_was_changed_in_its_new_place(cdn: Cdn, url: str) -> None:
    before, head = dump_without_moves(database_of(folder_of(cdn))), head_of(cdn)
    assert moved_to(cdn, url).exit_code == Exit.OK
    configure(cdn, url)
    in_new_place = head_of(cdn)
    configure(cdn, "")
    assert moved_to(cdn, url, "--undo").exit_code == Exit.OK
    assert dump_without_moves(database_of(folder_of(cdn))) == before
    assert [detail.partition(" ")[0] for _, detail in recorded(cdn)] == ["from", "back"]
    for noted in (head, in_new_place):
        assert cdn.sslctl("audit", "verify", "--head", noted).exit_code == Exit.OK
    configure(cdn, url)
    assert "was moved to " in cdn.sslctl("list").stderr


def test_move_is_not_taken_back_after_a_change_in_the_new_place(cdn: Cdn, url: str) -> None:
    moved_to(cdn, url)
    configure(cdn, url)
    assert cdn.sslctl("note", "0.example.com", "new").exit_code == Exit.OK
    configure(cdn, "")
    refused = moved_to(cdn, url, "--undo")
    assert (refused.exit_code, "is not that of" in refused.stderr) == (Exit.UNUSABLE, True)
    assert "move the state back from there" in refused.stderr
    assert cdn.sslctl("list").exit_code == Exit.UNUSABLE


@pytest.mark.parametrize("used", [False, True])
def test_only_a_target_that_was_never_used_is_taken(
    cdn: Cdn, url: str, used: bool, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "other").mkdir()
    with Cdn(tmp_path / "other", clock, state_url=url, has_state=False) as other:
        assert other.sslctl("init").exit_code == Exit.OK
        if used:
            other.add_domain("x.example.com")
            other.sslctl("add", "x.example.com")
        before = other.sslctl("list").stdout
        ended = moved_to(cdn, url)
        assert ended.exit_code == (Exit.UNUSABLE if used else Exit.OK)
        if used:
            assert "holds a state already" in ended.stderr
            assert other.sslctl("list").stdout == before
            assert cdn.sslctl("list").exit_code == Exit.OK


def test_move_ends_while_another_process_works_on_the_state(cdn: Cdn, url: str) -> None:
    app = cdn.app()
    app.store.claim(["tick"], timedelta(hours=1))
    ended = moved_to(cdn, url)
    assert (ended.exit_code, "works on the state" in ended.stderr) == (Exit.TRY_LATER, True)
    app.close()
    assert moved_to(cdn, url).exit_code == Exit.OK


def test_other_key_file_is_refused_and_nothing_is_moved(cdn: Cdn, url: str) -> None:
    key = folder_of(cdn) / "master.key"
    kept = key.read_text()
    key.unlink()
    Keyring(key).make()
    assert moved_to(cdn, url).exit_code == Exit.UNUSABLE
    key.write_text(kept)
    assert cdn.sslctl("list").exit_code == Exit.OK


def test_password_on_the_command_line_is_refused_and_not_repeated(cdn: Cdn) -> None:
    refused = moved_to(cdn, "postgresql://sslctl:s3cret@db.test/sslctl")
    assert (refused.exit_code, "--to-file" in refused.stderr) == (Exit.USAGE, True)
    assert "s3cret" not in refused.stdout + refused.stderr


def test_move_to_the_same_kind_of_database_is_refused(cdn: Cdn, tmp_path: Path) -> None:
    assert moved_to(cdn, tmp_path / "new").exit_code == Exit.USAGE
    assert cdn.sslctl("state", "migrate").exit_code == Exit.USAGE


def test_move_that_is_killed_leaves_the_state_in_use_and_goes_on(cdn: Cdn, url: str, database: str) -> None:
    head = head_of(cdn)
    with cluster().connection(database) as connection:
        schema.migrate(connection)
    arguments = [sys.executable, "-m", "sslctl", "state", "migrate", "--to", url]
    with cluster().connection(database) as connection, connection.transaction():
        # The move waits here, after the domains and before the history.
        connection.execute("LOCK TABLE event IN EXCLUSIVE MODE")
        process = subprocess.Popen(arguments, env=environment(cdn))
        deadline = time.monotonic() + PATIENCE
        while connection.execute("SELECT count(*) FROM domain").fetchone() == (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert head_of(cdn) == head
    moved = moved_to(cdn, url, "--json").json
    assert 0 < moved["written"] < moved["rows"]
    configure(cdn, url)
    assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK
    assert len(recorded(cdn)) == 1


@pytest.mark.parametrize("version", [schema.CURRENT - 1, schema.CURRENT + 1])
def test_target_of_another_version_is_refused(cdn: Cdn, url: str, database: str, version: int) -> None:
    with cluster().connection(database) as connection:
        schema.migrate(connection)
        connection.execute("UPDATE schema_version SET version = %s", (version,))
    refused = moved_to(cdn, url)
    assert (refused.exit_code, f"its schema is {version}" in refused.stderr) == (Exit.UNUSABLE, True)
    assert cdn.sslctl("list").exit_code == Exit.OK
