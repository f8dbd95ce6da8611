"""Names that another domain's certificate has (SANs): every command says whose certificate it is."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.support import words
from tests.support.cdn import Cdn

NAME, OTHER = "shop.example.com", "www.example.com"
HAS = f"the certificate of {NAME} has the name {OTHER} already"


@pytest.fixture
def pair(cdn: Cdn) -> Cdn:
    """Return a CDN with a domain whose certificate has another name."""
    for name in (NAME, OTHER):
        cdn.add_domain(name)
    assert cdn.sslctl("add", NAME, "--san", OTHER).exit_code == 0
    return cdn


def test_view_of_another_name_shows_the_domain_that_has_it(pair: Cdn) -> None:
    result = pair.sslctl("view", OTHER, "--json")
    assert (result.exit_code, result.json["domain"]["domain"]) == (0, NAME)
    assert result.json["domain"]["sans"] == [OTHER]
    assert result.stderr == f"sslctl: {OTHER} is another name of the certificate of {NAME}\n"


@pytest.mark.parametrize("command", [["recheck"], ["delete", "--yes"], ["download"], ["adopt"]], ids=words)
def test_command_on_another_name_says_whose_certificate_has_it(pair: Cdn, command: list[str]) -> None:
    result = pair.sslctl(*command, OTHER)
    assert (result.exit_code, result.stdout) == (9, "")
    assert f"{OTHER} is another name of the certificate of {NAME}" in result.stderr
    assert pair.installed(NAME)


@pytest.mark.parametrize("options", [[], ["--no-wait"]], ids=words)
def test_add_of_another_name_buys_no_second_certificate(pair: Cdn, options: list[str]) -> None:
    result = pair.sslctl("add", OTHER, *options)
    assert result.exit_code == 2
    assert HAS in result.stderr
    assert len(pair.issuer.orders) == 1
    assert [each["domain"] for each in pair.sslctl("list", "--json").json["domains"]] == [NAME]


def test_add_new_gets_a_certificate_of_its_own_for_another_name(pair: Cdn) -> None:
    assert pair.sslctl("add", OTHER, "--new").exit_code == 0
    assert pair.issuer.orders == [(NAME, OTHER), (OTHER,)]
    # It is a domain by itself from now on.
    assert pair.sslctl("add", OTHER).exit_code == 0
    assert pair.sslctl("view", OTHER, "--json").json["domain"]["domain"] == OTHER
    assert len(pair.issuer.orders) == 2


def test_add_of_a_list_refuses_only_the_names_that_a_certificate_has(pair: Cdn, tmp_path: Path) -> None:
    pair.add_domain("new.example.com")
    listed = tmp_path / "list"
    listed.write_text(f"{OTHER}\n{NAME}\nnew.example.com\n")
    result = pair.sslctl("add", "--from-file", str(listed))
    assert result.exit_code == 5
    assert HAS in result.stderr
    assert pair.issuer.orders == [(NAME, OTHER), ("new.example.com",)]


def test_deleted_domain_is_free_to_be_added_once_no_certificate_has_its_name(pair: Cdn) -> None:
    pair.sslctl("add", OTHER, "--new")
    pair.sslctl("delete", OTHER, "--yes")
    assert HAS in pair.sslctl("add", OTHER).stderr
    assert pair.sslctl("view", OTHER, "--json").json["domain"]["domain"] == NAME
    pair.sslctl("add", NAME, "--no-san")
    assert pair.sslctl("add", OTHER).exit_code == 0


def test_add_notes_that_another_name_has_a_certificate_of_its_own(cdn: Cdn) -> None:
    for name in (NAME, OTHER):
        cdn.add_domain(name)
    cdn.sslctl("add", OTHER)
    result = cdn.sslctl("add", NAME, "--san", OTHER)
    assert result.exit_code == 0
    assert f"{OTHER} is also a domain of its own here, with its own certificate" in result.stderr


def test_csv_has_the_other_names(pair: Cdn) -> None:
    (row,) = csv.DictReader(io.StringIO(pair.sslctl("list", "--csv").stdout))
    assert (row["domain"], row["sans"]) == (NAME, OTHER)


@pytest.mark.parametrize(("profile", "most"), [("", 100), ("shortlived", 25)])
def test_add_refuses_more_names_than_a_certificate_can_have(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, profile: str, most: int
) -> None:
    monkeypatch.setenv("SSLCTL_ACME_PROFILE", profile)
    options = [part for number in range(most) for part in ("--san", f"d{number}.example.com")]
    result = cdn.sslctl("add", NAME, *options, "--no-wait")
    assert result.exit_code == 2
    assert f"at most {most} names, and {most + 1} are given" in result.stderr
    assert cdn.sslctl("add", NAME, *options[2:], "--no-wait").exit_code == 0
