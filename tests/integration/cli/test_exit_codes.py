"""Every exit code, each from a command that ends with it, and `--json` for every command. Scripts depend on both."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest

from sslctl.errors import Exit
from sslctl.issuer import IssueError
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn

NAME = "shop.example.com"


def _nothing(_cdn: Cdn) -> None:
    """Cause no problem."""


def _bug(cdn: Cdn) -> None:
    cdn.issuer.refusals.append(RuntimeError("no such thing"))  # type: ignore[arg-type]  # what no issuer may raise


def _busy(cdn: Cdn) -> None:
    other = cdn.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for another sslctl
    other.claim([domain_claim(NAME)], timedelta(hours=1))
    other.close()


def _upload_refused(cdn: Cdn) -> None:
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, domain=NAME, status=422))


def _rate_limited(cdn: Cdn) -> None:
    cdn.issuer.refusals.append(IssueError(Code.CA_RATE_LIMITED, "429"))


ONE: list[tuple[Exit, Callable[[Cdn], object], str]] = [
    (Exit.OK, _nothing, f"add {NAME}"),
    (Exit.BUG, _bug, f"add {NAME}"),
    (Exit.USAGE, _nothing, "add *.example.com"),
    (Exit.PENDING, _rate_limited, f"add {NAME}"),
    (Exit.FAILURE, lambda cdn: cdn.point(NAME, "elsewhere.test"), f"add {NAME}"),
    (Exit.DISCARD, _nothing, "add unknown.example.com"),
    (Exit.EMERGENCY, _upload_refused, f"add {NAME}"),
    (Exit.UNUSABLE, lambda cdn: (cdn.folder / "token").unlink(), f"add {NAME}"),
    (Exit.NOT_MANAGED, _nothing, f"recheck {NAME}"),
    (Exit.TRY_LATER, _busy, f"add {NAME}"),
    (Exit.OK, _nothing, f"add {NAME} fine.example.com"),
    (Exit.BUG, _bug, f"add {NAME} fine.example.com"),
    (Exit.SOME_NOT_WELL, _rate_limited, f"add {NAME} fine.example.com"),
    (Exit.SOME_NOT_WELL, _nothing, f"add {NAME} unknown.example.com"),
    (Exit.SOME_NOT_WELL, _busy, f"add {NAME} fine.example.com"),
    (Exit.EMERGENCY, _upload_refused, f"add {NAME} unknown.example.com"),
]


@pytest.mark.parametrize(("code", "trouble", "command"), ONE)
def test_command_ends_with_the_documented_exit_code(
    cdn: Cdn, code: Exit, trouble: Callable[[Cdn], object], command: str
) -> None:
    cdn.add_domain(NAME)
    cdn.add_domain("fine.example.com")
    trouble(cdn)
    result = cdn.sslctl(*command.split())
    assert result.exit_code == code
    messages = [line for line in result.stderr.splitlines() if " of 2 domains " not in line]
    assert messages == [] or messages[0].startswith("sslctl: error: ")
    told_of_bug = "bug: RuntimeError: no such thing" in result.stderr
    assert told_of_bug is (code is Exit.BUG)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (Exit.OK, _nothing),
        (Exit.BUG, _bug),
        (Exit.SOME_NOT_WELL, _rate_limited),
        (Exit.SOME_NOT_WELL, lambda cdn: cdn.c4.delete_domain(NAME)),
        (Exit.OK, _busy),
        (Exit.EMERGENCY, _upload_refused),
    ],
)
def test_tick_uses_the_exit_codes_of_a_batch_even_for_one_domain(
    cdn: Cdn, code: Exit, trouble: Callable[[Cdn], object]
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    trouble(cdn)
    assert cdn.sslctl("daemon-tick").exit_code == code


def test_recheck_exit_code_of_an_expired_domain_follows_the_reason_that_blocks_renewal(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.clock.move(days=100)
    cdn.zone.add("example.com", "CAA", '0 issue "other.test"')
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.FAILURE
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, status=500))
    # C4 did not answer, so the finding about CAA is kept.
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.TRY_LATER
    cdn.c4.heal()
    cdn.c4.delete_domain(NAME)
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.TRY_LATER
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.DISCARD


EVERY = [
    f"add {NAME}",
    f"add {NAME} unknown.example.com",
    "add queued.example.com --no-wait",
    "list",
    "list --deleted",
    f"view {NAME}",
    f"download {NAME} -o OUT",
    f"recheck {NAME}",
    "recheck",
    "daemon-tick",
    "daemon-tick --dry-run",
    "daemon-tick -q",
    f"delete {NAME} --yes",
]


def test_json_option_writes_only_one_json_document_to_standard_output(cdn: Cdn, tmp_path: Path) -> None:
    cdn.add_domain(NAME)
    for command in EVERY:
        result = cdn.sslctl(*command.replace("OUT", str(tmp_path / "out")).split(), "--json")
        assert result.json["schema_version"] == 1, command
        assert result.stdout.startswith("{")
        assert result.stdout.endswith("}\n")


@pytest.mark.parametrize("command", EVERY)
def test_command_writes_nothing_but_a_json_error_to_standard_output_when_the_configuration_is_invalid(
    cdn: Cdn, command: str
) -> None:
    cdn.config_path.write_text("[stat]\n")
    text, json = cdn.sslctl(*command.split()), cdn.sslctl(*command.split(), "--json")
    for result in (text, json):
        assert result.exit_code == Exit.UNUSABLE
        assert "stat" in result.stderr
        assert "[state]" in result.stderr
    assert text.stdout == ""
    assert set(json.json) == {"schema_version", "error", "message", "hint", "exit_code"}
    assert (json.json["error"], json.json["hint"]) == ("CONFIG", "did you mean [state]?")
    assert json.json["message"] in json.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("view unknown.example.com", "NOT_MANAGED"),
        ("claims break none", "NOT_MANAGED"),
        ("audit list --domain unknown.example.com", "NOT_MANAGED"),
        ("add a..b", "BAD_INPUT"),
    ],
)
def test_json_error_has_the_code_of_the_error_in_subcommands_too(cdn: Cdn, command: str, code: str) -> None:
    result = cdn.sslctl(*command.split(), "--json")
    assert (result.json["schema_version"], result.json["error"]) == (1, code), result
    assert result.stderr.startswith("sslctl: error: ")


@pytest.mark.parametrize(
    "command",
    [
        "list --csv --json",
        "list --json --csv",
        "list --json --statsu x",
        "list --json --status Fine",
        "view --json",
        "lst --json",
        "claims break --json",
        "--confg x list --json",
    ],
)
def test_wrong_usage_is_a_json_error_too(cdn: Cdn, command: str) -> None:
    result = cdn.sslctl(*command.split())
    assert result.exit_code == Exit.USAGE
    error = result.json
    assert (error["schema_version"], error["error"], error["exit_code"]) == (1, "USAGE", Exit.USAGE)
    assert result.stderr.splitlines()[0] == f"sslctl: error: {error['message']}"
    assert result.stderr.splitlines()[1:] == ([f"sslctl: hint: {error['hint']}"] if error["hint"] else [])


@pytest.mark.parametrize("command", ["list --csv --status x", "view -- shop.example.com --json", "lst"])
def test_wrong_usage_without_json_writes_nothing_to_standard_output(cdn: Cdn, command: str) -> None:
    result = cdn.sslctl(*command.split())
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")


def test_help_with_json_is_no_error(cdn: Cdn) -> None:
    result = cdn.sslctl("list", "--json", "--help")
    assert (result.exit_code, result.stdout.startswith("Usage: sslctl list ")) == (0, True)


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (KeyboardInterrupt(), "INTERRUPTED", Exit.INTERRUPTED),
        (click.Abort(), "INTERRUPTED", Exit.INTERRUPTED),
        (KeyError("no such thing"), "BUG", Exit.BUG),
    ],
    ids=["ctrl-c", "abort", "bug"],
)
def test_interruption_and_bug_are_json_errors_without_a_traceback(
    cdn: Cdn, error: BaseException, code: str, exit_code: Exit
) -> None:
    app = cdn.app()

    def fail() -> datetime:
        raise error

    app.clock = fail
    result = cdn.sslctl("list", "--json", app=app)
    assert (result.exit_code, result.json["error"], result.json["exit_code"]) == (exit_code, code, exit_code)
    assert result.json["message"] in result.stderr
    assert "Traceback" not in result.stdout


def test_damaged_database_is_a_json_error(cdn: Cdn) -> None:
    (cdn.folder / "state" / "sslctl.db").write_bytes(b"no database" * 1000)
    result = cdn.sslctl("list", "--json")
    assert (result.exit_code, result.json["error"], result.json["exit_code"]) == (8, "STATE", 8)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def _corrupt(path: Path) -> None:
    path.write_bytes(b"not a database, and longer than its header would be\n" * 40)


@pytest.mark.parametrize("spoil", [_foreign, _corrupt])
@pytest.mark.parametrize("command", ["list", f"add {NAME}", "daemon-tick"])
def test_command_refuses_a_foreign_or_corrupt_database_and_does_not_change_it(
    new_cdn: Cdn, spoil: Callable[[Path], None], command: str
) -> None:
    folder = new_cdn.folder / "state"
    folder.mkdir(mode=0o700)
    database = folder / "sslctl.db"
    spoil(database)
    before = database.read_bytes()
    result = new_cdn.sslctl(*command.split())
    assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
    assert str(database) in result.stderr
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SSLCTL_STATE_DIR", "/dev/null/state", "/dev/null/state"),
        ("SSLCTL_STATE_DIR", "/proc/sslctl", "/proc/sslctl"),
        ("SSLCTL_STATE_DRI", "/srv", "did you mean state.dir?"),
        ("SSLCTL_ACME_WORKERS", "many", "acme.workers"),
    ],
)
def test_command_names_the_setting_that_cannot_be_used(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = cdn.sslctl("list")
    assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_command_never_creates_a_new_key_file_when_the_key_file_is_lost(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    key = cdn.folder / "state" / "master.key"
    key.rename(cdn.folder / "kept")
    assert cdn.sslctl("list").exit_code == Exit.OK
    for command in (["download", NAME], ["recheck", NAME, "--force-renew"]):
        result = cdn.sslctl(*command)
        assert (result.exit_code, result.stdout) == (Exit.UNUSABLE, "")
        assert str(key) in result.stderr
    assert not key.exists()
    (cdn.folder / "kept").rename(key)
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == Exit.OK


def test_batch_exit_code_is_used_for_a_batch_of_one_domain(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="elsewhere.example.org")
    assert cdn.sslctl("add", "--from-file", "-", stdin=f"{NAME}\n").exit_code == 5
    assert cdn.sslctl("recheck").exit_code == 5
    assert cdn.sslctl("recheck", NAME).exit_code == 4
