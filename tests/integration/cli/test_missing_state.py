"""No state, or what remains of a lost one: only `init`, `add` and `restore` create a state, and say so."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sslctl.errors import Exit
from tests.support import environment_without_settings
from tests.support.cdn import Cdn, Result
from tests.support.store_cases import PATIENCE, database_of, key_of, look_into

NAME = "shop.example.com"
COMMANDS = [
    "list",
    "list --deleted --json",
    f"view {NAME}",
    f"download {NAME}",
    f"delete {NAME} --yes",
    "recheck",
    f"recheck {NAME}",
    f"note {NAME} mailed",
    f"snooze {NAME} --until 3d",
    "daemon-tick",
    "daemon-tick --dry-run",
    "forecast",
    "audit list",
    "audit verify",
    "keys rotate",
    "keys prune",
    "backup BACKUP",
]


def words(text: str) -> list[str]:
    return text.split()


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file below `folder` with its bytes; None means a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def state_of(cdn: Cdn) -> Path:
    return cdn.folder / "state"


def run(cdn: Cdn, command: str) -> list[str]:
    """Return the command with a path of its own for a backup."""
    return [str(cdn.folder / "backup") if word == "BACKUP" else word for word in words(command)]


def assert_no_result(result: Result) -> None:
    """Assert that standard output is empty, or has only a JSON error about the state."""
    assert not result.stdout or result.json["error"] == "STATE"


# No state


@pytest.mark.parametrize("command", COMMANDS)
def test_command_ends_with_8_and_creates_nothing_when_there_is_no_state(new_cdn: Cdn, command: str) -> None:
    before = content(new_cdn.folder)
    result = new_cdn.sslctl(*run(new_cdn, command))
    assert result.exit_code == Exit.UNUSABLE
    assert_no_result(result)
    error, hint = result.stderr.splitlines()
    assert error == f"sslctl: error: there is no state in {state_of(new_cdn)}: sslctl.db does not exist"
    assert "`sslctl init`" in hint
    assert "`sslctl restore FILE`" in hint
    assert content(new_cdn.folder) == before
    assert (new_cdn.c4.requests, new_cdn.issuer.orders) == ((), [])


def test_state_folder_that_is_a_dangling_link_is_no_state(new_cdn: Cdn) -> None:
    """Such as the mount point of a disk that is not mounted."""
    state_of(new_cdn).symlink_to(new_cdn.folder / "gone" / "state")
    for command in ("list", f"add {NAME} --no-wait", "init"):
        result = new_cdn.sslctl(*words(command))
        assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
        assert str(state_of(new_cdn)) in result.stderr
    assert not (new_cdn.folder / "gone").exists()


@pytest.mark.parametrize("place", ["dangling link", "folder"])
def test_database_that_is_a_dangling_link_or_a_folder_is_refused(new_cdn: Cdn, place: str) -> None:
    state_of(new_cdn).mkdir(mode=0o700)
    database = database_of(state_of(new_cdn))
    if place == "folder":
        database.mkdir()
    else:
        database.symlink_to(new_cdn.folder / "gone.db")
    for command in ("list", f"add {NAME} --no-wait", "init"):
        result = new_cdn.sslctl(*words(command))
        assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
        assert str(database) in result.stderr
    assert not (new_cdn.folder / "gone.db").exists()
    assert not key_of(state_of(new_cdn)).exists()


def test_tick_from_cron_without_its_state_ends_with_8_and_sends_no_ping(
    cdn: Cdn, listener: socket.socket, tmp_path: Path
) -> None:
    """A typo in a path, or a lost database: a real process, whose ping a monitor must miss."""
    host, port = listener.getsockname()
    with cdn.config_path.open("a") as file:
        file.write(f'\n[notify]\nping_url = "http://{host}:{port}/ping"\n')
    cdn.config_path.chmod(0o600)
    missing, lost = tmp_path / "sate", tmp_path / "lost"
    shutil.copytree(state_of(cdn), lost)
    database_of(lost).write_bytes(b"")
    for arguments, settings in (
        (["--config", str(cdn.config_path)], {"SSLCTL_STATE_DIR": str(lost)}),
        (["--config", str(cdn.config_path)], {"SSLCTL_STATE_DIR": str(missing)}),
        (["--config", str(cdn.config_path.with_name("confg.toml"))], {}),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "sslctl", *arguments, "daemon-tick", "-q"],
            env=environment_without_settings(**settings),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (Exit.UNUSABLE, "")
        assert "error: " in ended.stderr
    assert not missing.exists()
    left = content(lost)
    # So that the next tick does not print the same again.
    assert b"the state was lost" in (left.pop("reported.json") or b"")
    assert left == {"sslctl.db": b"", "master.key": key_of(state_of(cdn)).read_bytes()}
    with pytest.raises(BlockingIOError):
        listener.accept()


# Creation


def test_init_creates_a_state_once(new_cdn: Cdn) -> None:
    state = state_of(new_cdn)
    first = new_cdn.sslctl("init", "--json")
    assert (first.exit_code, first.stderr) == (Exit.OK, "")
    files = {"database": str(database_of(state)), "key_file": str(key_of(state))}
    assert first.json == {"schema_version": 1, "created": True, **files}
    before = content(state)
    again = new_cdn.sslctl("init")
    assert (again.exit_code, again.stderr) == (Exit.OK, "")
    assert again.stdout == f"There is a state already: {database_of(state)}. Nothing was changed.\n"
    assert new_cdn.sslctl("init", "--json").json == {"schema_version": 1, "created": False, **files}
    assert content(state) == before
    assert set(before) == {"sslctl.db", "master.key"}
    assert new_cdn.sslctl("list").exit_code == Exit.OK


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_add_creates_a_state_and_reports_it_once(new_cdn: Cdn, option: list[str]) -> None:
    new_cdn.add_domain(NAME)
    state = state_of(new_cdn)
    first = new_cdn.sslctl("add", NAME, *option)
    assert first.exit_code == Exit.OK
    assert first.stderr == (
        f"sslctl: created a new state: {database_of(state)}, with the key file {key_of(state)}\n"
    )
    assert new_cdn.sslctl("add", NAME, *option).stderr == ""


def test_several_first_commands_at_once_create_one_state(new_cdn: Cdn) -> None:
    """A key file of one of them is no remains of a lost state for the others."""
    for attempt in range(3):
        state = new_cdn.folder / f"state{attempt}"
        settings = {"SSLCTL_CONFIG": str(new_cdn.config_path), "SSLCTL_STATE_DIR": str(state)}
        program = [sys.executable, "-m", "sslctl", "add", "--no-wait"]
        running = [
            subprocess.Popen(
                [*program, f"{number}.example.com"],
                env=environment_without_settings(**settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(4)
        ]
        ended = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in running]
        assert {code for _, code in ended} == {Exit.OK}, ended
        with look_into(database_of(state)) as connection:
            assert connection.execute("SELECT count(*) FROM domain").fetchone() == (4,)
        assert set(content(state)) == {"sslctl.db", "master.key"}


def test_init_uses_a_key_file_that_was_prepared(new_cdn: Cdn) -> None:
    state = state_of(new_cdn)
    state.mkdir(mode=0o700)
    key = Fernet.generate_key()
    key_of(state).write_bytes(key)
    key_of(state).chmod(0o600)
    refused = new_cdn.sslctl("add", NAME, "--no-wait")
    assert refused.exit_code == Exit.UNUSABLE
    assert "`sslctl init` creates that" in refused.stderr
    assert not database_of(state).exists()
    assert new_cdn.sslctl("init").exit_code == Exit.OK
    assert key_of(state).read_bytes() == key
    assert new_cdn.sslctl("add", NAME, "--no-wait").exit_code == Exit.OK


def test_state_whose_creation_was_interrupted_is_completed_by_init(new_cdn: Cdn) -> None:
    """A kill right before the key file was created."""
    new_cdn.make_state()
    state = state_of(new_cdn)
    key_of(state).unlink()
    with look_into(database_of(state)) as connection:
        connection.execute("DELETE FROM key_check")
        connection.execute("DELETE FROM audit_chain")
    refused = new_cdn.sslctl("daemon-tick")
    assert refused.exit_code == Exit.UNUSABLE
    assert "its creation was interrupted" in refused.stderr
    assert not key_of(state).exists()
    assert new_cdn.sslctl("init").exit_code == Exit.OK
    assert new_cdn.sslctl("daemon-tick").exit_code == Exit.OK


# Lost


def _delete_database(state: Path) -> None:
    database_of(state).unlink()


def _empty_database(state: Path) -> None:
    database_of(state).write_bytes(b"")


def _drop_schema(state: Path) -> None:
    database_of(state).unlink()
    with look_into(database_of(state)) as connection:
        connection.execute("CREATE TABLE unused (a)")
        connection.execute("DROP TABLE unused")


def _zero_database(state: Path) -> None:
    database_of(state).write_bytes(b"\0" * database_of(state).stat().st_size)


def _truncate_database(state: Path) -> None:
    database_of(state).write_bytes(database_of(state).read_bytes()[:5000])


LOSSES = [_delete_database, _empty_database, _drop_schema, _zero_database, _truncate_database]


@pytest.fixture
def used(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    return cdn


@pytest.mark.parametrize("command", [*COMMANDS, f"add {NAME}", f"add {NAME} --no-wait", "init"])
@pytest.mark.parametrize("lose", LOSSES)
def test_command_ends_with_8_and_changes_nothing_when_the_database_is_lost(
    used: Cdn, lose: Callable[[Path], None], command: str
) -> None:
    lose(state_of(used))
    if command == "init":
        _keep_account(state_of(used))
    before, requests = content(used.folder), used.c4.requests
    result = used.sslctl(*run(used, command))
    assert result.exit_code == Exit.UNUSABLE
    assert_no_result(result)
    assert str(database_of(state_of(used))) in result.stderr
    assert "`sslctl restore FILE`" in result.stderr
    assert content(used.folder) == before
    assert used.c4.requests == requests


def _keep_account(state: Path) -> None:
    account = state / "acme" / "accounts" / "ca.test" / "directory" / "1"
    account.mkdir(parents=True)
    (account / "regr.json").write_text("{}")


def _keep_journal(state: Path) -> None:
    (state / "sslctl.db-journal").write_bytes(b"journal")


@pytest.mark.parametrize("gap", [_delete_database, _empty_database])
@pytest.mark.parametrize(
    ("keep", "words"), [(_keep_account, "an account at a CA"), (_keep_journal, "sslctl.db-journal")]
)
@pytest.mark.parametrize("has_key", [True, False])
def test_init_refuses_when_something_of_a_state_remains(
    used: Cdn, keep: Callable[[Path], None], words: str, gap: Callable[[Path], None], *, has_key: bool
) -> None:
    gap(state_of(used))
    keep(state_of(used))
    if not has_key:
        key_of(state_of(used)).unlink()
    before = content(used.folder)
    for command in (["init"], ["add", NAME, "--no-wait"], ["daemon-tick"]):
        result = used.sslctl(*command)
        assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
        assert "the state was lost" in result.stderr
        assert words in result.stderr
        assert "`sslctl init`" not in result.stderr
    assert content(used.folder) == before


def test_empty_file_without_a_key_file_becomes_a_state(new_cdn: Cdn) -> None:
    """An older sslctl left such a file if it was killed in its very first moment."""
    state_of(new_cdn).mkdir(mode=0o700)
    database_of(state_of(new_cdn)).touch(mode=0o600)
    assert new_cdn.sslctl("list").exit_code == Exit.UNUSABLE
    assert new_cdn.sslctl("init", "--json").json["created"] is True
    assert new_cdn.sslctl("list").exit_code == Exit.OK
