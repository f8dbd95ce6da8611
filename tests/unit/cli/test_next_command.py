"""The next command for each reason can be pasted: it exists, and takes the name of the domain."""

from __future__ import annotations

import shlex

import pytest

from sslctl.cli.main import sslctl
from sslctl.rules.model import Source
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


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (Code.CNAME_MISSING, "sslctl message a.test b.test"),
        (Code.CHALLENGE_UNREACHABLE, "sslctl check a.test"),
        (Code.RESOLVERS_DISAGREE, "sslctl check a.test"),
        (Code.CERT_EXPIRED, "sslctl recheck a.test"),
    ],
)
def test_next_command_follows_the_owner_unless_the_code_has_its_own(code: Code, command: str) -> None:
    assert next_command(code, ["a.test", "b.test"]) == command


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (Code.CERT_EXPIRED, "sslctl add a.test"),
        (Code.C4_UNKNOWN_DOMAIN, "sslctl check a.test"),
        (Code.TEXT_EXPIRES, "sslctl message a.test"),
        (Code.C4_UPLOAD_FAILED, "sslctl recheck a.test"),
    ],
)
def test_next_command_for_a_text_certificate_is_one_that_helps(code: Code, command: str) -> None:
    assert next_command(code, ["a.test"], Source.TEXT) == command
