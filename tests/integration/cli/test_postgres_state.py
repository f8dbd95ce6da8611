"""The commands with a state in PostgreSQL."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sslctl.errors import Exit
from tests.support import ROOT, command_line
from tests.support.cdn import Cdn
from tests.support.command_line import environment, run
from tests.support.fakes import Clock
from tests.support.postgres import cluster
from tests.support.postgres_backend import PostgresBackend, new_state
from tests.support.postgres_programs import find_server

pytestmark = pytest.mark.postgres

NAME = "shop.example.com"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PostgresBackend]:
    """A database without a state."""
    made = new_state(tmp_path / "state")
    yield made
    made.discard()


@pytest.fixture
def cdn(tmp_path: Path, clock: Clock, state: PostgresBackend) -> Iterator[Cdn]:
    """A running CDN whose state is in PostgreSQL; there is none yet."""
    with Cdn(tmp_path, clock, has_state=False, state_url=state.url) as running:
        yield running


def test_domain_is_added_listed_renewed_and_deleted(cdn: Cdn, clock: Clock) -> None:
    assert cdn.sslctl("init").exit_code == Exit.OK
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    first = cdn.installed(NAME)
    assert first is not None
    listed = cdn.sslctl("list", "--json").json["domains"]
    assert [(each["domain"], each["status"]) for each in listed] == [(NAME, "Success")]
    clock.move(days=85)
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert cdn.installed(NAME) not in {first, None}
    viewed = cdn.sslctl("view", NAME, "--json").json
    assert [each["version"] for each in viewed["domain"]["certificates"]] == [2, 1]
    assert cdn.sslctl("audit", "verify").exit_code == Exit.OK
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == Exit.OK
    assert not (cdn.folder / "state" / "sslctl.db").exists()


def test_commands_that_read_print_json(cdn: Cdn) -> None:
    """What the database counts and adds up are numbers that JSON knows."""
    assert cdn.sslctl("init").exit_code == Exit.OK
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    assert cdn.sslctl("add", "other.example.com", "--no-wait").exit_code == Exit.OK
    assert cdn.sslctl("daemon-tick", "--json").json["at"]
    for command in (
        ["list"], ["list", "--expiring-within", "99d"], ["todo"], ["view", NAME], ["forecast"], ["report"], ["audit", "list"],
        ["audit", "verify"], ["history", "list"], ["claims"], ["pauses"], ["doctor"], ["sync"], ["message", "other.example.com"],
        ["keys", "prune", "--dry-run"], ["check", NAME],
    ):  # fmt: skip
        result = cdn.sslctl(*command, "--json")
        assert (result.json["schema_version"], result.exit_code == Exit.BUG) == (1, False), command
    assert "sslctl_" in cdn.sslctl("metrics").stdout


def test_init_names_the_database_and_brings_its_tables_up_to_date(cdn: Cdn, state: PostgresBackend) -> None:
    first = cdn.sslctl("init")
    assert f"Created a new state: {state.url}, with the key file" in first.stdout
    again = cdn.sslctl("init")
    assert (again.exit_code, "Its tables are those of this sslctl now." in again.stdout) == (Exit.OK, True)
    made = cdn.sslctl("init", "--json").json
    assert (made["created"], made["database"]) == (False, state.url)
    assert cdn.sslctl("list").stderr.startswith(f"No domains are managed yet in {state.url} (")


def test_commands_before_init_end_with_the_next_step(cdn: Cdn) -> None:
    for command in (["list"], ["daemon-tick"], ["view", NAME]):
        ended = cdn.sslctl(*command)
        assert ended.exit_code == Exit.UNUSABLE
        assert "sslctl init" in ended.stderr


def test_doctor_describes_the_database(cdn: Cdn) -> None:
    cdn.sslctl("init")
    checks = {each["check"]: each for each in cdn.sslctl("doctor", "--json").json["checks"]}
    assert "PostgreSQL" in checks["database"]["detail"]
    assert checks["database"]["grade"] == "ok"


def test_doctor_names_the_faults_of_the_server_and_who_backs_it_up(cdn: Cdn) -> None:
    cdn.sslctl("init")
    checks = cdn.sslctl("doctor", "--json").json["checks"]
    faults = [
        each["detail"] for each in checks if (each["check"], each["grade"]) == ("database server", "warn")
    ]
    # The server of the tests.
    assert [fault.partition(" is ")[0] for fault in faults] == ["the role postgres", "fsync"]
    assert [each["detail"].split()[0] for each in checks if each["check"] == "backup"] == ["pg_dump"]


def test_doctor_reports_a_server_that_is_not_there(cdn: Cdn, tmp_path: Path) -> None:
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.replace("host=", f"host={tmp_path}/none"))
    ended = cdn.sslctl("doctor")
    assert ended.exit_code == Exit.UNUSABLE
    assert "cannot use the PostgreSQL database" in ended.stdout


def test_key_file_without_a_state_is_refused_by_add_and_taken_by_init(
    cdn: Cdn, state: PostgresBackend
) -> None:
    cdn.sslctl("init")
    cdn.add_domain(NAME)
    cluster().drop(state.name)
    cluster().execute(f"CREATE DATABASE {state.name}")
    refused = cdn.sslctl("add", NAME)
    assert refused.exit_code == Exit.UNUSABLE
    assert "there is the key file" in refused.stderr
    assert cdn.sslctl("init").exit_code == Exit.OK
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK


def test_backup_and_restore_are_left_to_the_programs_of_postgresql(cdn: Cdn, tmp_path: Path) -> None:
    cdn.sslctl("init")
    (tmp_path / "copy").write_bytes(b"")
    for command, file, program in (("backup", "new", "pg_dump"), ("restore", "copy", "pg_restore")):
        ended = cdn.sslctl(command, str(tmp_path / file))
        assert ended.exit_code == Exit.USAGE
        assert program in ended.stderr


def test_url_in_a_file_may_have_a_password_and_is_never_shown(cdn: Cdn, state: PostgresBackend) -> None:
    secret = cdn.folder / "database-url"
    secret.write_text(state.url.replace("postgres@", "postgres:s3cret-word@") + "\n")
    secret.chmod(0o600)
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.replace(f'url = "{state.url}"', f'url_file = "{secret}"'))
    made = cdn.sslctl("init")
    assert made.exit_code == Exit.OK
    assert "s3cret-word" not in made.stdout + made.stderr
    assert str(secret) in made.stdout
    secret.chmod(0o644)
    assert "everyone has access" in cdn.sslctl("list").stderr


def test_psycopg_is_imported_only_for_a_server(cdn: Cdn, state: PostgresBackend) -> None:
    code = (
        "import sys; from sslctl.cli.main import main\ntry: main()\nfinally: print('psycopg' in sys.modules)"
    )
    text = cdn.config_path.read_text()
    for url, wanted in ((state.url, "True"), ("", "False")):
        cdn.config_path.write_text(text.replace(f'url = "{state.url}"', f'url = "{url}"'))
        assert run(cdn, "init").returncode == Exit.OK
        listed = run_python(cdn, code, "list")
        assert listed.splitlines()[-1] == wanted


def completed(cdn: Cdn, line: str) -> list[str]:
    """Return what a shell is told to complete at the end of `line`."""
    typed = line.split(" ")
    ended = run(
        cdn,
        COMP_WORDS="\n".join(typed),
        COMP_CWORD=str(len(typed) - 1),
        _SSLCTL_COMPLETE="bash_complete",
    )
    assert (ended.returncode, ended.stderr) == (Exit.OK, "")
    return [each.removeprefix("plain,") for each in ended.stdout.splitlines()]


def test_shell_completes_names_and_assignees(cdn: Cdn) -> None:
    cdn.sslctl("init")
    for name in (NAME, "old.example.com", "blog.example.com"):
        assert cdn.sslctl("add", "--no-wait", name).exit_code == Exit.OK
    cdn.sslctl("add", "--no-wait", NAME, "--san", "www.shop.example.com")
    cdn.sslctl("delete", "--yes", "--keep-on-c4", "old.example.com")
    cdn.sslctl("assign", NAME, "alice")
    for line, wanted in (
        ("sslctl view ", ["blog.example.com", "old.example.com", NAME]),
        ("sslctl recheck ", ["blog.example.com", NAME]),
        ("sslctl recheck --force sho", [NAME]),
        ("sslctl view www.sh", ["www.shop.example.com"]),
        ("sslctl view '%", []),
        ("sslctl add o", ["old.example.com"]),
        ("sslctl list --assignee al", ["alice"]),
        ("sslctl list --assignee %", []),
    ):
        assert completed(cdn, line) == wanted, line


def test_completion_is_silent_and_soon_over_if_the_server_gives_no_answer(cdn: Cdn) -> None:
    text = cdn.config_path.read_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_port, closed_port = silent.getsockname()[1], 1
        for url in (
            f"postgresql://127.0.0.1:{silent_port}/x",
            f"postgresql://127.0.0.1:{closed_port}/x",
            "postgresql://none.invalid/x",
            cluster().url("none"),
        ):
            cdn.config_path.write_text(re.sub(r'url = "postgresql:.*"', f'url = "{url}"', text))
            for line in ("sslctl view sho", "sslctl list --assignee al"):
                began = time.monotonic()
                assert completed(cdn, line) == []
                assert time.monotonic() - began < 5
        cdn.config_path.write_text(text)
    assert completed(cdn, "sslctl view sho") == []


def test_missing_psycopg_is_reported_with_the_command_that_installs_it(cdn: Cdn) -> None:
    code = "import sys; sys.modules['psycopg'] = None; from sslctl.cli.main import main; sys.stderr = sys.stdout; main()"
    printed = run_python(cdn, code, "list")
    assert "state.url needs the package psycopg, which is not installed" in printed
    assert ".[postgres]" in printed


def run_python(cdn: Cdn, code: str, *arguments: str) -> str:
    """Return the standard output of `code` with the configuration of `cdn`."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(cdn),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout


# docs/postgres.md


def documented_set_up(database: str) -> list[str]:
    """Return the statements of docs/postgres.md for an empty database, with its roles named after it."""
    text = (ROOT / "docs" / "postgres.md").read_text()
    block = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = [line for line in block[1].splitlines() if not line.startswith((r"\c", "CREATE DATABASE"))]
    named = re.sub(r"\b(sslctl(_owner)?)\b", rf"{database}_\1", "\n".join(lines))
    # The database exists already.
    return re.sub(rf"DATABASE {database}_sslctl\b", f"DATABASE {database}", named).split(";")[:-1]


def test_documented_roles_are_enough_and_cannot_change_the_tables(tmp_path: Path, clock: Clock) -> None:
    name = cluster().new_database("template0")
    for statement in documented_set_up(name):
        with cluster().connection(name) as connection:
            connection.execute(statement.encode())
    owner, role = (cluster().url(name, f"{name}_{user}") for user in ("sslctl_owner", "sslctl"))
    with Cdn(tmp_path, clock, has_state=False, state_url=role) as cdn:
        refused = cdn.sslctl("init")
        assert (refused.exit_code, "refuses this role" in refused.stderr) == (Exit.UNUSABLE, True)
        configured = cdn.config_path.read_text()
        cdn.config_path.write_text(configured.replace(role, owner))
        assert cdn.sslctl("init").exit_code == Exit.OK
        cdn.config_path.write_text(configured)
        cdn.add_domain(NAME)
        assert cdn.sslctl("add", NAME).exit_code == Exit.OK
        assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
        checks = cdn.sslctl("doctor", "--json").json["checks"]
        faults = [each["detail"] for each in checks if each["check"] == "database server"]
        assert [fault.partition(":")[0] for fault in faults] == ["fsync is off"]
        with psycopg.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TRIGGER event_kept ON event")
    cluster().drop(name)


def test_dump_is_restored_as_documented(cdn: Cdn, state: PostgresBackend, tmp_path: Path) -> None:
    cdn.sslctl("init")
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    before, listed = state.dump(), cdn.sslctl("list").stdout
    head = cdn.sslctl("audit", "verify").stdout
    dump, programs = tmp_path / "sslctl.dump", find_server()
    assert programs is not None
    if not programs.with_name("pg_dump").exists():
        pytest.skip("the programs of this server have no pg_dump")
    subprocess.run(
        [programs.with_name("pg_dump"), "--format=custom", f"--file={dump}", state.url], check=True
    )
    cluster().drop(state.name)
    cluster().execute(f"CREATE DATABASE {state.name} TEMPLATE template0")
    subprocess.run(
        [programs.with_name("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={state.url}", dump],
        check=True,
    )
    assert state.dump() == before
    assert cdn.sslctl("audit", "verify").stdout == head
    assert (cdn.sslctl("list").stdout, NAME in listed) == (listed, True)
    checks = {each["check"]: each["grade"] for each in cdn.sslctl("doctor", "--json").json["checks"]}
    assert (checks["database"], checks["key file"]) == ("ok", "ok")
    assert cdn.sslctl("download", NAME, "-o", str(tmp_path / "files")).exit_code == Exit.OK
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.OK


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_tick_of_a_process_whose_clock_is_wrong_does_nothing(cdn: Cdn) -> None:
    cdn.sslctl("init")
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, "--no-wait").exit_code == Exit.OK
    ended = subprocess.run(
        ["faketime", "-f", "+2d", *command_line.command("daemon-tick")],
        env=environment(cdn),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == Exit.TRY_LATER
    assert "2,880 minutes ahead of that of the database" in ended.stderr
    assert cdn.uploads(NAME) == []


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_tick_of_a_process_whose_clock_is_minutes_off_works_and_warns_once_a_day_with_q(cdn: Cdn) -> None:
    cdn.sslctl("init")
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK

    def tick(clock: str, *options: str) -> str:
        ended = subprocess.run(
            ["faketime", "-f", clock, *command_line.command("daemon-tick", *options)],
            env=environment(cdn),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (Exit.OK, "")
        return ended.stdout

    warning = "The clock of this machine is 10 minutes ahead of that of the database: what is due is done so much too early"
    assert warning in tick("+10m")
    assert json.loads(tick("+10m", "--json"))["clock_trouble"].startswith(warning)
    assert [warning in tick("+10m", "-q"), tick("+10m", "-q")] == [True, ""]
    assert "clock" not in tick("+4m")
    assert json.loads(tick("+4m", "--json"))["clock_trouble"] is None
    checks = subprocess.run(
        ["faketime", "-f", "-2h", *command_line.command("doctor")],
        env=environment(cdn), capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert "differ by 7,200 seconds; ticks of this machine do nothing" in " ".join(checks.split())
