"""Opening the state: created with private modes if missing; refused and unchanged if it cannot be used."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslctl.errors import Exit, StateError
from sslctl.rules.model import Bundle, Source
from sslctl.store.interface.domains import Query
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite import schema
from sslctl.store.sqlite.database import OLDEST_SQLITE
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.schema import APPLICATION_ID
from sslctl.store.sqlite.store import SqliteStore
from tests.support import environment
from tests.support.fakes import START
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    database_of,
    held,
    issue,
    key_of,
    leaf,
    look_into,
    open_first,
    open_order,
    open_store,
    private_key,
    processes,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "state"


@pytest.fixture
def used(folder: Path) -> Path:
    """The folder of a state that was used and closed."""
    store = open_store(folder)
    for number in range(40):
        store.add_text_certificate(f"{number}.test", (), _bundle(), leaf())
    issue(store, store.add_domain(NAME, (), Source.C4))
    store.close()
    return folder


def _bundle() -> Bundle:
    return Bundle("certificate " * 30, "chain " * 100, private_key())


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file below `folder` with its bytes; None means a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def use(folder: Path) -> None:
    """Open the state, read all of it, and close it."""
    store = open_store(folder)
    try:
        for domain in store.domains(Query(), START):
            store.events(domain)
            for version in store.certificates(domain):
                store.bundle(version)
    finally:
        store.close()


def assert_refused(folder: Path, *words: str, path: Path | None = None) -> StateError:
    """Assert that using the state raises an error with the file's name and `words`, and changes nothing."""
    before = content(folder)
    with pytest.raises(StateError) as refused:
        use(folder)
    for word in (str(path or database_of(folder)), *words):
        assert word in refused.value.message
    assert refused.value.exit_code == Exit.UNUSABLE
    assert content(folder) == before
    return refused.value


# Created


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let only the program decide the modes of files."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_only_the_owner_can_read_the_files(folder: Path) -> None:
    store = open_store(folder)
    domain = store.add_domain(NAME, (), Source.C4)
    with store._database.transaction() as run:
        run("UPDATE domain SET sans = 'other'")
        assert mode(folder / "sslctl.db-journal") == 0o600
        run("UPDATE domain SET sans = '[]'")
    assert domain == store.domain(NAME)
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {"sslctl.db": 0o600, "master.key": 0o600}
    store.close()


def test_empty_file_becomes_a_database(folder: Path) -> None:
    folder.mkdir()
    database_of(folder).touch()
    use(folder)
    with look_into(database_of(folder)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_pragmas_make_commits_survive_a_power_cut(folder: Path) -> None:
    """Durability needs a rollback journal that is synced with its folder at every commit (sqlite.org/pragma.html)."""
    store = open_store(folder)
    pragmas = {}
    for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema"):
        [pragmas[name]] = store._database.read(lambda row: row[0], f"PRAGMA {name}")
    store.close()
    assert pragmas == {
        "journal_mode": "delete",
        "synchronous": 3,
        "foreign_keys": 1,
        "secure_delete": 1,
        "trusted_schema": 0,
    }


def test_opening_again_changes_nothing(used: Path) -> None:
    before = content(used)
    use(used)
    assert content(used) == before


def test_concurrent_first_runs_make_one_state(tmp_path: Path) -> None:
    context = processes()
    for round_number in range(3):
        folder = tmp_path / f"state{round_number}"
        start, results = context.Barrier(4), context.Queue()
        runs = [context.Process(target=open_first, args=(folder, start, results)) for _ in range(4)]
        for each in runs:
            each.start()
        names = [results.get(timeout=PATIENCE) for _ in runs]
        for each in runs:
            each.join(PATIENCE)
        store = open_store(folder)
        assert sorted(domain.name for domain in store.domains(Query(), START)) == sorted(names)
        for name in names:
            order = store.find_open_order(store.domain(name))
            assert order is not None
            # Each process encrypted a key of its own, and the one key file decrypts them all.
            assert store.order_key(order).startswith("-----BEGIN PRIVATE KEY-----")
        store.close()


def test_migration_by_another_run_is_not_repeated(used: Path) -> None:
    """It read the version before the other run was done, and migrates after it."""
    before = content(used)
    with look_into(database_of(used)) as connection:
        schema._migrate(connection)
    assert content(used)["master.key"] == before["master.key"]
    use(used)


# Refused: the database


def _make_foreign(path: Path, *pragmas: str, table: bool = True) -> None:
    path.parent.mkdir(exist_ok=True)
    with look_into(path) as connection:
        if table:
            connection.execute("CREATE TABLE bookmark (url TEXT)")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")


def test_database_of_another_program_is_refused(folder: Path) -> None:
    _make_foreign(database_of(folder))
    assert assert_refused(folder, "is a database of another program").hint is not None


@pytest.mark.parametrize("table", [True, False])
def test_database_with_the_application_id_of_another_program_is_refused(folder: Path, *, table: bool) -> None:
    _make_foreign(database_of(folder), "application_id = 252006674", table=table)
    assert_refused(folder, "is a database of another program")


def test_foreign_database_is_not_converted_to_another_journal_mode(folder: Path) -> None:
    _make_foreign(database_of(folder), "journal_mode = WAL")
    assert_refused(folder, "is a database of another program")


def test_database_of_a_newer_sslctl_is_refused(used: Path) -> None:
    with look_into(database_of(used)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    hint = assert_refused(used, f"was written by a newer sslctl: its schema is {len(MIGRATIONS) + 1},").hint
    assert hint is not None
    assert hint.startswith("update sslctl on this machine; docs/upgrade.md")


@pytest.mark.parametrize(
    "text",
    [b"hi", b"domains:\n  - shop.example.com\n", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 4080],
    ids=["short", "text", "zeros", "header alone"],
)
def test_file_that_is_no_database_is_refused(folder: Path, text: bytes) -> None:
    folder.mkdir()
    database_of(folder).write_bytes(text)
    assert assert_refused(folder, "cannot be read").hint is not None


@pytest.mark.parametrize("kept", [100, 5000, 0.5, -4096])
def test_truncated_database_is_refused(used: Path, kept: float) -> None:
    whole = database_of(used).read_bytes()
    length = int(len(whole) * kept) if isinstance(kept, float) else kept
    database_of(used).write_bytes(whole[:length])
    assert_refused(used, "cannot be read")


def test_database_with_overwritten_pages_is_refused(used: Path) -> None:
    whole = database_of(used).read_bytes()
    database_of(used).write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))
    assert_refused(used, "cannot be read")


def test_directory_in_place_of_the_database_is_refused(folder: Path) -> None:
    database_of(folder).mkdir(parents=True)
    assert assert_refused(folder, "cannot open the database").hint is not None


def test_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    folder.write_text("mine")
    with pytest.raises(StateError, match=r"cannot open the database .*/state/sslctl\.db"):
        use(folder)
    assert folder.read_text() == "mine"


def test_text_that_is_not_utf8_is_refused(used: Path) -> None:
    with look_into(database_of(used)) as connection:
        connection.execute("DROP TRIGGER event_unchanged")
        connection.execute("UPDATE event SET detail = CAST (x'ff' AS TEXT)")
    assert_refused(used, "cannot use the database")


# Root may write anywhere, so these tests run sslctl without that capability.
_UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def _run_unprivileged(folder: Path, code: str) -> str:
    script = f"""
import sys
from pathlib import Path
from sslctl.errors import StateError
from sslctl.rules.model import Source
from tests.support import environment
from tests.support.store_cases import open_store
try:
    store = open_store(Path({str(folder)!r}))
    {code}
except StateError as error:
    print(error.message)
"""
    environ = environment()
    ran = subprocess.run(
        [*_UNPRIVILEGED, sys.executable, "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return ran.stdout


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Remove the write permission of all users."""
    modes = {path: mode(path) for path in paths}
    for path, its in modes.items():
        path.chmod(its & ~0o222)
    yield
    for path, its in modes.items():
        path.chmod(its)


def test_folder_without_write_permission_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with read_only(folder):
        said = _run_unprivileged(folder, "print('opened')")
    assert said.startswith(f"cannot open the database {database_of(folder)}: ")
    assert content(folder) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("uid", "name"), [(65534, "nobody"), (54321, "#54321")])
def test_root_is_told_to_become_the_owner_of_the_state(used: Path, uid: int, name: str) -> None:
    for place in (used, database_of(used)):
        os.chown(used, 0, 0)
        os.chown(place, uid, uid)
        with pytest.raises(StateError, match=f"{place} belongs to the user {name}") as caught:
            open_store(used)
        assert caught.value.hint == f"run sslctl as its owner: sudo -u {name} sslctl …"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777], ids=oct)
def test_folder_that_others_can_write_is_refused(used: Path, mode: int) -> None:
    """The sticky bit does not help: others could still put a journal beside the database, which SQLite would play back."""
    used.chmod(mode)
    with pytest.raises(StateError, match=f"other users can change {used}"):
        open_store(used)
    used.chmod(0o700)


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o1606], ids=oct)
def test_database_that_others_can_write_is_refused(used: Path, mode: int) -> None:
    database_of(used).chmod(mode)
    with pytest.raises(StateError, match=f"other users can change {database_of(used)}"):
        open_store(used)


def test_read_only_state_can_be_read_and_is_not_written(used: Path) -> None:
    before = content(used)
    with read_only(used, database_of(used)):
        said = _run_unprivileged(
            used, f"print(store.domain('{NAME}').name); store.add_domain('new.test', (), Source.C4)"
        )
    name, trouble = said.splitlines()
    assert name == NAME
    assert trouble.startswith(f"cannot use the database {database_of(used)}: ")
    assert content(used) == before


# The key file


def _certificate_key(store: SqliteStore) -> str:
    return store.bundle(held(store.domain(NAME))).private_key


def test_files_hold_no_private_key_in_plain_text(used: Path) -> None:
    body = "".join(private_key().splitlines()[1:-1])
    plain = [b"PRIVATE KEY", *(line.encode() for line in private_key().splitlines()), base64.b64decode(body)]
    assert not [
        word for data in content(used).values() for word in plain if data is not None and word in data
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_key_file_with_a_byte_order_mark_is_read(used: Path, encoding: str) -> None:
    key_of(used).write_bytes(f"{key_of(used).read_text().strip()}\r\n".encode(encoding))
    assert _certificate_key(open_store(used)) == private_key()


@pytest.mark.parametrize("other_key", [False, True])
def test_copy_of_the_database_alone_reveals_no_key(used: Path, tmp_path: Path, *, other_key: bool) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(database_of(used), database_of(copy))
    if other_key:
        Keyring(key_of(copy)).make()
    before = content(copy)
    with pytest.raises(StateError) as refused:
        _certificate_key(open_store(copy))
    assert str(key_of(copy)) in refused.value.message
    assert content(copy) == before


def test_state_without_its_key_file_is_listed_and_keys_are_refused(used: Path) -> None:
    key = key_of(used).read_bytes()
    key_of(used).unlink()
    before = content(used)
    store = open_store(used)
    domain = store.domain(NAME)
    for step in (lambda: store.bundle(held(domain)), lambda: open_order(store, domain)):
        with pytest.raises(StateError, match=r"master\.key is missing") as refused:
            step()
        assert refused.value.hint is not None
    assert content(used) == before
    key_of(used).write_bytes(key)
    key_of(used).chmod(0o600)
    assert _certificate_key(store) == private_key()
    store.close()


def _expose(path: Path) -> None:
    path.chmod(0o644)


def _share(path: Path) -> None:
    path.chmod(0o640)


def _exchange(path: Path) -> None:
    path.write_bytes(Fernet.generate_key())


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(b"\xff\xfe not a key\n")


def _replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_expose, "can be read by other users"),
        (_share, "can be read by other users"),
        (_exchange, "does not decrypt this database"),
        (_empty, "does not hold Fernet keys"),
        (_garble, "does not hold Fernet keys"),
        (_replace_by_a_folder, "cannot read the key file"),
    ],
)
def test_untrusted_key_file_is_refused(used: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(key_of(used))
    assert assert_refused(used, words, path=key_of(used)).hint is not None


def test_key_file_in_an_unsearchable_folder_is_refused(used: Path, tmp_path: Path) -> None:
    locked = tmp_path / "keys"
    locked.mkdir()
    key_of(used).rename(locked / "master.key")
    key_of(used).symlink_to(locked / "master.key")
    locked.chmod(0)
    said = _run_unprivileged(used, "print('opened')")
    locked.chmod(0o700)
    assert said == f"cannot read the key file {key_of(used)}: Permission denied\n"


def test_empty_key_file_is_refused_for_a_new_database(folder: Path) -> None:
    folder.mkdir()
    key_of(folder).touch(mode=0o600)
    with pytest.raises(StateError, match=r"master\.key does not hold Fernet keys"):
        use(folder)
    assert key_of(folder).read_bytes() == b""


def test_key_file_that_a_power_cut_left_unfinished_is_made_again(folder: Path) -> None:
    folder.mkdir()
    half = key_of(folder).with_name(".master.key.new")
    half.write_bytes(Fernet.generate_key()[:10])
    use(folder)
    assert not half.exists()
    assert mode(key_of(folder)) == 0o600
    use(folder)


def test_existing_key_file_is_used_unchanged(folder: Path) -> None:
    folder.mkdir()
    Keyring(key_of(folder)).make()
    before = key_of(folder).read_bytes()
    use(folder)
    assert key_of(folder).read_bytes() == before


def test_key_file_in_a_missing_folder_is_refused_before_a_database_is_made(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "master.key"
    create = partial(
        SqliteStore,
        tmp_path / "sslctl.db",
        Keyring(key),
        clock=lambda: START,
        actor="tester",
        create=True,
    )
    for _ in range(2):
        with pytest.raises(StateError, match=r"cannot make the key file .*keys/master\.key"):
            create()
    key.parent.mkdir()
    create().close()
    assert mode(key) == 0o600


def test_key_added_in_front_encrypts_and_the_old_one_still_decrypts(used: Path) -> None:
    old = key_of(used).read_bytes()
    key_of(used).write_bytes(Fernet.generate_key() + b"\n" + old)
    store = open_store(used)
    assert _certificate_key(store) == private_key()
    new = held(issue(store, store.domain(NAME)))
    store.close()
    key_of(used).write_bytes(key_of(used).read_bytes().splitlines()[0])
    with pytest.raises(StateError, match="does not decrypt this database"):
        open_store(used)
    with look_into(database_of(used)) as connection:
        sealed = connection.execute("SELECT sealed_key FROM certificate WHERE id = ?", (new.id,)).fetchone()[
            0
        ]
    assert Keyring(key_of(used)).decrypt(sealed) == private_key()


# Any damage of the file


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the file is put back after each example
)
def test_damaged_database_is_either_read_or_refused(used: Path, data: st.DataObject) -> None:
    path = database_of(used)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4), label="wounds")):
        at = data.draw(st.integers(0, len(whole) - 1), label="place")
        wound = data.draw(st.binary(min_size=1, max_size=32), label="wound")
        damaged[at : at + len(wound)] = wound
    try:
        path.write_bytes(damaged)
        use(used)
    except StateError as refused:
        assert str(used) in refused.message  # noqa: PT017 - either may happen
    finally:
        path.write_bytes(whole)


def test_sqlite_is_new_enough() -> None:
    """The store uses `IS DISTINCT FROM` (3.39), STRICT tables (3.37) and RETURNING (3.35)."""
    assert sqlite3.sqlite_version_info >= OLDEST_SQLITE


def test_older_sqlite_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 38, 5))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.38.5")
    with pytest.raises(StateError, match=r"SQLite 3\.39 or newer is needed, and this Python has 3\.38\.5"):
        open_store(folder)
    assert not folder.exists()
