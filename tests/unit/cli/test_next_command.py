"""The next command for each reason can be pasted: it exists, and takes the name of the domain."""

from __future__ import annotations

import shlex

import pytest

from sslctl.cli.main import sslctl
from sslctl.rules.next_command import next_command
from sslctl.rules.reasons import Code


@pytest.mark.parametrize("code", Code)
def test_next_command_is_understood(code: Code) -> None:
    program, command, *arguments = shlex.split(next_command(code, ["shop.example.com"]))
    assert program == "sslctl"
    context = sslctl.make_context("sslctl", [command, *arguments])
    found = sslctl.get_command(context, command)
    assert found is not None
    with found.make_context(command, list(arguments), parent=context) as parsed:
        given = list(parsed.params.values())
    assert arguments in ([], ["shop.example.com"])
    assert not arguments or "shop.example.com" in given or ("shop.example.com",) in given
