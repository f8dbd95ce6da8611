"""`sslctl schema`, and real outputs of every command with `--json` against their closed schemas.

`Cdn.sslctl` compares all other outputs of the tests.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
from click.shell_completion import ShellComplete

from sslctl.cli.main import COMMANDS as NAMES
from sslctl.cli.main import run, sslctl
from sslctl.cli.output.schemas import DEFINITIONS, make_schema
from sslctl.cli.output.schemas.commands import COMMANDS
from sslctl.rules.limits import LimitKind, Scope
from tests.support.cdn import Cdn
from tests.support.certbot_folder import CertbotFolder
from tests.support.json_schemas import check_output, find_command, find_faults, find_used

# They need a bad night of the CA or of C4: the tests of the tick have them.
_SEEN_ELSEWHERE = {
    "alert",
    "withheld",
    "unconfirmed",
    "expiring",
    "renewal_info",
    "skipped",
    "webhook",
    "archive",
}


class _Recorder:
    """The outputs of the commands that were run, by command."""

    def __init__(self, cdn: Cdn) -> None:
        self.outputs: dict[str, list[Any]] = {}
        self._cdn = cdn

    def run(self, line: str, stdin: str = "") -> None:
        arguments = [*line.split(), "--json"]
        command = find_command(arguments)
        assert command is not None, line
        output = self._cdn.sslctl(*arguments, stdin=stdin).json
        self.outputs.setdefault(command, []).append(output)


def _commands_with_json() -> set[str]:
    context = click.Context(sslctl)
    found: dict[str, click.Command] = {}
    for name in NAMES:
        command = sslctl.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {child}": each for child, each in command.commands.items()}
    return {
        path
        for path, command in found.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }


def test_every_command_with_json_has_a_schema_and_no_other_command_has_one() -> None:
    assert set(COMMANDS) == _commands_with_json()
    assert list(COMMANDS) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_schema_is_valid_names_itself_and_has_the_definitions_that_it_needs(command: str) -> None:
    schema = make_schema(command)
    assert jsonschema_rs.meta.is_valid(schema)
    # An unknown definition is an error here.
    jsonschema_rs.Draft202012Validator(schema)
    assert schema["$id"] == f"urn:sslctl:json:1:{command.replace(' ', ':')}"
    assert all(f'"#/$defs/{name}"' in json.dumps(schema) for name in schema["$defs"])


def test_every_definition_belongs_to_a_command() -> None:
    used = set[str]().union(*(make_schema(command)["$defs"] for command in COMMANDS))
    assert set(DEFINITIONS) - used == set()


def test_schema_leaves_objects_open_so_that_a_new_field_breaks_no_consumer() -> None:
    output = {"schema_version": 1, "maintenance": None, "new": 1}
    assert jsonschema_rs.Draft202012Validator(make_schema("resume")).is_valid(output)
    assert find_faults("resume", output) != []


@pytest.mark.parametrize(
    ("maintenance", "fault"),
    [
        ({"since": "2026-11-23T16:00:00Z", "until": "2026-11-23T18:00:00Z", "reason": "C4"}, "actor"),
        ({"since": "23.11.2026", "until": "2026-11-23T18:00:00Z", "reason": "C4", "actor": "ops"}, "since"),
        (7, ""),
    ],
    ids=["field is missing", "time is none", "no object"],
)
def test_wrong_output_is_rejected(maintenance: object, fault: str) -> None:
    faults = find_faults("resume", {"schema_version": 1, "maintenance": maintenance})
    assert len(faults) > 0
    assert fault in faults[0]


def test_output_of_each_run_in_the_tests_is_compared() -> None:
    with pytest.raises(AssertionError, match="undescribed"):
        check_output(["--config", "x", "resume", "--json"], '{"schema_version": 1, "undescribed": 1}')
    check_output(["resume", "--json"], '{"schema_version": 1, "maintenance": null}')


def test_wrong_usage_of_each_command_has_the_shape_of_an_error(cdn: Cdn) -> None:
    for command in COMMANDS:
        output = cdn.sslctl(*command.split(), "--json", "--no-such-option").json
        assert find_faults(command, output) == []
        assert output["error"] == "USAGE"


def test_real_outputs_have_the_described_shapes(
    cdn: Cdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there: what could not be delivered has the most fields.
    monkeypatch.setenv("SSLCTL_NOTIFY_URLS", "json://127.0.0.1:1/")
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Discard")
    cdn.add_domain("shop.example.com")
    cdn.add_domain("lost.example.com", points_at="elsewhere.test")
    recorder = _Recorder(cdn)
    certbot = CertbotFolder(tmp_path / "certbot", cdn.clock)
    certbot.issue("old.example.com")
    certbot.register("a11ce")
    (tmp_path / "table.csv").write_text("domain,note\nshop.example.com,moves\n")
    for line in (
        "init",
        "add --dry-run shop.example.com",
        "add shop.example.com gone.example.com lost.example.com",
        "view unknown.example.com",
        "list",
        "list --deleted",
        "view shop.example.com",
        f"download shop.example.com -o {tmp_path}/files",
        "recheck",
        "recheck --dry-run",
        f"import certbot {tmp_path}/certbot --dry-run",
        f"import certbot {tmp_path}/certbot --account",
        f"import csv {tmp_path}/table.csv --dry-run",
        f"import csv {tmp_path}/table.csv",
        "sync",
        "sync --add-missing --dry-run",
        "sync --add-missing",
        "message shop.example.com lost.example.com",
        "note shop.example.com moves",
        "assign shop.example.com ann",
        "customer shop.example.com acme",
        "adopt gone.example.com shop.example.com",
        "todo",
        "daemon-tick",
        "daemon-tick --force --dry-run --now 2030-01-01",
        "forecast",
        "audit verify",
        "audit list",
        "history prune --keep-days 180 --yes",
        "history list",
        f"export inventory -o {tmp_path}/fleet.ics",
        f"export history -o {tmp_path}/history.csv",
        "notify",
        "snooze gone.example.com --until 2d",
        "check shop.example.com",
        "pause --until 2h --reason C4",
        "list",
        "resume",
        "acme thumbprint",
        "acme thumbprint --for nginx",
        "keys rotate",
        "set shop.example.com --key-type p384",
        "add shop.example.com --new",
        "keys prune --older-than 0",
        f"backup {tmp_path}/backup",
        f"report {tmp_path}/report.html",
        "doctor",
    ):
        recorder.run(line)
    with monkeypatch.context() as patch:
        patch.setenv("SSLCTL_ACME_MODE", "stateless")
        recorder.run("acme rotate")
    recorder.run(f"download --from-file - -o {tmp_path}/list", stdin="shop.example.com\n")
    cdn.point("shop.example.com", "elsewhere.test")
    recorder.run("recheck shop.example.com")
    recorder.run("revoke shop.example.com --reason superseded --yes")
    recorder.run("delete shop.example.com --yes")
    _run_claims_and_pauses(cdn, recorder)
    for file in (cdn.folder / "state").glob("sslctl.db*"):
        file.unlink()
    recorder.run(f"restore {tmp_path}/backup")
    outputs = recorder.outputs
    # tests/integration/cli/test_state_migrate.py checks the output of `state migrate`, which needs a server.
    assert set(COMMANDS) - set(outputs) == {"schema", "state migrate"}
    assert [
        name for name, found in outputs.items() if all({"error", "hint"} <= set(each) for each in found)
    ] == []
    needed = {name for command in outputs for name in make_schema(command)["$defs"]}
    used = {name for command, found in outputs.items() for name in find_used(command, found)}
    assert needed - used == _SEEN_ELSEWHERE


def _run_claims_and_pauses(cdn: Cdn, recorder: _Recorder) -> None:
    app = cdn.app()
    app.store.claim(["tick"], timedelta(hours=1))
    app.store.pause(Scope(LimitKind.ACCOUNT), cdn.clock() + timedelta(hours=1), "the CA asked")
    try:
        for line in ("claims", "claims break tick --force", "claims", "pauses", "pauses lift all"):
            recorder.run(line)
    finally:
        app.close()


def test_schema_prints_the_schema_of_a_command_of_two_words(cdn: Cdn) -> None:
    expected = make_schema("audit list")
    assert cdn.sslctl("schema", "audit", "list").json == expected
    assert cdn.sslctl("schema", "audit list").json == expected
    assert cdn.sslctl("schema", "sslctl", "audit", "list", "--json").json == expected


def test_schema_needs_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--config", str(tmp_path / "missing.toml"), "schema", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == make_schema("list")


def test_schema_without_a_command_lists_those_that_have_one(cdn: Cdn) -> None:
    listed = cdn.sslctl("schema", "--json").json
    assert find_faults("schema", listed) == []
    assert [each["command"] for each in listed["commands"]] == list(COMMANDS)
    text = cdn.sslctl("schema").stdout
    assert [line.split("  ")[0] for line in text.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["audit"], "did you mean audit list or audit verify?"),
        (["lst"], "did you mean list"),
        (["completion"], "`sslctl schema` lists those that have one"),
        ([""], "`sslctl schema` lists those that have one"),
        (["view", "shop.example.com"], "`sslctl schema` lists those that have one"),
        (["\x1b[31m"], "`sslctl schema` lists those that have one"),
    ],
    ids=lambda value: repr(value) if isinstance(value, list) else "",
)
def test_command_without_a_schema_is_wrong_usage_that_names_the_nearest(
    cdn: Cdn, words: list[str], hint: str
) -> None:
    result = cdn.sslctl("schema", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert hint in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("typed", "incomplete", "expected"),
    [
        ([], "aud", ["audit"]),
        ([], "keys", ["keys"]),
        (["audit"], "", ["list", "verify"]),
        (["keys"], "ro", ["rotate"]),
        (["list"], "", []),
        (["nothing"], "", []),
    ],
)
def test_commands_are_completed_word_by_word(typed: list[str], incomplete: str, expected: list[str]) -> None:
    complete = ShellComplete(sslctl, {}, "sslctl", "_SSLCTL_COMPLETE")
    found = complete.get_completions(["schema", *typed], incomplete)
    assert [item.value for item in found] == expected
