"""Old history goes into archives: nothing is lost, even if the process is killed at any step."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sslctl.errors import BadInput, Busy, StateError
from sslctl.fleet import archive_files
from sslctl.fleet.archive_verification import verify
from sslctl.fleet.history_pruning import Old, Pruning, find_old
from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.claim_names import HISTORY_PRUNING
from sslctl.rules.history_seal import Seal
from sslctl.rules.model import Source
from sslctl.store.sqlite.store import SqliteStore
from sslctl.text import instant
from tests.support.archive_cases import KEEP, NAMES, SMALL, lines, prune, versions, write_years
from tests.support.dying_store import DyingStore, Killed
from tests.support.fakes import Clock
from tests.support.history_cases import edit, sql
from tests.support.store_backends import SqliteBackend
from tests.support.store_cases import CERTIFICATE, CHAIN

STEPS = {
    "seal_history", "delete_archived_events", "delete_archived_orders", "delete_archived_certificates", "claim", "release",
    "transaction",
}  # fmt: skip


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    (tmp_path / "state").mkdir(mode=0o700)
    return SqliteBackend(tmp_path / "state")


@pytest.fixture
def store(backend: SqliteBackend, clock: Clock) -> SqliteStore:
    store = backend.open(clock)
    write_years(store, clock)
    return store


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def never(path: Path) -> None:
    pytest.fail(f"{path} is unknown")


def check(store: Any, archive: Path, noted: Head | None = None) -> Audit:
    return verify(store, [archive] if archive.exists() else [], noted, never)


def everything(store: SqliteStore, archive: Path) -> set[tuple[str, object]]:
    """Return the ids of all events, certificates and orders, in the database and in archives with a seal."""
    with SqliteBackend(store._path.parent).sql() as run:
        found: set[tuple[str, object]] = {
            (kind, row[0])
            for kind, table in (("event", "event"), ("certificate", "certificate"), ("order", "acme_order"))
            for row in run(f"SELECT id FROM {table}", ())  # noqa: S608 - constants
        }
    for seal in store.seals():
        found |= {(line["type"], line["id"]) for line in lines(archive / seal.file)[1:-1]}
    return found


def test_old_history_moves_into_archives_of_bounded_size(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    before, whole = everything(store, archive), store.verify_history()
    assert whole.head is not None
    expected = find_old(store, clock() - KEEP)
    seals = prune(store, clock, archive)
    assert len(seals) > 2
    assert (
        Old(*(sum(getattr(seal, kind) for seal in seals) for kind in ("events", "certificates", "orders")))
        == expected
    )
    for seal in seals:
        assert (seal.events <= SMALL.events, seal.certificates <= 5, seal.orders <= 4) == (True, True, True)
        path = archive / seal.file
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_size) == (0o600, seal.size)
        assert sha256(path.read_bytes()).hexdigest() == seal.sha256
    assert stat.S_IMODE(archive.stat().st_mode) == 0o700
    assert versions(store) == {name: [9, 10, 11, 12] for name in NAMES}
    assert everything(store, archive) - before == {
        ("event", whole.head.id + 1 + number) for number in range(len(seals))
    }
    assert before <= everything(store, archive)
    found = check(store, archive, whole.head)
    assert (found.broken, found.archived, found.intact) == (
        "",
        expected.events,
        whole.intact - expected.events + len(seals),
    )
    store.close()


def test_clock_that_is_behind_the_history_archives_nothing(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    clock.move(days=-400)
    with pytest.raises(Busy, match="is in the future, so nothing was archived"):
        prune(store, clock, archive)
    assert (store.seals(), archive.exists()) == ([], False)
    # One event of the future among later ones of the right time is no sign.
    clock.move(days=400)
    store.add_domain("later.test", (), Source.C4)
    clock.move(days=-300)
    store.add_domain("now.test", (), Source.C4)
    prune(store, clock, archive)


def test_verification_beside_pruning_takes_the_head_that_was_just_archived(
    backend: SqliteBackend, store: SqliteStore, clock: Clock, archive: Path
) -> None:
    noted = store.verify_history().head
    assert noted is not None
    clock.move(days=400)

    class Racing:
        """A store whose old history is archived right after somebody has looked for archives."""

        raced = False

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def seals(self) -> list[Seal]:
            found = store.seals()
            if not self.raced:
                self.raced = True
                other = backend.open(clock)
                prune(other, clock, archive)
                other.close()
            return found

    racing: Any = Racing()
    found = verify(racing, [archive], noted, lambda _path: None)
    assert (found.broken, bool(store.seals())) == ("", True)


def test_leftover_that_cannot_be_removed_is_an_error_with_the_folder(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    (archive / ".history-000001-x.jsonl.gz.abc").mkdir(parents=True)
    with pytest.raises(StateError, match=str(archive)):
        prune(store, clock, archive)


def test_second_run_finds_nothing(store: SqliteStore, clock: Clock, archive: Path) -> None:
    prune(store, clock, archive)
    files = sorted(archive.iterdir())
    assert prune(store, clock, archive) == []
    assert sorted(archive.iterdir()) == files
    assert not find_old(store, clock() - KEEP)
    store.close()


def test_archive_has_the_certificates_with_their_chains_and_no_keys(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    prune(store, clock, archive)
    found = [line for path in sorted(archive.iterdir()) for line in lines(path)]
    first = next(line for line in found if line["type"] == "certificate")
    assert (first["domain"], first["version"], first["names"]) == ("a.test", 1, ["a.test"])
    assert (first["pem"], first["chain_pem"]) == (CERTIFICATE, CHAIN)
    assert not any(word in str(found) for word in ("PRIVATE", "sealed", "gAAAA"))
    store.close()


def _kill_at(store: SqliteStore, clock: Clock, archive: Path, fatal: int, *, before: bool) -> bool:
    """Prune until the process is killed at the `fatal`-th step; return whether it was."""
    dying = DyingStore(store, fatal, before=before, methods=STEPS)
    try:
        prune(dying, clock, archive)
    except Killed:
        return True
    return dying.is_dead


@pytest.mark.parametrize("before", [True, False])
def test_run_that_is_killed_at_any_step_loses_nothing_and_the_next_one_completes(
    backend: SqliteBackend, clock: Clock, tmp_path: Path, *, before: bool
) -> None:
    first = backend.open(clock)
    write_years(first, clock)
    saved, all_of_it = backend.save(), everything(first, tmp_path)
    head = first.verify_history().head
    first.close()
    for fatal in count(1, 3):
        backend.restore(saved)
        archive = tmp_path / f"archive-{fatal}"
        store = backend.open(clock)
        was_killed = _kill_at(store, clock, archive, fatal, before=before)
        store.close()
        store = backend.open(clock)
        found = verify(store, [archive] if archive.exists() else [], head, lambda _path: None)
        assert found.broken == ""
        assert all_of_it <= everything(store, archive)
        prune(store, clock, archive)
        assert verify(store, [archive], head, lambda _path: None).broken == ""
        assert all_of_it <= everything(store, archive)
        assert versions(store) == {name: [9, 10, 11, 12] for name in NAMES}
        assert store.archived_certificates(0, 1) == []
        store.close()
        backend.require_intact()
        if not was_killed:
            assert fatal > 30
            return


def test_run_stops_when_its_claim_is_broken(store: SqliteStore, clock: Clock, archive: Path) -> None:
    def lose(step: str) -> None:
        if step.startswith("writing"):
            store.release([HISTORY_PRUNING])

    pruning = Pruning(store, archive, clock() - KEEP, clock=clock, on_step=lose)
    with pytest.raises(Exception, match="lost its claim on the pruning of the history"):
        list(pruning)
    assert store.seals() == []
    store.close()


def test_second_run_at_the_same_time_is_refused(store: SqliteStore, clock: Clock, archive: Path) -> None:
    class Claimed:
        """The store, in which another process prunes."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def claim(self, _names: Any, _duration: Any) -> set[str]:
            return set()

    with pytest.raises(Busy, match="another sslctl prunes the history"):
        prune(Claimed(), clock, archive)
    assert store.seals() == []
    store.close()


def test_certificates_of_a_busy_domain_are_deleted_by_the_next_run(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    class Working:
        """The store, in which other processes work on the first domain."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def claim(self, names: Any, duration: Any) -> set[str]:
            return {name for name in store.claim(names, duration) if not name.endswith(NAMES[0])}

    pruning = Pruning(Working(), archive, clock() - KEEP, clock=clock)
    (seal,) = pruning
    assert pruning.busy == 8
    assert versions(store) == {NAMES[0]: list(range(1, 13)), NAMES[1]: [9, 10, 11, 12]}
    assert prune(store, clock, archive) == []
    assert versions(store)[NAMES[0]] == [9, 10, 11, 12]
    assert store.seals() == [seal]
    store.close()


def test_edited_history_is_not_archived(
    store: SqliteStore, backend: SqliteBackend, clock: Clock, archive: Path
) -> None:
    edit(backend, sql("UPDATE event SET actor = 'nobody' WHERE id = 40"))
    with pytest.raises(
        StateError, match=r"the history was edited: event 40 .*; nothing from there on was archived"
    ):
        prune(store, clock, archive)
    assert [seal.cut for seal in store.seals()] == [30]
    assert len(list(archive.iterdir())) == 1
    store.close()


def test_folder_that_cannot_be_written_changes_nothing(
    store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    before = everything(store, tmp_path)
    for place in (tmp_path / "missing" / "folder", tmp_path / "state" / "sslctl.db"):
        with pytest.raises(StateError, match="cannot write the archive"):
            prune(store, clock, place)
    assert everything(store, tmp_path) == before
    store.close()


def test_existing_file_is_never_replaced(store: SqliteStore, clock: Clock, archive: Path) -> None:
    archive.mkdir()
    name = archive_files.free_name(archive, 1, instant(clock()))
    (archive / name).symlink_to(archive / "elsewhere")
    assert prune(store, clock, archive)[0].file == name.replace("Z.", "Z-2.")
    assert (archive / name).is_symlink()
    assert not (archive / "elsewhere").exists()
    store.close()


def test_leftovers_of_a_killed_run_are_removed(store: SqliteStore, clock: Clock, archive: Path) -> None:
    archive.mkdir()
    (archive / ".history-000001-20261123T040000Z.jsonl.gz.abcd").write_bytes(b"half")
    (archive / "other").write_bytes(b"")
    prune(store, clock, archive)
    assert {path.name[:8] for path in archive.iterdir()} == {"history-", "other"}
    store.close()


# Verification


@pytest.fixture
def heads(store: SqliteStore) -> list[Head]:
    """The head after each event."""
    walk, heads = store.walk_after(None), list[Head]()
    for record, mac in store.chained_events(0, store.last_event()):
        walk.take(record, mac)
        assert walk.head is not None
        heads.append(walk.head)
    return heads


def test_every_head_noted_before_is_verified_with_the_archives(
    store: SqliteStore, clock: Clock, archive: Path, heads: list[Head]
) -> None:
    seals = prune(store, clock, archive)
    for head in heads:
        assert check(store, archive, head).broken == ""
        assert check(store, archive, Head(head.id, "0" * 32)).broken != ""
    cuts = {seal.cut for seal in seals}
    for head in heads:
        if head.id > seals[-1].cut or head.id in cuts:
            assert verify(store, [], head, never).broken == ""
            assert verify(store, [], Head(head.id, "0" * 32), never).broken != ""
            continue
        seal = next(seal for seal in seals if seal.has(head.id))
        with pytest.raises(BadInput, match=f"is before the cut: its event is in the archive {seal.file}"):
            verify(store, [], head, never)
        assert verify(store, [archive / seal.file], head, never).broken == ""
    store.close()


@pytest.mark.parametrize(
    "damage", [lambda content: content + b"x", lambda content: content[:-10], lambda _content: b""]
)
def test_changed_archive_is_found(
    store: SqliteStore, clock: Clock, archive: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = archive / prune(store, clock, archive)[1].file
    path.write_bytes(damage(path.read_bytes()))
    assert f"the archive {path.name} is not as it was sealed" in check(store, archive).broken
    store.close()


def test_archive_of_another_history_is_refused(store: SqliteStore, clock: Clock, tmp_path: Path) -> None:
    other = SqliteBackend(tmp_path / "other").open(clock)
    clock.move(days=-720)
    write_years(other, clock)
    foreign = tmp_path / "foreign" / prune(other, clock, tmp_path / "foreign")[0].file
    with pytest.raises(BadInput, match="no archive of this history"):
        verify(store, [foreign], None, never)
    unknown: list[Path] = []
    assert verify(store, [foreign.parent], None, unknown.append).broken == ""
    assert foreign in unknown
    store.close()
    other.close()


def test_database_from_before_beside_newer_archives_is_whole_and_pruned_again(
    store: SqliteStore, backend: SqliteBackend, clock: Clock, archive: Path
) -> None:
    saved, head = backend.save(), store.verify_history().head
    seals = prune(store, clock, archive)
    store.close()
    backend.restore(saved)
    clock.move(hours=1)
    older, unknown = backend.open(clock), list[Path]()
    assert verify(older, [archive], head, unknown.append).broken == ""
    assert len(unknown) == len(seals)
    again = prune(older, clock, archive)
    assert not {seal.file for seal in again} & {seal.file for seal in seals}
    assert verify(older, [archive], head, unknown.append).broken == ""
    older.close()


def test_run_beside_a_verification_breaks_nothing(
    store: SqliteStore, backend: SqliteBackend, clock: Clock, archive: Path
) -> None:
    other = backend.open(clock)
    read = other.chained_events
    runs: list[int] = []

    def slow(after: int, last: int | None) -> Any:
        if not runs:
            runs.append(len(prune(store, clock, archive)))
        return read(after, last)

    other.chained_events = slow  # type: ignore[method-assign]
    assert other.verify_history().broken == ""
    assert runs[0] > 2
    other.close()
    store.close()


def test_full_disk_leaves_no_file_and_the_history_whole(
    store: SqliteStore, clock: Clock, archive: Path
) -> None:
    class Full:
        """The store, in which the disk is full while certificates are written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def certificates_to_archive(self, _ids: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StateError, match="No space left on device; what is not in an archive stays"):
        prune(Full(), clock, archive)
    assert list(archive.iterdir()) == []
    assert (store.seals(), store.verify_history().broken) == ([], "")
    assert store.claims() == []
    store.close()
