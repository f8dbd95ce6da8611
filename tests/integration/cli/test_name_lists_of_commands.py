"""`--from-file` of `recheck`, `delete` and `download`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import words
from tests.support.cdn import Cdn

ONE, TWO, THREE, WWW = "one.example.com", "two.example.com", "three.example.com", "www.example.com"


def managed(cdn: Cdn) -> list[str]:
    return [each["domain"] for each in cdn.sslctl("list", "--json").json["domains"]]


@pytest.fixture
def served(cdn: Cdn) -> Cdn:
    """Return a CDN with two served domains."""
    for name in (ONE, TWO):
        cdn.add_domain(name)
    assert cdn.sslctl("add", ONE, TWO).exit_code == 0
    return cdn


COMMANDS = [["recheck"], ["delete", "--yes"], ["download"]]


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_command_with_an_empty_list_does_nothing(served: Cdn, command: list[str]) -> None:
    """Without names `recheck` takes all; an empty list must not mean all."""
    requests = len(served.c4.requests)
    result = served.sslctl(*command, "--from-file", "-", stdin="# none today\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "<stdin> contains no domain names" in result.stderr
    assert len(served.c4.requests) == requests


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_every_name_of_a_list_that_is_not_managed_is_reported(
    served: Cdn, command: list[str], tmp_path: Path
) -> None:
    options = ["-o", str(tmp_path / "out")] if command == ["download"] else []
    text = f"{ONE}\na.example.com\n{TWO}\nb.example.com\n"
    result = served.sslctl(*command, *options, "--from-file", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (9, "")
    assert [line.split()[4] for line in result.stderr.splitlines()[:2]] == ["2:", "4:"]
    assert "2 of 4 domains are not managed; nothing was done" in result.stderr
    assert managed(served) == [ONE, TWO]
    assert not (tmp_path / "out").exists()


def test_recheck_of_a_list_checks_the_domains_and_ignores_other_names(served: Cdn) -> None:
    result = served.sslctl("recheck", "--from-file", "-", "--json", stdin=f"{TWO} {WWW}\n")
    assert result.exit_code == 0
    assert [each["domain"] for each in result.json["domains"]] == [TWO]
    assert "only `add` uses the other names" in result.stderr


def test_recheck_of_a_list_is_no_consent_to_replace_text_certificates(served: Cdn) -> None:
    result = served.sslctl("recheck", "--replace-text", "--from-file", "-", stdin=f"{TWO}\n")
    assert result.exit_code == 2
    assert "cannot be combined with --from-file" in result.stderr


def test_delete_of_a_list_needs_yes_or_a_terminal_and_counts_the_domains(served: Cdn) -> None:
    result = served.sslctl("delete", "--from-file", "-", stdin=f"{ONE}\n{TWO}\n")
    assert result.exit_code == 2
    assert f"2 domains ({ONE}, {TWO})" in result.stderr
    assert managed(served) == [ONE, TWO]
    result = served.sslctl("delete", "--yes", "--from-file", "-", stdin=f"{ONE}\n{TWO}\n")
    assert (result.exit_code, managed(served)) == (0, [])


def test_delete_without_names_is_wrong_usage(served: Cdn) -> None:
    for command in (["delete", "--yes"], ["download"]):
        result = served.sslctl(*command)
        assert result.exit_code == 2
        assert "name a domain, or give --from-file FILE" in result.stderr


def test_download_of_a_list_writes_a_folder_for_each_domain(served: Cdn, tmp_path: Path) -> None:
    served.sslctl("add", "--no-wait", THREE)
    text = f"{ONE}\n{THREE}\n{TWO}\n"
    result = served.sslctl("download", "-o", str(tmp_path), "--json", "--from-file", "-", stdin=text)
    assert result.exit_code == 5
    assert [each["domain"] for each in result.json["downloads"]] == [ONE, TWO]
    assert f"error: {THREE}: {THREE} has no certificate yet" in result.stderr
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("privkey.pem")) == [
        f"{ONE}/privkey.pem",
        f"{TWO}/privkey.pem",
    ]
    again = served.sslctl("download", "-o", str(tmp_path), "--from-file", "-", stdin=f"{ONE}\n")
    assert (again.exit_code, again.stdout) == (5, "")
    assert "exists already" in again.stderr
