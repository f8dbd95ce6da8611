"""`sslctl backup` while other processes work, and `sslctl restore`."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sslctl.errors import Exit
from sslctl.fleet import enrolment
from sslctl.issuance.batch import Batch
from sslctl.issuance.slots import Slots
from sslctl.issuer import Issued
from sslctl.rules.claim_names import KEY_ROTATION
from sslctl.rules.model import Milestone, Order, Source
from sslctl.rules.reasons import Status
from sslctl.store.interface.domains import Query
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.presence import lock_folder_of
from sslctl.system.locks import locked
from tests.support.cdn import Cdn
from tests.support.fakes import FakeIssuer
from tests.support.lock_holder import holder
from tests.support.store_cases import look_into

NAMES = [f"{number}.example.com" for number in range(8)]


@pytest.fixture
def used(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain("shop.example.com")
    assert cdn.sslctl("add", "shop.example.com").exit_code == Exit.OK
    return cdn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a backup that does not exist yet."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "sslctl.backup"


class GatedIssuer(FakeIssuer):
    """An issuer that, from the fifth order on, places the order and waits before it returns the certificate."""

    def __init__(self, clock: Callable[[], object]) -> None:
        super().__init__(clock)  # type: ignore[arg-type]
        self.placed, self.gate = threading.Semaphore(0), threading.Event()
        self._calls = count(1)

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        number = next(self._calls)
        issued = super().issue(order, on_url, replaces=replaces)
        if number > 4:
            self.placed.release()
            assert self.gate.wait(30)
        return issued


def use_empty_state(cdn: Cdn, monkeypatch: pytest.MonkeyPatch, *, key: bool = True) -> Path:
    """Let the commands use another, empty state folder, with a copy of the key file if `key`; return the folder."""
    folder = cdn.folder / "elsewhere"
    folder.mkdir(mode=0o700)
    if key:
        shutil.copy(cdn.folder / "state" / "master.key", folder / "master.key")
        (folder / "master.key").chmod(0o600)
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(folder))
    return folder


def test_restored_backup_of_a_running_batch_continues_without_a_second_order(
    cdn: Cdn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup made during a batch is restored elsewhere; the next tick continues and places no order twice."""
    cdn.issuer = issuer = GatedIssuer(cdn.clock)
    for name in NAMES:
        cdn.add_domain(name)
    app = cdn.app()
    enrolment.enrol_many(app.store, NAMES, cdn.clock())
    slots = Slots(4)
    batch = Batch(app.pipeline(lambda _domain, _step: None, slots), slots)
    running = threading.Thread(target=batch.run, args=(NAMES,), kwargs={"on_done": lambda _: None})
    running.start()
    for _ in range(4):
        assert issuer.placed.acquire(timeout=30)
    result = cdn.sslctl("backup", str(file), "--json")
    issuer.gate.set()
    running.join()
    app.close()
    assert result.exit_code == Exit.OK
    assert result.json["domains"] == len(NAMES)
    assert 0 < result.json["certificates"] < len(NAMES)
    assert len(issuer.orders) == len(NAMES)
    uploads = sum(len(cdn.uploads(name)) for name in NAMES)

    shutil.copy(cdn.folder / "state" / "master.key", file.parent)
    use_empty_state(cdn, monkeypatch)
    restored = cdn.sslctl("restore", str(file), "--json")
    assert restored.exit_code == Exit.OK, restored.stderr
    assert restored.json["certificates"] == result.json["certificates"]
    listed = cdn.sslctl("list", "--json").json["domains"]
    assert [domain["domain"] for domain in listed] == NAMES
    # C4 was looked at: what it has already is served.
    assert {domain["status"] for domain in listed} <= {Status.PENDING, Status.SUCCESS}
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert {domain["status"] for domain in cdn.sslctl("list", "--json").json["domains"]} == {Status.SUCCESS}
    assert len(issuer.orders) == len(NAMES), "earlier orders were collected, not repeated"
    assert sum(len(cdn.uploads(name)) for name in NAMES) == uploads, "C4 had them all"
    for name in NAMES:
        assert cdn.sslctl("download", name, "-o", str(cdn.folder / name)).exit_code == Exit.OK
        assert "PRIVATE KEY" in (cdn.folder / name / "privkey.pem").read_text()


def test_backup_is_private_and_does_not_contain_the_key(used: Cdn, file: Path) -> None:
    result = used.sslctl("backup", str(file))
    assert result.exit_code == Exit.OK
    assert result.stdout.startswith(f"{file}: 1 domains, 1 certificates, ")
    assert f"without the key file {used.folder}/state/master.key; back that up separately" in result.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    key = (used.folder / "state" / "master.key").read_bytes().strip()
    assert key not in file.read_bytes()
    assert b"PRIVATE KEY" not in file.read_bytes()
    app = used.app()
    assert app.store.milestones()[Milestone.BACKED_UP].detail == str(file)
    app.close()


def test_backup_overwrites_an_existing_file_only_with_force(used: Cdn, file: Path) -> None:
    file.write_text("mine")
    refused = used.sslctl("backup", str(file))
    assert refused.exit_code == Exit.USAGE
    assert "exists already" in refused.stderr
    assert file.read_text() == "mine"
    assert used.sslctl("backup", str(file), "--force").exit_code == Exit.OK
    assert file.read_bytes().startswith(b"SQLite format 3\0")


def test_backup_is_rejected_when_the_folder_is_missing(used: Cdn, file: Path) -> None:
    refused = used.sslctl("backup", str(file.parent / "none" / "file"))
    assert (refused.exit_code, refused.stdout) == (Exit.USAGE, "")
    assert "No such file or directory" in refused.stderr


@pytest.mark.parametrize("name", ["sslctl.db", "master.key"])
def test_backup_never_replaces_the_database_or_the_key_file(used: Cdn, name: str) -> None:
    """Other processes would go on with a file that has no name any more."""
    place = used.folder / "state" / name
    before = place.stat().st_ino, place.read_bytes()
    refused = used.sslctl("backup", str(place), "--force")
    assert (refused.exit_code, refused.stdout) == (Exit.USAGE, "")
    assert "is in use by sslctl itself" in refused.stderr
    assert (place.stat().st_ino, place.read_bytes()) == before


def test_backup_writes_nothing_when_the_database_is_damaged(used: Cdn, file: Path) -> None:
    database = used.folder / "state" / "sslctl.db"
    with look_into(database) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'event_by_domain'")
    refused = used.sslctl("backup", str(file))
    assert refused.exit_code == Exit.UNUSABLE
    assert "is damaged" in refused.stderr
    assert list(file.parent.iterdir()) == []


# Restore


@pytest.fixture
def backup(used: Cdn, file: Path) -> Path:
    """A backup of one served domain."""
    assert used.sslctl("backup", str(file)).exit_code == Exit.OK
    return file


def assert_restore_refused(cdn: Cdn, file: Path, folder: Path, *words: str) -> None:
    before = sorted(os.listdir(folder))  # noqa: PTH208 - names
    result = cdn.sslctl("restore", str(file))
    assert result.exit_code == Exit.UNUSABLE, result
    for word in words:
        assert word in result.stderr
    assert sorted(os.listdir(folder)) == before  # noqa: PTH208 - names


def test_restore_is_refused_when_a_state_exists(used: Cdn, backup: Path) -> None:
    assert_restore_refused(
        used,
        backup,
        used.folder / "state",
        "exists already and holds 1 domains, and restore overwrites nothing",
    )


def test_restore_is_refused_when_a_journal_exists(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    (folder / "sslctl.db-journal").touch()
    assert_restore_refused(used, backup, folder, "sslctl.db-journal exists already")


def _key(folder: Path) -> bytes:
    return (folder / "master.key").read_bytes()


def test_restore_replaces_a_state_that_never_held_a_domain(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that state was made with another key file, and a tick ran over it."""
    folder = use_empty_state(used, monkeypatch, key=False)
    assert used.sslctl("init").exit_code == Exit.OK
    assert used.sslctl("daemon-tick").exit_code == Exit.OK
    (folder / "master.key").write_bytes(_key(used.folder / "state"))
    result = used.sslctl("restore", str(backup))
    assert result.exit_code == Exit.OK, result.stderr
    assert used.sslctl("list", "--json").json["domains"][0]["domain"] == "shop.example.com"
    assert used.sslctl("daemon-tick").exit_code == Exit.OK
    assert used.sslctl("audit", "verify").exit_code == Exit.OK
    assert set(os.listdir(folder)) == {"sslctl.db", "master.key", "tick.lock"}  # noqa: PTH208 - names


def test_process_that_has_the_replaced_state_open_writes_into_the_restored_one(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_empty_state(used, monkeypatch)
    used.make_state()
    app = used.app()
    assert not list(app.store.domains(Query(), used.clock()))
    assert used.sslctl("restore", str(backup)).exit_code == Exit.OK
    app.store.add_domain("late.example.com", (), Source.C4)
    app.close()
    listed = {domain["domain"] for domain in used.sslctl("list", "--json").json["domains"]}
    assert listed == {"shop.example.com", "late.example.com"}
    assert used.sslctl("audit", "verify").exit_code == Exit.OK


def test_restore_waits_for_whoever_works_on_the_empty_state(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation of the keys would drop the key that decrypts the backup."""
    folder = use_empty_state(used, monkeypatch)
    used.make_state()
    with closing(used.app()) as app:
        assert app.store.claim([KEY_ROTATION], timedelta(hours=1))
        refused = used.sslctl("restore", str(backup))
        assert refused.exit_code == Exit.TRY_LATER
        app.store.release([KEY_ROTATION])
    with locked(folder / "tick.lock"):
        assert used.sslctl("restore", str(backup)).exit_code == Exit.TRY_LATER
    assert used.sslctl("list", "--json").json["domains"] == []
    assert used.sslctl("restore", str(backup)).exit_code == Exit.OK


def test_restore_is_refused_when_the_state_held_a_domain_that_was_deleted(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    used.make_state()
    assert used.sslctl("add", "b.example.com", "--no-wait").exit_code == Exit.OK
    assert used.sslctl("delete", "b.example.com", "--yes", "--keep-on-c4").exit_code == Exit.OK
    assert_restore_refused(used, backup, folder, "holds 1 domains, and restore overwrites nothing")


def _kept(folder: Path) -> list[Path]:
    return list(folder.glob("sslctl.db.damaged-*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8192, b"no database" * 100, None],
    ids=["empty", "zeros", "text", "truncated"],
)
def test_restore_replaces_an_empty_or_unreadable_database(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    folder = use_empty_state(used, monkeypatch)
    if content is None:
        content = backup.read_bytes()[:5000]
    (folder / "sslctl.db").write_bytes(content)
    assert used.sslctl("daemon-tick").exit_code == Exit.UNUSABLE
    result = used.sslctl("restore", str(backup))
    assert result.exit_code == Exit.OK, result.stderr
    assert [path.read_bytes() for path in _kept(folder)] == ([content] if content else [])
    assert all(str(path) in result.stderr for path in _kept(folder))
    assert used.sslctl("daemon-tick").exit_code == Exit.OK
    assert used.sslctl("list", "--json").json["domains"][0]["domain"] == "shop.example.com"


def test_failed_restore_does_not_change_the_empty_state(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    used.make_state()
    before = (folder / "sslctl.db").read_bytes()
    backup.write_bytes(backup.read_bytes()[:5000])
    assert used.sslctl("restore", str(backup)).exit_code == Exit.UNUSABLE
    assert (folder / "sslctl.db").read_bytes() == before
    assert set(os.listdir(folder)) == {"sslctl.db", "master.key", "tick.lock"}  # noqa: PTH208 - names


def test_restore_does_not_replace_a_database_of_another_program(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    with look_into(folder / "sslctl.db") as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")
    (folder / "sslctl.db").chmod(0o600)
    assert_restore_refused(used, backup, folder, "is a database of another program")


def test_restore_is_refused_without_the_key_file(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch, key=False)
    assert_restore_refused(used, backup, folder, "master.key is missing", "put it back first")


def test_restore_is_refused_when_the_key_file_does_not_match(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    (folder / "master.key").write_bytes(Fernet.generate_key())
    assert_restore_refused(used, backup, folder, "does not decrypt this database")


def test_restore_is_refused_when_a_private_key_cannot_be_decrypted(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with look_into(backup) as connection:
        connection.execute("UPDATE certificate SET sealed_key = x'00'")
    assert_restore_refused(used, backup, use_empty_state(used, monkeypatch), "does not decrypt this database")


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:20_000])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _text(file: Path) -> None:
    file.write_text("no database at all" * 1000)


def _foreign(file: Path) -> None:
    file.unlink()
    with look_into(file) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")


def _newer(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute("PRAGMA user_version = 999")


def _add_trigger(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute(
            "CREATE TRIGGER kept BEFORE DELETE ON lease BEGIN UPDATE domain SET deleted_at = created_at; END"
        )


def _add_view(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute("ALTER TABLE notice RENAME TO real_notice")
        connection.execute("CREATE VIEW notice AS SELECT * FROM real_notice")


def _add_column(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute("ALTER TABLE domain ADD COLUMN extra TEXT")


def _drop_trigger(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute("DROP TRIGGER event_kept")


def _drop_index(file: Path) -> None:
    with look_into(file) as connection:
        connection.execute("DROP INDEX certificate_facts")


def _weaken(file: Path) -> None:
    """Take a constraint out of a table's definition, as SQLite itself lets a writer do."""
    with look_into(file) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'domain'")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_add_trigger, "the trigger kept is not sslctl's"),
        (_add_view, "the table notice is missing"),
        (_add_column, "the table domain is changed"),
        (_drop_trigger, "the trigger event_kept is missing"),
        (_drop_index, "the index certificate_facts is missing"),
        (_weaken, "the table domain is changed"),
        (_truncate, "cannot be copied"),
        (_empty, "database of another program"),
        (_text, "cannot be copied"),
        (_foreign, "database of another program"),
        (_newer, "written by a newer sslctl"),
    ],
)
def test_restore_refuses_an_invalid_backup_and_does_not_change_it(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(backup)
    before = backup.read_bytes()
    assert_restore_refused(used, backup, use_empty_state(used, monkeypatch), words)
    assert backup.read_bytes() == before


def test_restore_drops_the_claims_in_the_backup(
    used: Cdn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with look_into(used.folder / "state" / "sslctl.db") as connection:
        connection.execute(
            "INSERT INTO lease VALUES ('tick', 'otherhost/1/1', '2099-01-01T00:00:00Z'),"
            " ('shop.example.com', 'otherhost/1/1', '2099-01-01T00:00:00Z')"
        )
    assert used.sslctl("backup", str(file)).exit_code == Exit.OK
    use_empty_state(used, monkeypatch)
    assert used.sslctl("restore", str(file)).exit_code == Exit.OK
    assert used.sslctl("daemon-tick").exit_code == Exit.OK
    assert used.sslctl("list", "--json").json["domains"][0]["status"] == Status.SUCCESS


def test_tick_verifies_served_domains_after_a_restore(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_empty_state(used, monkeypatch)
    result = used.sslctl("restore", str(backup))
    assert "daemon-tick" in result.stderr
    view = used.sslctl("view", "shop.example.com", "--json").json["domain"]
    assert (view["status"], view["serving"]["version"]) == (Status.SUCCESS, 1)
    assert [(event["kind"], event["detail"]) for event in view["events"][-2:]] == [
        ("not serving", "restored from a backup"),
        ("serving", "C4 confirmed it"),
    ]
    assert used.sslctl("daemon-tick").exit_code == Exit.OK
    assert len(used.issuer.orders) == 1
    assert used.uploads("shop.example.com") == [200]


def test_tick_verifies_a_text_certificate_after_a_restore(
    cdn: Cdn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdn.add_domain("text.example.com")
    pair = cdn.paste(cdn.text_pair("text.example.com"))
    assert cdn.sslctl("add", "text.example.com", *pair).exit_code == Exit.OK
    assert cdn.sslctl("backup", str(file)).exit_code == Exit.OK
    use_empty_state(cdn, monkeypatch)
    assert cdn.sslctl("restore", str(file)).exit_code == Exit.OK
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert cdn.sslctl("list", "--json").json["domains"][0]["status"] == Status.SUCCESS


def test_restore_migrates_an_older_backup(used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(backup)) as connection:
        newer = "".join(MIGRATIONS[4:])
        connection.execute("DROP TRIGGER event_kept")
        connection.execute(re.findall(r"CREATE TRIGGER event_kept.*?END", MIGRATIONS[3], re.DOTALL)[0])
        for table in set(re.findall(r"CREATE TABLE (\w+)", newer)) - {"routed_notice"}:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'domain_id INTEGER REF', 'domain_id INTEGER NOT NULL REF')"
            " WHERE name = 'event'"
        )
        connection.execute("PRAGMA writable_schema = RESET")
        for column in re.findall(r"ALTER TABLE certificate ADD COLUMN (\w+)", newer):
            connection.execute(f"ALTER TABLE certificate DROP COLUMN {column}")
        for column in re.findall(r"ALTER TABLE acme_order ADD COLUMN (\w+)", newer):
            connection.execute(f"ALTER TABLE acme_order DROP COLUMN {column}")
        for index in (
            "domain_by_observation",
            "domain_by_dns_check",
            "domain_by_suspicion",
            "domain_facts",
            "domain_by_snooze",
            "acme_order_by_day",
            "certificate_in_use",
            "certificate_revoked",
            "domain_by_caution",
            "domain_not_plain",
            "domain_by_other_names",
            "domain_by_wanted",
            "domain_by_serving",
            "acme_order_name_by_order",
        ):
            connection.execute(f"DROP INDEX {index}")
        for column in re.findall(r"ALTER TABLE domain ADD COLUMN (\w+)", "".join(MIGRATIONS[7:])):
            connection.execute(f"ALTER TABLE domain DROP COLUMN {column}")
        connection.execute(re.findall(r"CREATE INDEX domain_facts[^;]*", MIGRATIONS[1])[0])
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
    use_empty_state(used, monkeypatch)
    assert used.sslctl("restore", str(backup)).exit_code == Exit.OK
    assert used.sslctl("download", "shop.example.com", "-o", str(used.folder / "files")).exit_code == Exit.OK


@pytest.mark.parametrize(
    "content", [None, b"", b"no database at all"], ids=["missing", "empty", "unreadable"]
)
def test_restore_waits_for_a_living_process_of_a_lost_database(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """Its claims cannot be read any more, but its lock shows that it lives and may still write."""
    folder = use_empty_state(used, monkeypatch)
    database = folder / "sslctl.db"
    if content is not None:
        database.write_bytes(content)
    with holder(lock_folder_of(database)):
        refused = used.sslctl("restore", str(backup))
        assert (refused.exit_code, "another sslctl works on the state" in refused.stderr) == (
            Exit.TRY_LATER,
            True,
        )
        assert (database.read_bytes() if database.exists() else None) == content
    assert used.sslctl("restore", str(backup)).exit_code == Exit.OK


def test_restored_state_is_readable_only_by_its_owner(
    used: Cdn, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_empty_state(used, monkeypatch)
    backup.chmod(0o644)
    assert used.sslctl("restore", str(backup)).exit_code == Exit.OK
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "sslctl.db": 0o600,
        "master.key": 0o600,
    }
    app = used.app()
    assert app.store.milestones()[Milestone.RESTORED].at == used.clock()
    assert app.store.claim(["a.test"], timedelta(minutes=1)) == {"a.test"}
    app.close()
