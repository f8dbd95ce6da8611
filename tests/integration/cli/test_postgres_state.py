"""The commands with a state in PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn
from tests.support.command_line import environment, run
from tests.support.fakes import Clock
from tests.support.postgres import cluster
from tests.support.postgres_backend import PostgresBackend, new_state

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


def test_init_names_the_database_and_brings_its_tables_up_to_date(cdn: Cdn, state: PostgresBackend) -> None:
    first = cdn.sslctl("init")
    assert f"Created a new state: {state.url}, with the key file" in first.stdout
    again = cdn.sslctl("init")
    assert (again.exit_code, "Its tables are those of this sslctl now." in again.stdout) == (Exit.OK, True)
    made = cdn.sslctl("init", "--json").json
    assert (made["created"], made["database"]) == (False, state.url)


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
