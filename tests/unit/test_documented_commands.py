"""Every command of sslctl that a page names can be parsed: it exists, and has these options and arguments."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest

from sslctl.cli.main import sslctl
from tests.support import ROOT
from tests.support.documented import blocks

# Decisions and the changelog name what was there once; docs/commands.md is what --help prints.
_HISTORY = {"CHANGELOG.md", "decisions.md", "commands.md"}
PAGES = [page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")) if page.name not in _HISTORY]
_FILE = str(ROOT / "README.md")
_EXAMPLES = {
    **dict.fromkeys(("FILE", "…", "domains.txt", "names.txt", "fleet.csv", "c.pem", "k.pem"), _FILE),
    "CODE": "CNAME_MISSING",
    "COMMAND": "list",
    "ID:MAC": f"1:{'0' * 32}",
}


def _commands(page: Path) -> list[str]:
    """Return the command lines of a page: those in its console blocks, and those in backticks in its sentences."""
    text = page.read_text()
    lines = {step.command for block in blocks(text) for step in block.steps}
    lines |= set(re.findall(r"`(sslctl [^`\n]+)`", text))
    stripped = {re.sub(r"^(sudo -u sslctl |(\S+/)?\.venv/bin/|/opt/\S+/bin/)", "", line) for line in lines}
    return sorted(line for line in stripped if line.startswith("sslctl "))


def _parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> None:
    """Parse `arguments` as `command` does, without running it. Raise `click.UsageError` if it does not take them."""
    # With its settings: click remembers the help option of a command, and other tests call `-h` in this process.
    # Its end closes the files that were opened.
    with click.Context(command, parent, **command.context_settings) as context:
        if isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
            name, found, rest = command.resolve_command(context, arguments)
            assert found is not None, name
            _parse(found, rest, context)
        elif arguments:
            # A sentence may name a command without its arguments. --help and --version end the parsing.
            with suppress(click.exceptions.Exit):
                command.parse_args(context, arguments)


def _words(line: str) -> list[str]:
    """Return the arguments of a command line, with a file that exists for each that it names."""
    words = [_EXAMPLES.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    return [_FILE if re.fullmatch(r"/.+\.db", word) else word for word in words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_parsed(page: Path) -> None:
    problems = {}
    for line in _commands(page):
        try:
            _parse(sslctl, _words(line))
        except click.UsageError as error:
            problems[line] = error.format_message()
    assert problems == {}


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    assert {page.name for page in PAGES if _commands(page)} >= {
        "README.md",
        "first-hour.md",
        "operations.md",
        "production.md",
        "runbook.md",
        "upgrade.md",
    }
    upgrade = _commands(ROOT / "docs" / "upgrade.md")
    assert "sslctl claims" in upgrade
    assert "sslctl completion fish" in upgrade


def test_parsing_rejects_an_unknown_command_and_an_unknown_option() -> None:
    for arguments in (["chek", "shop.example.com"], ["recheck", "--al"], ["pauses", "list", "all"]):
        with pytest.raises(click.UsageError):
            _parse(sslctl, arguments)
