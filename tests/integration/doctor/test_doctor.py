"""`sslctl doctor`: it reports each problem with a hint, raises nothing and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey

from sslctl import __version__
from sslctl.app import App
from sslctl.errors import Exit
from sslctl.store.sqlite.waiting import Waiting
from tests.support.ari_server import Answer, AriServer
from tests.support.cdn import Cdn, Result
from tests.support.database_lock import EXCLUSIVE, holding
from tests.support.machine import install_other_certbot
from tests.support.store_cases import look_into

NAME = "shop.example.com"


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[AriServer]:
    """A CA that serves only its directory."""
    with AriServer(tmp_path) as running:
        urls = {"newNonce": f"{running.url}/nonce", "newOrder": "https://ca.test/order"}
        running.directory = Answer(urls)
        running.answers["/account"] = Answer({"status": "valid"}, headers={"Replay-Nonce": "bm9uY2U"})
        yield running


@pytest.fixture
def well(cdn: Cdn, ca: AriServer, monkeypatch: pytest.MonkeyPatch) -> Cdn:
    """A CDN without any problem."""
    cdn.clock.at = datetime.now(UTC).replace(microsecond=0)
    (cdn.folder / "webroot").mkdir(mode=0o755)
    monkeypatch.setenv("SSLCTL_NOTIFY_URLS", "json://127.0.0.1:1/")
    monkeypatch.setenv("SSLCTL_ACME_DIRECTORY_URL", f"{ca.url}/dir")
    monkeypatch.setenv("SSLCTL_ACME_CA_BUNDLE", str(ca.ca_bundle))
    monkeypatch.setenv("SSLCTL_ACME_WEBROOT", str(cdn.folder / "webroot"))
    account = cdn.folder / "state" / "acme" / "accounts" / f"{ca.url.partition('://')[2]}/dir" / "1"
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    (cdn.folder / "state" / "acme").mkdir(mode=0o700)
    account.mkdir(parents=True)
    (account / "regr.json").write_text(json.dumps({"body": {}, "uri": f"{ca.url}/account"}))
    key = JWKEC(key=ComparableECKey(ec.generate_private_key(ec.SECP256R1())))
    (account / "private_key.json").write_text(key.json_dumps())
    return cdn


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in result.json["checks"]}


def found(cdn: Cdn, name: str, grade: str, code: int) -> dict[str, Any]:
    """Return the check `name`; assert its grade, the exit code, and that every other check is ok."""
    result = cdn.sslctl("doctor", "--json")
    made = checks(result)
    assert (made[name]["grade"], result.exit_code) == (grade, code), made
    assert {check["grade"] for other, check in made.items() if other != name} <= {"ok"}, made
    assert (grade == "ok") == (made[name]["hint"] is None)
    check: dict[str, Any] = made[name]
    return check


def test_doctor_reports_ok_for_every_check_of_a_working_installation(well: Cdn) -> None:
    result = well.sslctl("doctor", "--json")
    made = checks(result)
    assert {check["grade"] for check in made.values()} == {"ok"}, made
    assert result.exit_code == Exit.OK
    assert made["program"]["detail"].startswith(f"sslctl {__version__} in {sys.prefix}, Python 3.")
    assert set(made) == {
        "program", "configuration", "names of the CDN", "certbot", "state folder", "database file", "certbot's folder", "key file", "trusted roots", "notifications", "disk space", "inodes",
        "database", "encryption", "last tick", "maintenance pause", "pauses at the CA", "webroot", "account at the CA", "DNS", "CA", "token file", "C4",
        "clock",
    } - ({"inodes"} if not os.statvfs(well.folder).f_files else set())  # fmt: skip


def test_doctor_prints_one_line_per_check_and_a_hint_for_a_problem(well: Cdn) -> None:
    (well.folder / "webroot").rmdir()
    result = well.sslctl("doctor")
    assert result.exit_code == Exit.UNUSABLE
    lines = result.stdout.splitlines()
    assert lines[2].split() == ["ok", "configuration", str(well.config_path)]
    at = next(number for number, line in enumerate(lines) if line.startswith("bad "))
    assert lines[at].endswith(f"  webroot            {well.folder}/webroot does not exist")
    assert lines[at + 1].strip().startswith("→ create it")
    assert lines[at + 1].index("→") == lines[at].index(str(well.folder))


def test_doctor_warns_of_an_untested_certbot(well: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    install_other_certbot(well.folder, monkeypatch)
    check = found(well, "certbot", "warn", Exit.OK)
    assert check["detail"].startswith("certbot 99.0.1: not tested with this sslctl")


def test_doctor_warns_if_the_system_has_no_roots(well: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(well.folder / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(well.folder / "missing"))
    assert "ca-certificates" in found(well, "trusted roots", "warn", Exit.OK)["hint"]


def test_doctor_reports_a_file_of_roots_that_has_none(well: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    (well.folder / "roots.pem").write_text("no certificate")
    monkeypatch.setenv("SSLCTL_SAFETY_TRUSTED_ROOTS", str(well.folder / "roots.pem"))
    assert "no certificate" in found(well, "trusted roots", "bad", Exit.UNUSABLE)["detail"]


def test_doctor_changes_nothing(well: Cdn) -> None:
    def state() -> dict[str, object]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_mode, path.is_file() and path.read_bytes())
            for path in sorted((well.folder / "state").rglob("*"))
        }

    before = state()
    well.sslctl("doctor")
    assert state() == before


def test_doctor_fails_when_there_is_no_state_and_creates_none(
    well: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(well.folder / "new"))
    result = well.sslctl("doctor", "--json")
    made = checks(result)
    assert result.exit_code == Exit.UNUSABLE
    assert (made["database"]["grade"], made["key file"]["grade"]) == ("bad", "warn")
    assert f"there is no state in {well.folder / 'new'}" in made["database"]["detail"]
    assert "`sslctl init`" in made["database"]["hint"]
    assert "state folder" not in made
    assert not (well.folder / "new").exists()


def test_doctor_fails_when_the_database_is_lost_and_the_key_file_is_there(well: Cdn) -> None:
    (well.folder / "state" / "sslctl.db").unlink()
    result = well.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    found = checks(result)["database"]
    assert found["grade"] == "bad"
    assert "the state was lost" in found["detail"]
    assert "`sslctl restore FILE`" in found["hint"]
    assert not (well.folder / "state" / "sslctl.db").exists()


def test_doctor_reports_only_the_configuration_when_it_is_invalid(well: Cdn) -> None:
    well.config_path.write_text("[acme]\nworkers = 'many'\n")
    result = well.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    [check] = result.json["checks"]
    assert (check["check"], check["grade"]) == ("configuration", "bad")
    assert "acme.workers" in check["detail"]


# Problems of this machine


def _open_folder(cdn: Cdn) -> None:
    (cdn.folder / "state" / "acme").chmod(0o777)


def _open_database(cdn: Cdn) -> None:
    (cdn.folder / "state" / "sslctl.db").chmod(0o666)


def _open_key(cdn: Cdn) -> None:
    (cdn.folder / "state" / "master.key").chmod(0o644)


def _exchange_key(cdn: Cdn) -> None:
    (cdn.folder / "state" / "master.key").write_bytes(Fernet.generate_key())


def _lose_key(cdn: Cdn) -> None:
    (cdn.folder / "state" / "master.key").unlink()


def _lose_webroot(cdn: Cdn) -> None:
    (cdn.folder / "webroot").rmdir()


def _open_webroot(cdn: Cdn) -> None:
    (cdn.folder / "webroot").chmod(0o777)


def _damage(cdn: Cdn) -> None:
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'event_by_domain'")


def _miss_ticks(cdn: Cdn) -> None:
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        at = (cdn.clock() - timedelta(hours=26, seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        connection.execute("UPDATE milestone SET at = ? WHERE name = 'tick'", (at,))


@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (_open_folder, "certbot's folder", "other users can change"),
        (_open_database, "database file", "other users can change"),
        (_open_key, "key file", "can be read by other users"),
        (_lose_key, "key file", "is missing"),
        (_exchange_key, "encryption", "does not decrypt this database"),
        (_lose_webroot, "webroot", "does not exist"),
        (_open_webroot, "webroot", "every user can write"),
        (_damage, "database", "damaged"),
        (_miss_ticks, "last tick", "ended"),
    ],
)
def test_doctor_exits_with_8_for_a_problem_of_this_machine(
    well: Cdn, spoil: Callable[[Cdn], None], name: str, words: str
) -> None:
    spoil(well)
    assert words in found(well, name, "bad", Exit.UNUSABLE)["detail"]


def test_doctor_reports_a_file_that_is_not_a_database(well: Cdn) -> None:
    (well.folder / "state" / "sslctl.db").write_bytes(b"no database")
    result = well.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    assert "cannot be read" in checks(result)["database"]["detail"]


def test_doctor_warns_when_other_users_can_list_the_state_folder(well: Cdn) -> None:
    (well.folder / "state").chmod(0o755)
    found(well, "state folder", "warn", Exit.OK)


def test_doctor_warns_of_an_unfinished_key_rotation(well: Cdn) -> None:
    key = well.folder / "state" / "master.key"
    key.write_bytes(key.read_bytes() + b"A" * 43 + b"=\n")
    assert "keys rotate" in found(well, "key file", "warn", Exit.OK)["hint"]


def test_doctor_reports_an_older_schema_and_does_not_migrate_it(well: Cdn) -> None:
    with look_into(well.folder / "state" / "sslctl.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    result = well.sslctl("doctor", "--json")
    assert "older sslctl: its schema is 1," in checks(result)["database"]["detail"]
    with look_into(well.folder / "state" / "sslctl.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_doctor_reports_a_tick_that_never_ran_as_bad_after_a_day(well: Cdn) -> None:
    with look_into(well.folder / "state" / "sslctl.db") as connection:
        connection.execute("DELETE FROM milestone")
    found(well, "last tick", "warn", Exit.OK)
    with look_into(well.folder / "state" / "sslctl.db") as connection:
        connection.execute("UPDATE domain SET created_at = '2020-01-01T00:00:00Z'")
    found(well, "last tick", "bad", Exit.UNUSABLE)


def test_doctor_warns_of_a_pause_at_the_ca(well: Cdn) -> None:
    app = well.app()
    app.store.trip_breaker("no connection")
    app.close()
    assert "no connection" in found(well, "pauses at the CA", "warn", Exit.OK)["detail"]


def test_doctor_reports_a_used_port_in_standalone_mode(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setenv("SSLCTL_ACME_MODE", "standalone")
    monkeypatch.setenv("SSLCTL_ACME_HTTP01_ADDRESS", "127.0.0.1")
    monkeypatch.setenv("SSLCTL_ACME_HTTP01_PORT", str(listener.getsockname()[1]))
    assert "address already in use" in found(well, "port for challenges", "bad", Exit.UNUSABLE)["detail"]
    listener.close()
    found(well, "port for challenges", "ok", Exit.OK)


# Problems of the CA, C4 and DNS


def test_doctor_reports_the_archives_of_old_history(well: Cdn) -> None:
    archive = pruned(well)
    check = found(well, "history archives", "ok", Exit.OK)
    assert check["detail"] == f"all 1 are in {archive.parent}, {archive.stat().st_size} bytes"


def test_doctor_warns_of_an_archive_that_is_missing(well: Cdn) -> None:
    archive = pruned(well)
    archive.rename(archive.with_name("elsewhere"))
    archive.symlink_to("nowhere")
    check = found(well, "history archives", "warn", Exit.OK)
    assert check["detail"] == f"1 of 1, {archive.name} first, is missing in {archive.parent}"
    assert "history.archive_dir" in check["hint"]
    shutil.rmtree(archive.parent)
    archive.parent.write_text("a file")
    assert "missing" in found(well, "history archives", "warn", Exit.OK)["detail"]


def test_doctor_warns_of_an_archive_of_another_size(well: Cdn) -> None:
    archive = pruned(well)
    size = archive.stat().st_size
    with archive.open("ab") as file:
        file.write(b"x")
    check = found(well, "history archives", "warn", Exit.OK)
    assert f"{archive.name} has {size + 1} bytes, and had {size}" in check["detail"]


def pruned(cdn: Cdn) -> Path:
    """Let years pass for all that is there, prune it, and return the archive."""
    cdn.clock.move(days=400)
    assert cdn.sslctl("history", "prune", "--keep-days", "180", "--yes").exit_code == Exit.OK
    cdn.clock.move(days=-400)
    (archive,) = (cdn.folder / "state" / "archive").iterdir()
    return archive


def test_doctor_exits_with_75_when_the_ca_cannot_be_reached(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    url = f"https://127.0.0.1:{closed_port}/dir"
    folder = well.folder / "state" / "acme" / "accounts" / f"127.0.0.1:{closed_port}" / "dir" / "1"
    folder.mkdir(parents=True)
    (folder / "regr.json").write_text("{}")
    monkeypatch.setenv("SSLCTL_ACME_DIRECTORY_URL", url)
    assert "no connection" in found(well, "CA", "bad", Exit.TRY_LATER)["detail"]


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>", 200), Answer({}, 503), Answer({"newOrder": ""}, 500), Answer([])],
    ids=["no JSON", "503", "500", "no object"],
)
def test_doctor_exits_with_75_when_the_ca_returns_no_directory(
    well: Cdn, ca: AriServer, answer: Answer
) -> None:
    ca.directory = answer
    assert f"answered {answer.status}" in found(well, "CA", "bad", Exit.TRY_LATER)["detail"]


def test_doctor_warns_when_there_is_no_ca_account_yet(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, ca: AriServer
) -> None:
    monkeypatch.setenv("SSLCTL_ACME_DIRECTORY_URL", f"{ca.url}/dir?")
    ca.answers["/dir?"] = ca.directory
    result = well.sslctl("doctor", "--json")
    assert checks(result)["account at the CA"]["grade"] == "warn"


def test_doctor_exits_with_8_when_c4_refuses_the_token(well: Cdn) -> None:
    (well.folder / "token").write_text("another\n")
    assert "refuses our token" in found(well, "C4", "bad", Exit.UNUSABLE)["detail"]


def test_doctor_exits_with_8_when_the_token_file_is_world_readable(well: Cdn) -> None:
    (well.folder / "token").chmod(0o644)
    result = well.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    assert "everyone has access to" in checks(result)["C4"]["detail"]


def test_doctor_exits_with_75_when_c4_is_down(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("SSLCTL_C4_BASE_URL", f"https://127.0.0.1:{closed_port}")
    assert "connection refused" in found(well, "C4", "bad", Exit.TRY_LATER)["detail"]


def test_doctor_exits_with_75_when_dns_does_not_answer(well: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SSLCTL_DNS_RESOLVERS", f"127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("SSLCTL_DNS_TIMEOUT_SECONDS", "1")
        found(well, "DNS", "bad", Exit.TRY_LATER)


def test_doctor_ends_within_20_seconds_when_nothing_answers(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    silent = f"https://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("SSLCTL_ACME_DIRECTORY_URL", f"{silent}/dir")
    monkeypatch.setenv("SSLCTL_C4_BASE_URL", silent)
    began = time.monotonic()
    result = well.sslctl("doctor", "--json")
    assert time.monotonic() - began < 20
    assert result.exit_code == Exit.TRY_LATER
    assert {checks(result)[name]["grade"] for name in ("CA", "C4")} == {"bad"}


def test_doctor_warns_when_the_local_clock_is_wrong(well: Cdn) -> None:
    well.clock.move(seconds=90)
    result = well.sslctl("doctor", "--json")
    clocks = [check for check in result.json["checks"] if check["check"] == "clock"]
    assert [check["grade"] for check in clocks] == ["warn", "warn"]
    assert "ahead of the clock of the CA" in clocks[0]["detail"]
    assert "ahead of the clock of C4" in clocks[1]["detail"]
    assert result.exit_code == Exit.OK


def test_doctor_exits_with_8_when_both_this_machine_and_c4_have_problems(
    well: Cdn, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("SSLCTL_C4_BASE_URL", f"https://127.0.0.1:{closed_port}")
    with suppress(FileNotFoundError):
        (well.folder / "webroot").rmdir()
    assert well.sslctl("doctor").exit_code == Exit.UNUSABLE


@pytest.mark.parametrize("option", ["", "--json"])
def test_doctor_names_the_process_that_locks_the_database_and_ends_with_75(well: Cdn, option: str) -> None:
    app = App(well.config_path, well.clock, waiting=Waiting(read_seconds=0.3))
    with holding(well.folder / "state" / "sslctl.db", EXCLUSIVE) as holder:
        result = well.sslctl("doctor", *option.split(), app=app)
    assert (result.exit_code, result.stderr) == (Exit.TRY_LATER, "")
    assert f"is locked by process {holder.pid} (python" in " ".join(result.stdout.split())
    assert "bug" not in result.stdout
    if option:
        made = checks(result)
        assert {name for name, check in made.items() if check["grade"] != "ok"} == {"database"}
        assert made["database"]["hint"].startswith("let that process finish, or end it")


def test_doctor_warns_if_nobody_is_notified_and_counts_the_urls_of_routes(
    well: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(well, "notifications", "ok", Exit.OK)["detail"] == "1 URL"
    urls = well.folder / "urls"
    urls.write_text("json://127.0.0.1:1/s3cret\njson://127.0.0.1:1/other\n")
    urls.chmod(0o600)
    before = well.config_path.read_text()
    well.config_path.write_text(f'{before}[[notify.route]]\nowners = ["c4"]\nurls_file = "{urls}"\n')
    assert found(well, "notifications", "ok", Exit.OK)["detail"] == "1 URL; route owners=c4: 2 URLs"
    well.config_path.write_text(before)
    monkeypatch.delenv("SSLCTL_NOTIFY_URLS")
    assert "nobody is notified" in found(well, "notifications", "warn", Exit.OK)["detail"]
