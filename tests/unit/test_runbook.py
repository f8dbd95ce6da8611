"""The runbook has an entry for every reason code, and names only commands and options that exist."""

from __future__ import annotations

import re
import shlex
import tomllib

import click
import pytest

from sslctl.cli.main import sslctl
from sslctl.rules.reasons import REASONS
from tests.support import ROOT

_PAGE = (ROOT / "docs" / "runbook.md").read_text()
_WRITTEN = tomllib.loads((ROOT / "docs" / "runbook.toml").read_text())
_COMMANDS = sorted(set(re.findall(r"`(sslctl [^`]+)`", _PAGE)))
_EXAMPLES = {"DOMAIN": "shop.example.com", "CODE": "CNAME_MISSING", "…": str(ROOT / "README.md")}


def test_every_code_has_a_written_part_and_nothing_else_has() -> None:
    assert set(_WRITTEN) == {"ends", *REASONS}
    for code in REASONS:
        assert set(_WRITTEN[code]) == {"verify", "ends"}, code
        assert _WRITTEN[code]["ends"] in _WRITTEN["ends"] or " " in _WRITTEN[code]["ends"], code


def test_every_code_has_one_entry_in_the_page() -> None:
    assert sorted(re.findall(r"^### (\w+)$", _PAGE, re.MULTILINE)) == sorted(REASONS)


def test_every_shared_text_of_the_end_is_used() -> None:
    assert set(_WRITTEN["ends"]) <= {_WRITTEN[code]["ends"] for code in REASONS}


def _parse(command: click.Command, arguments: list[str]) -> None:
    """Parse `arguments` as `command` does, without running it. Raise `click.UsageError` if it does not take them."""
    context = click.Context(command)
    if isinstance(command, click.Group) and arguments:
        name, found, rest = command.resolve_command(context, arguments)
        assert found is not None, name
        _parse(found, rest)
    elif not isinstance(command, click.Group):
        # A sentence may name a command without its arguments, which are then missing.
        try:
            command.parse_args(context, arguments)
        except click.MissingParameter:
            if arguments:
                raise


@pytest.mark.parametrize("line", _COMMANDS)
def test_every_command_of_the_runbook_can_be_parsed(line: str) -> None:
    _parse(sslctl, [_EXAMPLES.get(word, word) for word in shlex.split(line)[1:]])


def test_parsing_rejects_an_unknown_command_and_an_unknown_option() -> None:
    for arguments in (["chek", "shop.example.com"], ["recheck", "--al"], ["pauses", "list", "all"]):
        with pytest.raises(click.UsageError):
            _parse(sslctl, arguments)
