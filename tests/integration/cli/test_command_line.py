"""The command line as a process: help, terminals, closed pipes, full disks and missing streams."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.cli.main import COMMANDS
from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support import words
from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, Terminal, await_true, command, environment, run

NAME = "shop.example.com"
LONG = f"{'very-' * 10}long.example.com"


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """One served domain and two that C4 does not know, one of them with a very long name."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, LONG, "unknown.example.com")
    return cdn


# Help and mistakes


def test_help_exists_for_every_command(new_cdn: Cdn) -> None:
    overview = new_cdn.sslctl("--help")
    assert overview.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in overview.stdout
        shown = new_cdn.sslctl(name, "-h")
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert shown.stdout.startswith(f"Usage: sslctl {name} ")
        assert max(map(len, shown.stdout.splitlines())) <= 100
    assert new_cdn.sslctl("--version").stdout.startswith("sslctl, version ")
    assert not (new_cdn.folder / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["acme"], "`sslctl acme` needs a command: rotate, serve, thumbprint.", "see `sslctl acme --help`"),
        (["zzzzzz"], "No such command 'zzzzzz'", "see `sslctl --help`"),
        (["list", "--statsu", "x"], "No such option '--statsu'", "see `sslctl list --help`"),
        (["view"], "Missing argument 'DOMAIN'.", "see `sslctl view --help`"),
        (["view", "a.example.com", "b.example.com"], "Got unexpected extra argument", "view --help`"),
        (["list", "--status", "Fine"], "Invalid value for '--status': 'Fine' is not one of", "list --help`"),
        (["list", "--source", "C4"], "Invalid value for '--source': 'C4' is not one of 'c4', 'text'", "list"),
        (["add", "-x.example.com"], "No such option '-x'", "see `sslctl add --help`"),
    ],
    ids=words,
)
def test_usage_error_is_one_line_with_a_hint(cdn: Cdn, arguments: list[str], error: str, hint: str) -> None:
    result = cdn.sslctl(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"sslctl: error: {error}")
    assert second.startswith("sslctl: hint: see `sslctl")
    assert hint in second


def test_missing_configuration_file_is_named_in_the_error(cdn: Cdn) -> None:
    result = run(cdn, "--config", "/nonexistent/config.toml", "list")
    assert (result.returncode, result.stdout) == (8, "")
    assert result.stderr == (
        "sslctl: error: the configuration /nonexistent/config.toml cannot be read: no such file or directory\n"
    )


def test_written_files_are_private_even_with_umask_0(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    out = cdn.folder / "out"
    process = subprocess.run(
        [
            "sh",
            "-c",
            'umask 000; exec "$@"',
            "sh",
            *command("download", NAME, "-o", str(out / "deep" / "er")),
        ],
        env=environment(cdn),
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert process.stdout.count(b"\n") == 4
    state = cdn.folder / "state"
    assert not [
        path for path in (out, state, *out.rglob("*"), *state.rglob("*")) if path.stat().st_mode & 0o077
    ]


# Standard output and input


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["list", "--csv"], ["view", NAME]], ids=words
)
def test_command_exits_with_0_when_its_reader_closed_the_pipe(shop: Cdn, arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.run(
        command(*arguments),
        env=environment(shop),
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    os.close(theirs)
    assert (process.returncode, process.stderr) == (0, b"")


def test_add_finishes_its_work_when_its_reader_closed_the_pipe(cdn: Cdn) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.run(
        command("add", *(f"d{index}.example.com" for index in range(6))),
        env=environment(cdn, SSLCTL_ACME_WORKERS="1"),
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    os.close(theirs)
    summary = b"sslctl: 0 of 6 domains are well; 6 need a person: sslctl todo\n"
    assert (process.returncode, process.stderr) == (5, summary)
    assert len(cdn.sslctl("list", "--status", "discard", "--json").json["domains"]) == 6


@pytest.mark.parametrize("arguments", [["list"], ["list", "--csv"], ["view", NAME, "--json"]], ids=words)
def test_command_exits_with_8_when_the_output_cannot_be_written(shop: Cdn, arguments: list[str]) -> None:
    result = run(shop, *arguments, redirect=">/dev/full")
    assert result.returncode == 8
    assert result.stderr == "sslctl: error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_works_with_closed_streams_and_leaves_the_state_intact(shop: Cdn, closed: str) -> None:
    for arguments, code in (
        (["list"], 0),
        (["recheck", "unknown.example.com"], 6),
        (["delete", NAME], 2),
        (["add", "--from-file", "-"], 2),
    ):
        result = run(shop, *arguments, redirect=closed)
        assert result.returncode == code
        assert "bug" not in result.stderr
    assert shop.sslctl("view", NAME).exit_code == 0


def test_add_from_file_accepts_bom_and_crlf_on_standard_input(cdn: Cdn) -> None:
    names = "\ufeffone.example.com\r\ntwo.example.com\r\n".encode()
    result = run(cdn, "add", "--no-wait", "--from-file", "-", stdin=names)
    summary = "sslctl: 2 of 2 domains were recorded\n"
    assert (result.returncode, result.stdout.count("QUEUED"), result.stderr) == (0, 2, summary)


def test_command_exits_with_0_when_the_output_encoding_is_ascii(shop: Cdn) -> None:
    shop.point(LONG, "parking.elsewhere.test")
    shop.c4.create_domain(LONG, cname_target=f"{LONG}.cdn.test")
    assert shop.sslctl("recheck", LONG).stdout.count("→") == 1
    for arguments in (["list"], ["list", "--csv"], ["view", LONG], ["list", "--json"]):
        process = subprocess.run(
            command(*arguments),
            env=environment(shop, PYTHONIOENCODING="ascii"),
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert (process.returncode, process.stderr) == (0, b""), arguments


# A terminal


@pytest.mark.parametrize("columns", [20, 60, 80])
def test_list_is_cut_to_the_terminal_width_without_breaking_escape_sequences(shop: Cdn, columns: int) -> None:
    with Terminal(shop, "list", columns=columns) as terminal:
        assert terminal.end() == 0
    *rows, counts, command = terminal.lines
    assert command == "next: sslctl todo"
    assert len(rows) == 4
    assert max(map(len, rows)) <= columns
    assert re.fullmatch(r"3 domains: .*", counts.removeprefix("sslctl: ")), counts
    assert "\x1b" not in "".join(terminal.lines)
    # Each row that starts a colour must end it, or the rest of the screen has it too.
    for row in terminal.screen.splitlines():
        assert len(re.findall(r"\x1b\[[39]\dm", row)) == row.count("\x1b[0m")


def test_list_uses_colour_only_on_a_terminal_without_no_color(shop: Cdn) -> None:
    with Terminal(shop, "list") as terminal:
        terminal.end()
    assert "\x1b[32mSuccess\x1b[0m" in terminal.screen
    with Terminal(shop, "list", NO_COLOR="1") as plain:
        plain.end()
    assert "\x1b" not in plain.screen
    assert "Success" in plain.screen
    assert "\x1b" not in run(shop, "list").stdout


@pytest.mark.parametrize("answer", ["n", "", "no"])
def test_delete_changes_nothing_when_the_answer_is_no(shop: Cdn, answer: str) -> None:
    with Terminal(shop, "delete", NAME) as terminal:
        terminal.await_text("Delete shop.example.com? HTTPS would stop working on the edge. [y/N]: ")
        terminal.type(f"{answer}\n")
        assert terminal.end() == 130
    assert terminal.lines[-1] == "Nothing was deleted."
    assert shop.installed(NAME) is not None


def test_delete_changes_nothing_when_interrupted_at_the_question(shop: Cdn) -> None:
    with Terminal(shop, "delete", NAME, LONG) as terminal:
        terminal.await_question(
            f"Delete 2 domains ({NAME}, {LONG})? HTTPS would stop working on the edge for 1 of them. [y/N]: "
        )
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert terminal.screen.endswith("sslctl: error: interrupted\r\n")
    assert "Traceback" not in terminal.screen
    assert len(shop.sslctl("list", "--json").json["domains"]) == 3


def test_delete_proceeds_when_the_answer_is_yes(shop: Cdn) -> None:
    with Terminal(shop, "delete", NAME, "--keep-on-c4") as terminal:
        terminal.await_text("C4 would keep what it serves. [y/N]: ")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert terminal.lines[-1] == f"{NAME}: deleted"


def test_delete_force_names_the_foreign_certificate_in_the_question_and_removes_no_later_one(
    shop: Cdn,
) -> None:
    named, later = shop.text_pair(NAME, days=365), shop.text_pair(NAME, days=200)
    shop.app().control_plane.upload(NAME, named, Source.TEXT)
    with Terminal(shop, "delete", NAME, "--force") as terminal:
        terminal.await_question(f"Delete {NAME}? HTTPS would stop working on the edge. [y/N]: ")
        shop.app().control_plane.upload(NAME, later, Source.TEXT)
        terminal.type("y\n")
        assert terminal.end() == 0
    fingerprints = [read_leaf(pair.certificate).fingerprint for pair in (named, later)]
    assert f"{NAME}: C4 has the text certificate {fingerprints[0][:16]}, valid until" in terminal.screen
    assert terminal.lines[-1].startswith(f"  C4 keeps the text certificate {fingerprints[1][:16]}")
    assert shop.installed(NAME) == fingerprints[1]


def test_delete_asks_with_what_would_happen_to_a_foreign_certificate_and_to_an_unknown_domain(
    shop: Cdn,
) -> None:
    shop.app().control_plane.upload(NAME, shop.text_pair(NAME, days=365), Source.TEXT)
    theirs = str(shop.installed(NAME))[:16]
    for name, consequence in (
        (NAME, "The edge would serve what it serves now"),
        ("unknown.example.com", "C4 has no certificate to remove"),
    ):
        with Terminal(shop, "delete", name) as terminal:
            terminal.await_question(f"Delete {name}? {consequence}. [y/N]: ")
            terminal.type("n\n")
            assert terminal.end() == 130
        is_named = f"the text certificate {theirs}, valid until" in terminal.screen
        assert (is_named, "C4 would keep it." in terminal.screen) == (name == NAME, name == NAME)


def test_download_asks_for_the_pkcs12_password_twice_without_echo(shop: Cdn, tmp_path: Path) -> None:
    with Terminal(shop, "download", NAME, "--format", "pkcs12", "-o", str(tmp_path / "out")) as terminal:
        terminal.await_text("Password for the PKCS#12 file: ")
        _await_hidden(terminal)
        terminal.type("s3cret\n")
        terminal.await_text("Repeat for confirmation: ")
        _await_hidden(terminal)
        terminal.type("s3cret\n")
        assert terminal.end() == 0
    assert "s3cret" not in terminal.screen
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{NAME}.p12"]


def _await_hidden(terminal: Terminal) -> None:
    """Wait until the terminal does not echo: getpass writes its prompt first."""
    await_true(lambda: not termios.tcgetattr(terminal._end)[3] & termios.ECHO)


def test_progress_is_one_line_that_is_erased_and_absent_without_a_terminal(shop: Cdn, tmp_path: Path) -> None:
    with Terminal(shop, "recheck", NAME, LONG, columns=40) as terminal:
        assert terminal.end() == 5
    shown = [piece for piece in re.split(r"\r\x1b\[K|\r\n", terminal.screen) if "done  " in piece]
    assert shown
    assert max(map(len, shown)) < 40
    assert any("querying C4" in piece for piece in shown)
    # Every progress line was erased before anything else was written.
    assert not [piece for piece in shown if "Success" in piece or "Discard" in piece]
    quiet = run(shop, "recheck", NAME, redirect=f">{tmp_path / 'out'}")
    assert quiet.stderr == ""


def test_recheck_finishes_normally_when_interrupted_after_all_work_has_started(shop: Cdn) -> None:
    shop.c4.set_faults(Fault(kind=Operation.LOOKUP, domain="unknown.example.com", delay_seconds=0.7))
    with Terminal(shop, "recheck", "unknown.example.com") as terminal:
        terminal.await_text("querying C4")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 6
    assert "finishing the passes under way" in terminal.screen
    assert "interrupted" not in terminal.screen
