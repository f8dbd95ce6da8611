"""`sslctl keys rotate` and `sslctl keys prune`: no key is lost, even if the process is killed at any moment."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sslctl.errors import Busy, Exit, StateError
from sslctl.rules.claim_names import KEY_ROTATION, domain_claim
from sslctl.rules.model import Milestone, Source
from sslctl.rules.versions import key_unneeded_since
from sslctl.store.keyring import Keyring
from sslctl.store.sql.keys import ENCRYPTED
from sslctl.store.sqlite.store import SqliteStore
from tests.support import environment
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    bundle,
    database_of,
    held,
    issue,
    key_of,
    kinds,
    leaf,
    look_into,
    open_order,
    open_store,
    private_key,
    serve,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder with certificates and an open order."""
    folder = tmp_path / "state"
    store = open_store(folder)
    for number in range(2):
        serve(store, issue(store, store.add_domain(f"{number}.test", (), Source.C4)))
    open_order(store, store.add_domain(NAME, (), Source.C4))
    store.close()
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """The store of `folder`."""
    store = open_store(folder)
    yield store
    store.close()


def lines(folder: Path) -> list[bytes]:
    return key_of(folder).read_bytes().split()


def tokens(folder: Path) -> list[bytes]:
    with look_into(database_of(folder)) as connection:
        return [
            token
            for table, _, column in ENCRYPTED
            for (token,) in connection.execute(f"SELECT {column} FROM {table} WHERE length({column}) > 0")  # noqa: S608
        ]


# Rotation


def test_rotation_covers_every_encrypted_column(folder: Path) -> None:
    with look_into(database_of(folder)) as connection:
        blobs = connection.execute(
            """SELECT schema.name, info.name FROM sqlite_schema AS schema, pragma_table_info(schema.name) AS info
            WHERE schema.type = 'table' AND info.type = 'BLOB'"""
        ).fetchall()
    # The state of the audit's chain is no secret: without the sealed key nothing can be done with it.
    assert set(blobs) - {("audit_chain", "state")} == {(table, column) for table, _, column in ENCRYPTED}


def test_rotate_keys_re_encrypts_everything_with_the_new_key_alone(folder: Path, store: SqliteStore) -> None:
    [old] = lines(folder)
    number = len(tokens(folder))
    rotated = store.rotate_keys()
    assert (rotated.rewrapped, rotated.went_on, rotated.left) == (number, False, 0)
    [new] = lines(folder)
    assert new != old
    assert stat.S_IMODE(key_of(folder).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir() if "master.key" in path.name] == ["master.key"]
    for token in tokens(folder):
        Fernet(new).decrypt(token)
    assert store.bundle(held(store.domain("0.test"))).private_key == private_key()
    assert store.milestones()[Milestone.KEYS_ROTATED].detail == f"{number} re-encrypted"


def test_rotate_keys_leaves_no_old_ciphertext_in_the_database_file(folder: Path, store: SqliteStore) -> None:
    before = tokens(folder)
    store.rotate_keys()
    content = database_of(folder).read_bytes()
    assert not [token for token in before if token in content]


def test_store_opened_before_a_rotation_still_encrypts_and_decrypts_after_it(
    folder: Path, store: SqliteStore
) -> None:
    other = open_store(folder)
    other.rotate_keys()
    # The store encrypts with the current key ...
    open_order(store, store.add_domain("new.test", (), Source.C4))
    for token in tokens(folder):
        Fernet(lines(folder)[0]).decrypt(token)
    # ... and decrypts what was re-encrypted.
    other.rotate_keys()
    assert store.bundle(held(store.domain("0.test"))).private_key == private_key()
    other.close()


def test_loaded_keyring_still_decrypts_after_its_key_left_the_file(folder: Path, store: SqliteStore) -> None:
    keyring = Keyring(key_of(folder))
    keyring.load()
    before = tokens(folder)
    store.rotate_keys()
    for token in (*tokens(folder), *before):
        keyring.decrypt(token)


_ORDERING = """
import sys
from itertools import count
from pathlib import Path
from sslctl.rules.model import Source
from tests.support.store_cases import open_order, open_store
store, stop = open_store(Path(sys.argv[1])), Path(sys.argv[3])
for number in count():
    open_order(store, store.add_domain(f"{number}.{sys.argv[2]}.test", (), Source.C4))
    print(number, flush=True)
    if stop.exists():
        break
"""


def test_rotate_keys_loses_nothing_while_other_processes_write(
    folder: Path, store: SqliteStore, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _ORDERING, str(folder), str(number), str(stop)],
                    env=environment(),
                    stdout=subprocess.PIPE,
                )
            )
            for number in range(2)
        ]
        stack.callback(stop.touch)
        written = [0, 0]
        for _ in range(5):
            # Each rotation begins after further orders, and others are written during it.
            for number, run in enumerate(runs):
                assert run.stdout is not None
                for _ in range(12):
                    assert int(run.stdout.readline()) == written[number]
                    written[number] += 1
            store.rotate_keys()
        assert [run.poll() for run in runs] == [None, None]
        stop.touch()
        for number, run in enumerate(runs):
            assert run.stdout is not None
            written[number] += len(run.stdout.read().split())
            assert run.wait(PATIENCE) == 0
    assert len(tokens(folder)) == sum(written) + 5
    [key] = lines(folder)
    for token in tokens(folder):
        Fernet(key).decrypt(token)


# The child process is killed at each line of the code in turn.
_KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from tests.support.store_cases import key_of, open_store

source, place = Path(sys.argv[1]), Path(sys.argv[2])

def rotate(moment):
    left = moment
    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.endswith(("store/keyring.py", "sql/maintenance.py", "system/files.py")):
            return None
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    store = open_store(place)
    sys.settrace(trace)
    store.rotate_keys()
    os._exit(0)

seen = set()
for moment in itertools.count(1):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    child = os.fork()
    if not child:
        rotate(moment)
    ended = os.waitpid(child, 0)[1]
    seen.add(len(key_of(place).read_bytes().split()))
    store = open_store(place)
    store.require_keys()
    if ended == 0:
        break
    store.rotate_keys()
    store.require_keys()
    store.close()
    assert len(key_of(place).read_bytes().split()) == 1, moment
    left = {path.name for path in place.iterdir()} - {"sslctl.db", "master.key"}
    assert left <= {"sslctl.db-journal"}, left
print(moment, sorted(seen))
"""


def test_rotate_keys_killed_at_any_line_loses_no_key_and_the_next_run_completes_it(
    folder: Path, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _KILLED, str(folder), str(tmp_path / "copy")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    moments, _, seen = ran.stdout.strip().partition(" ")
    assert int(moments) > 100
    assert seen == "[1, 2]", "before, between and after"


def test_rotate_keys_raises_busy_while_another_rotation_runs(folder: Path, store: SqliteStore) -> None:
    other = open_store(folder)
    assert other.claim([KEY_ROTATION], timedelta(hours=1))
    code = "import sys; from pathlib import Path; from tests.support.store_cases import open_store\n"
    code += "from sslctl.errors import Busy\n"
    code += (
        "try: open_store(Path(sys.argv[1])).rotate_keys()\nexcept Busy as error: print(error.message, end='')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "the keys are being rotated already"
    other.close()
    assert store.rotate_keys().rewrapped


def test_rotate_keys_drops_no_key_when_a_value_cannot_be_decrypted(folder: Path, store: SqliteStore) -> None:
    [old] = lines(folder)
    stranger = Fernet(Fernet.generate_key()).encrypt(b"key")
    with look_into(database_of(folder)) as connection:
        connection.execute("UPDATE certificate SET sealed_key = ? WHERE id = 2", (stranger,))
    for _ in range(2):
        with pytest.raises(StateError, match="decrypts certificate 2, so no key was dropped"):
            store.rotate_keys()
        assert lines(folder)[1:] == [old]


def test_keyring_replace_raises_busy_when_the_file_was_changed_meanwhile(folder: Path) -> None:
    keyring = Keyring(key_of(folder))
    other = Fernet.generate_key()
    with pytest.raises(Busy, match="changed by another process"):
        keyring.replace([other], [other])
    assert lines(folder) != [other]


def test_rotate_keys_follows_a_symlink_to_the_key_file_and_keeps_the_link(
    folder: Path, tmp_path: Path
) -> None:
    real = tmp_path / "real.key"
    key_of(folder).rename(real)
    key_of(folder).symlink_to(real)
    before = real.read_bytes()
    store = open_store(folder)
    store.rotate_keys()
    store.close()
    assert key_of(folder).is_symlink()
    assert real.read_bytes() != before


# systemd's credentials


@pytest.fixture
def credentials(folder: Path, tmp_path: Path) -> Path:
    """A folder as `LoadCredential=` makes it: the key file is group-readable, as an access list appears in its mode."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    shutil.move(key_of(folder), credentials / "master.key")
    (credentials / "master.key").chmod(0o440)
    return credentials


def with_credential(folder: Path, credentials: Path, *, create: bool = False) -> SqliteStore:
    keyring = Keyring(credentials / "master.key", credentials=credentials)
    return SqliteStore(database_of(folder), keyring, clock=Clock(), actor="tester", create=create)


def test_group_readable_key_file_is_accepted_only_as_a_systemd_credential(
    folder: Path, credentials: Path
) -> None:
    store = with_credential(folder, credentials)
    assert store.bundle(held(store.domain("0.test"))).private_key == private_key()
    store.close()
    with pytest.raises(StateError, match="can be read by other users"):
        Keyring(credentials / "master.key").read()
    with pytest.raises(StateError, match="can be read by other users"):
        Keyring(credentials / "master.key", credentials=folder).read()


def test_world_readable_credential_is_refused(folder: Path, credentials: Path) -> None:
    (credentials / "master.key").chmod(0o444)
    with pytest.raises(StateError, match="can be read by other users"):
        with_credential(folder, credentials)


def test_missing_credential_is_never_created(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    with pytest.raises(StateError, match="sslctl does not create it") as refused:
        with_credential(tmp_path / "new", tmp_path / "credentials", create=True)
    assert "LoadCredential=" in str(refused.value.hint)
    assert list((tmp_path / "credentials").iterdir()) == []


def test_rotate_keys_of_a_credential_is_done_by_hand_in_two_steps(folder: Path, credentials: Path) -> None:
    store = with_credential(folder, credentials)
    file = credentials / "master.key"
    old, new = file.read_bytes(), Fernet.generate_key() + b"\n"
    with pytest.raises(StateError, match="must not be changed by sslctl") as refused:
        store.rotate_keys()
    assert "as its first line by hand" in str(refused.value.hint)
    assert file.read_bytes() == old
    file.write_bytes(new + old)
    rotated = store.rotate_keys()
    assert (rotated.rewrapped, rotated.went_on, rotated.left) == (len(tokens(folder)), True, 1)
    assert file.read_bytes() == new + old
    file.write_bytes(new)
    store.close()
    store = with_credential(folder, credentials)
    store.require_keys()
    store.close()


def test_command_accepts_a_key_file_in_the_credentials_directory(
    new_cdn: Cdn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "key").write_bytes(Fernet.generate_key())
    (folder / "key").chmod(0o440)
    monkeypatch.setenv("SSLCTL_STATE_KEY_FILE", str(folder / "key"))
    assert new_cdn.sslctl("init").exit_code == Exit.UNUSABLE
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert new_cdn.sslctl("init").exit_code == Exit.OK
    assert new_cdn.sslctl("list").exit_code == Exit.OK
    refused = new_cdn.sslctl("keys", "rotate")
    assert refused.exit_code == Exit.UNUSABLE
    assert "by hand" in refused.stderr


# The commands


def test_keys_rotate_reports_how_many_secrets_it_re_encrypted(cdn: Cdn) -> None:
    cdn.add_domain("shop.example.com")
    cdn.sslctl("add", "shop.example.com")
    result = cdn.sslctl("keys", "rotate")
    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("Re-encrypted 3 secrets with the new key in ")
    assert "new backup" in result.stderr
    report = cdn.sslctl("keys", "rotate", "--json").json
    assert (report["rewrapped"], report["went_on"], report["left"]) == (3, False, 0)
    assert cdn.sslctl("download", "shop.example.com", "-o", str(cdn.folder / "files")).exit_code == Exit.OK


@pytest.fixture
def renewed(cdn: Cdn) -> str:
    """A domain whose first certificate was replaced."""
    name = "shop.example.com"
    cdn.add_domain(name)
    cdn.sslctl("add", name)
    cdn.clock.move(days=1)
    assert cdn.sslctl("recheck", name, "--force-renew").exit_code == Exit.OK
    return name


def prune(cdn: Cdn, *arguments: str) -> list[tuple[str, int]]:
    result = cdn.sslctl("keys", "prune", "--json", *arguments)
    assert result.exit_code == Exit.OK, result.stderr
    return [(key["domain"], key["version"]) for key in result.json["keys"]]


def test_keys_prune_destroys_the_key_of_a_replaced_certificate_after_30_days(cdn: Cdn, renewed: str) -> None:
    cdn.clock.move(days=29, hours=23)
    assert prune(cdn) == []
    cdn.clock.move(hours=1)
    assert prune(cdn, "--dry-run") == [(renewed, 1)]
    assert prune(cdn) == [(renewed, 1)]
    assert prune(cdn) == []
    refused = cdn.sslctl("download", renewed, "--version", "1", "-o", str(cdn.folder / "files"))
    assert refused.exit_code == Exit.NOT_MANAGED
    assert "the private key of version 1 of shop.example.com was destroyed" in refused.stderr
    assert not (cdn.folder / "files").exists()
    assert cdn.sslctl("download", renewed, "-o", str(cdn.folder / "files")).exit_code == Exit.OK
    view = cdn.sslctl("view", renewed, "--json").json["domain"]
    assert [one["key_destroyed_at"] is None for one in view["certificates"]] == [True, False]
    assert view["events"][-2]["kind"] == "key destroyed"
    assert view["events"][-2]["version"] == 1
    assert ", key destroyed\n" in cdn.sslctl("view", renewed).stdout
    # The rotation skips destroyed keys.
    assert cdn.sslctl("keys", "rotate", "--json").json["rewrapped"] == 3


def test_keys_prune_leaves_no_trace_of_the_key_in_the_database_file(cdn: Cdn, renewed: str) -> None:
    database = cdn.folder / "state" / "sslctl.db"
    with look_into(database) as connection:
        [sealed] = connection.execute("SELECT sealed_key FROM certificate WHERE version = 1").fetchone()
    assert sealed in database.read_bytes()
    assert prune(cdn, "--older-than", "0") == [(renewed, 1)]
    assert sealed not in database.read_bytes()


def test_keys_prune_keeps_the_key_of_a_served_certificate_after_expiry(cdn: Cdn, renewed: str) -> None:
    cdn.clock.move(days=400)
    assert prune(cdn) == [(renewed, 1)]


def test_keys_prune_keeps_the_key_of_a_deleted_domain_while_its_certificate_is_reusable(
    cdn: Cdn, renewed: str
) -> None:
    cdn.sslctl("delete", renewed, "--yes")
    assert prune(cdn, "--older-than", "0") == [(renewed, 1)]
    assert cdn.sslctl("add", renewed).exit_code == Exit.OK
    assert len(cdn.issuer.orders) == 2, "version 2 was put back"
    cdn.sslctl("delete", renewed, "--yes")
    cdn.clock.move(days=90)
    assert prune(cdn, "--older-than", "0") == [(renewed, 2)]
    assert cdn.sslctl("add", renewed).exit_code == Exit.OK
    assert len(cdn.issuer.orders) == 3


def test_keys_prune_skips_a_domain_that_another_process_has_claimed(cdn: Cdn, renewed: str) -> None:
    code = "import sys, time; from datetime import *; from pathlib import Path; from tests.support.store_cases import open_store\n"
    code += f"print(open_store(Path(sys.argv[1])).claim([{domain_claim(renewed)!r}], timedelta(days=999)), flush=True)\n"
    code += "time.sleep(60)"
    folder = cdn.folder / "state"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], env=environment(), stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert domain_claim(renewed).encode() in other.stdout.readline()
        result = cdn.sslctl("keys", "prune", "--older-than", "0", "--json")
        other.kill()
    assert (result.exit_code, result.json["keys"], result.json["busy"]) == (Exit.TRY_LATER, [], 1)
    assert "skipped 1 domain that another command works on" in result.stderr
    assert prune(cdn, "--older-than", "0") == [(renewed, 1)]


def test_removed_text_certificate_keeps_its_key_until_the_new_one_is_served(store: SqliteStore) -> None:
    domain = serve(store, store.add_text_certificate("text.test", (), bundle(), leaf(names=("text.test",))))
    text = held(domain)
    domain = store.mark_not_serving(
        issue(store, store.update_domain(domain, (), Source.C4)), "the text certificate is being replaced"
    )
    with pytest.raises(Busy):
        store.destroy_key(domain, held(domain))
    versions = store.certificates(domain)
    later = START + timedelta(days=60)
    assert [key_unneeded_since(one, domain, versions, later) for one in versions] == [None, None]
    domain = serve(store, domain)
    versions = store.certificates(domain)
    assert [key_unneeded_since(one, domain, versions, later) for one in versions] == [None, START]
    store.destroy_key(domain, text)
    assert kinds(store, domain)[-1] == "key destroyed"
    assert store.bundle(text).private_key == ""


def test_certificate_that_was_never_served_is_superseded_by_the_next_one(store: SqliteStore) -> None:
    domain = issue(store, issue(store, store.add_domain("over.test", (), Source.C4)))
    versions = store.certificates(domain)
    assert [key_unneeded_since(one, domain, versions, START) for one in versions] == [None, START]


def test_keys_prune_prints_each_key_and_a_total(cdn: Cdn, renewed: str) -> None:
    output = cdn.sslctl("keys", "prune", "--older-than", "0", "--dry-run").stdout
    assert output == (
        "DOMAIN            VERSION  SUPERSEDED\n"
        f"{renewed}  1        2026-11-24 12:00 SGT\n"
        "1 private key would be destroyed (--dry-run)\n"
    )
    assert cdn.sslctl("keys", "prune").stdout == "0 private keys destroyed\n"
    assert json.loads(cdn.sslctl("keys", "prune", "--json").stdout)["dry_run"] is False


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_keys_prune_destroys_all_keys_although_the_reader_of_its_output_has_left(
    cdn: Cdn, renewed: str, form: tuple[str, ...]
) -> None:
    with look_into(database_of(cdn.folder / "state")) as connection, connection:
        # The process goes by the real time.
        connection.execute("UPDATE certificate SET issued_at = '2020-01-01T00:00:00Z'")
        connection.execute("UPDATE certificate SET replaced_at = issued_at WHERE replaced_at IS NOT NULL")
    command = [sys.executable, "-m", "sslctl", "--config", str(cdn.config_path), "keys", "prune"]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*command, "--older-than", "0", *form],
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")
    app = cdn.app()
    # It is recorded after the last key.
    assert app.store.milestones()[Milestone.KEYS_PRUNED].detail == "1 destroyed"
    app.close()
    assert "key destroyed" in cdn.sslctl("view", renewed).stdout


def test_rotation_whose_claim_was_broken_stops_and_the_next_one_completes_it(cdn: Cdn) -> None:
    """Two rotations at once could each replace the other's new key."""
    cdn.add_domain("shop.example.com")
    assert cdn.sslctl("add", "shop.example.com").exit_code == 0
    database = cdn.folder / "state" / "sslctl.db"
    with look_into(database) as connection:
        # Breaks the claim after the first of the values was re-encrypted.
        connection.execute("CREATE TRIGGER thief AFTER UPDATE ON key_check BEGIN DELETE FROM lease; END")
    stopped = cdn.sslctl("keys", "rotate")
    assert (stopped.exit_code, stopped.stdout) == (75, "")
    assert "lost its claim on the rotation of the keys" in stopped.stderr
    assert len((cdn.folder / "state" / "master.key").read_text().split()) == 2, "both keys are needed"
    with look_into(database) as connection:
        connection.execute("DROP TRIGGER thief")
    assert cdn.sslctl("download", "shop.example.com", "-o", str(cdn.folder / "files")).exit_code == 0
    assert cdn.sslctl("keys", "rotate").exit_code == 0
    assert len((cdn.folder / "state" / "master.key").read_text().split()) == 1
