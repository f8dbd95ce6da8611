"""Completion in real shells: commands, options, their values, and names of domains from a real state."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest

from sslctl.cli import completion_names
from sslctl.cli.main import COMMANDS, sslctl
from tests.support import words
from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, command, environment
from tests.support.shells import Shell, with_program
from tests.support.store_cases import database_of

# Each line up to the cursor, and what it must become: there is one way to go on.
LINES = [
    ("sslctl dae", "daemon-tick"),
    ("sslctl list --exp", "--expiring-within"),
    ("sslctl list --status Fai", "Failure"),
    ("sslctl list --reason cname_m", "CNAME_MISSING"),
    ("sslctl view sho", "shop.example.com"),
    ("sslctl view --json sho", "shop.example.com"),
    ("sslctl recheck shop.example.com blo", "blog.example.com"),
    ("sslctl view www.sh", "www.shop.example.com"),
    ("sslctl view old.ex", "old.example.com"),
    ("sslctl claims br", "break"),
]


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """Two managed domains with assignees, one of them with another name, and a deleted one."""
    for name in ("shop.example.com", "blog.example.com", "old.example.com"):
        assert cdn.sslctl("add", "--no-wait", name).exit_code == 0
    assert cdn.sslctl("add", "--no-wait", "shop.example.com", "--san", "www.shop.example.com").exit_code == 0
    assert cdn.sslctl("delete", "--yes", "--keep-on-c4", "old.example.com").exit_code == 0
    for name, who in (("shop.example.com", "alice"), ("blog.example.com", "zoë")):
        assert cdn.sslctl("assign", name, who).exit_code == 0
    return cdn


def ask(cdn: Cdn, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Ask as the script for bash does, with the cursor at the end of `line`."""
    typed = line.split(" ")
    asked = {
        "COMP_WORDS": "\n".join(typed),
        "COMP_CWORD": str(len(typed) - 1),
        "_SSLCTL_COMPLETE": "bash_complete",
    }
    return subprocess.run(
        command(),
        env=environment(cdn, **asked, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def values(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert (result.returncode, result.stderr) == (0, "")
    return [line.removeprefix("plain,") for line in result.stdout.splitlines()]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_shell_completes_each_line_when_tab_is_pressed(shop: Cdn, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    with Shell(name, shop) as shell:
        for line, completed in LINES:
            before, _, _ = line.rpartition(" ")
            shell.type(f"{line}\t\x01echo \n")
            shell.await_text(f"\n{before} {completed}\r\n")


def ask_fish(cdn: Cdn, line: str) -> list[tuple[str, str]]:
    """Return what a real fish completes at the end of `line`, each with its description."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = cdn.folder / "sslctl.fish"
    script.write_text(cdn.sslctl("completion", "fish").stdout)
    result = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
        env=with_program(cdn),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    parts = [found.partition("\t") for found in result.stdout.splitlines()]
    return [(value, description) for value, _, description in parts]


def test_fish_completes_each_line(shop: Cdn) -> None:
    for line, completed in LINES:
        assert [value for value, _ in ask_fish(shop, line)] == [completed], line


def test_fish_shows_a_description_with_a_comma_as_a_whole(shop: Cdn) -> None:
    assert "," in COMMANDS["delete"]
    assert ask_fish(shop, "sslctl dele") == [("delete", COMMANDS["delete"])]


def test_bash_completes_a_value_behind_an_equals_sign(shop: Cdn) -> None:
    # bash splits the word at the sign.
    assert values(ask(shop, "sslctl list --status = fai")) == ["Failure"]
    assert values(ask(shop, "sslctl list --owner =")) == values(ask(shop, "sslctl list --owner "))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("sslctl view ", ["blog.example.com", "old.example.com", "shop.example.com"]),
        ("sslctl recheck ", ["blog.example.com", "shop.example.com"]),
        ("sslctl recheck shop.example.com ", ["blog.example.com"]),
        ("sslctl recheck --force shop.example.com ", ["blog.example.com"]),
        ("sslctl view SHOP", ["shop.example.com"]),
        ("sslctl add ", ["old.example.com"]),
        ("sslctl add sho", []),
        ("sslctl add --no-wait ", ["old.example.com"]),
        ("sslctl add shop.example.com --san ", []),
        ("sslctl view shop.example.com ", []),
        ("sslctl list o", []),
        ("sslctl list --deleted o", ["old.example.com"]),
        ("sslctl view %", []),
        ("sslctl view *", []),
        ("sslctl view 'sho", ["shop.example.com"]),
        ("sslctl nonsense sh", []),
        ("sslctl todo --assignee ", ["alice", "zoë"]),
        ("sslctl list --assignee al", ["alice"]),
        ("sslctl list --assignee %", []),
    ],
    ids=words,
)
def test_names_fit_the_command(shop: Cdn, line: str, wanted: list[str]) -> None:
    assert values(ask(shop, line)) == wanted


def test_files_are_completed_by_the_shell(shop: Cdn) -> None:
    for line in (
        "sslctl restore x",
        "sslctl add --from-file x",
        "sslctl add --cert x",
        "sslctl recheck --from-file x",
    ):
        assert ask(shop, line).stdout == "file,x\n"


def test_every_command_that_takes_domains_completes_them() -> None:
    context = click.Context(sslctl)
    found = {
        name
        for name in COMMANDS
        if (taken := sslctl.get_command(context, name)) is not None
        and any(
            (isinstance(param, click.Argument) and param.metavar and "DOMAIN" in param.metavar)
            or (param.name in {"domain", "pattern"} and isinstance(param, click.Argument))
            for param in taken.params
        )
    }
    assert found == set(completion_names.COMMANDS)


def test_name_is_completed_from_the_state_of_the_config_option(shop: Cdn) -> None:
    (shop.folder / "home").mkdir()
    (shop.folder / "home" / "c.toml").symlink_to(shop.config_path)
    result = ask(shop, "sslctl --config ~/c.toml view sho", SSLCTL_CONFIG="", HOME=str(shop.folder / "home"))
    assert values(result) == ["shop.example.com"]


@pytest.mark.parametrize("line", ["sslctl view ", "sslctl recheck --force ", "sslctl add x"], ids=words)
def test_completion_is_silent_and_creates_nothing_without_a_state(new_cdn: Cdn, line: str) -> None:
    assert values(ask(new_cdn, line)) == []
    assert not (new_cdn.folder / "state").exists()


def _damage(path: Path) -> None:
    path.write_bytes(b"no database" * 500)


def _rename_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE domain RENAME TO other")


@pytest.mark.parametrize("spoil", [_damage, _rename_table])
def test_completion_is_silent_when_the_database_cannot_be_read(
    shop: Cdn, spoil: Callable[[Path], None]
) -> None:
    path = database_of(shop.folder / "state")
    spoil(path)
    before = path.read_bytes()
    assert values(ask(shop, "sslctl view sho")) == []
    assert path.read_bytes() == before


def test_completion_is_silent_when_the_database_is_locked(shop: Cdn) -> None:
    with closing(sqlite3.connect(database_of(shop.folder / "state"), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert values(ask(shop, "sslctl view sho")) == []
        holder.execute("ROLLBACK")
    assert values(ask(shop, "sslctl view sho")) == ["shop.example.com"]


def test_completion_is_silent_when_the_configuration_is_wrong(shop: Cdn) -> None:
    assert values(ask(shop, "sslctl view sho", SSLCTL_C4_TIMEOUT_SECONDS="soon")) == []


def test_damaged_name_with_shell_syntax_is_not_completed(shop: Cdn) -> None:
    with sqlite3.connect(database_of(shop.folder / "state")) as connection:
        connection.execute("UPDATE domain SET name = 'shop.$(touch x)' WHERE name = 'shop.example.com'")
    assert values(ask(shop, "sslctl recheck ")) == ["blog.example.com"]
    assert values(ask(shop, "sslctl recheck --force s")) == []


def test_stray_variable_does_not_stop_a_command(shop: Cdn) -> None:
    result = subprocess.run(
        command("list", "--json"),
        env=environment(shop, _SSLCTL_COMPLETE="bash_complete"),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert (result.returncode, result.stdout.count("shop.example.com") > 0) == (0, True)
