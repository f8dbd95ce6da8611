"""Terminals and locales that lack something: a name, colours, characters."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal, await_true, run

NAME = "shop.example.com"
ENCODINGS = ("latin-1", "gbk", "ascii", "koi8-r", "utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("arguments", [["list"], ["view", NAME], ["recheck", "gone.example.com"], ["doctor"]])
def test_command_ends_alike_in_every_locale(cdn: Cdn, arguments: list[str], encoding: str) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "gone.example.com")
    in_utf8 = run(cdn, *arguments, PYTHONIOENCODING="utf-8")
    result = run(cdn, *arguments, PYTHONIOENCODING=encoding)
    assert result.returncode == in_utf8.returncode
    assert "bug" not in result.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_that_the_locale_lacks_is_escaped_and_programs_get_utf8(cdn: Cdn, encoding: str) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    folder = cdn.folder / "→ out"
    result = run(cdn, "download", NAME, "-o", str(folder), PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert result.returncode == 0
    listed = run(
        cdn,
        "download",
        NAME,
        "-o",
        str(folder),
        "--force",
        "--json",
        PYTHONIOENCODING=encoding,
        PYTHONUTF8="0",
    )
    assert Path(json.loads(listed.stdout)["files"][0]).parent == folder


def test_batch_in_a_locale_without_the_characters_reaches_every_domain(cdn: Cdn) -> None:
    names = [f"d{number}.example.com" for number in range(5)]
    for name in names:
        cdn.add_domain(name, points_at="elsewhere.example.org")
    cdn.sslctl("add", *names, "--no-wait")
    assert run(cdn, "recheck", *names, PYTHONIOENCODING="gbk").returncode == 5
    assert {each["reason"]["code"] for each in cdn.sslctl("list", "--json").json["domains"]} == {
        "CNAME_ELSEWHERE"
    }


def test_dumb_terminal_gets_no_escape_sequences(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    for arguments in (("list",), ("view", NAME), ("recheck", NAME)):
        with Terminal(cdn, *arguments, TERM="dumb") as terminal:
            assert terminal.end() == 0
        assert "\x1b" not in terminal.screen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide the terminals")
def test_terminal_without_a_name_is_no_error(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/pts && exec "$@"', "sh")
    with Terminal(cdn, "delete", NAME, wrapper=hide) as terminal:
        terminal.await_text("[y/N]: ")
        terminal.type("y\n")
        assert terminal.end() == 0
    events = cdn.sslctl("view", NAME, "--json").json["domain"]["events"]
    assert any(event["actor"].endswith("(terminal)") for event in events)


def test_second_interrupt_prints_what_has_no_result(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=3))
    with Terminal(cdn, "recheck", NAME) as terminal:
        terminal.await_text("querying C4")
        terminal.process.send_signal(signal.SIGINT)
        terminal.await_text("finishing the passes under way")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert "sslctl: stopped; 1 of 1 domains have no result." in terminal.screen
    await_true(lambda: terminal.process.poll() is not None)


def test_sslctl_alone_shows_its_help(new_cdn: Cdn) -> None:
    result = new_cdn.sslctl()
    assert (result.exit_code, result.stdout) == (0, new_cdn.sslctl("--help").stdout)
    assert not (new_cdn.folder / "state").exists()
