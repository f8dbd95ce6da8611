"""`sslctl recheck` with the filters of `list`: it checks exactly what `list` shows with the same ones."""

from __future__ import annotations

import pytest

from tests.support import words
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal

_QUEUED = [f"d{number:02}.example.com" for number in range(51)]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """A well domain, and two that point elsewhere."""
    cdn.add_domain("well.example.com", customer="Acme")
    for name in ("a.gone.example", "b.gone.example"):
        cdn.add_domain(name, points_at="elsewhere.example.org")
    cdn.sslctl("add", "well.example.com", "a.gone.example", "b.gone.example")
    cdn.sslctl("assign", "a.gone.example", "alice")
    return cdn


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--match", "GONE"], ["a.gone.example", "b.gone.example"]),
        (["--match", "a.*"], ["a.gone.example"]),
        (["--owner", "customer", "--status", "failure"], ["a.gone.example", "b.gone.example"]),
        (["--reason", "CNAME_ELSEWHERE", "--match", "b.gone"], ["b.gone.example"]),
        (["--status", "success"], ["well.example.com"]),
        (["--customer", "Acme"], ["well.example.com"]),
        (["--no-customer", "--assignee", "alice"], ["a.gone.example"]),
        (["--warning", "DEPARTED"], []),
    ],
    ids=words,
)
def test_recheck_checks_what_list_shows_with_the_same_filters(
    fleet: Cdn, filters: list[str], found: list[str]
) -> None:
    fleet.clock.move(days=1)
    planned = fleet.sslctl("recheck", "--dry-run", "--json", *filters)
    assert (planned.exit_code, planned.json["dry_run"]) == (0, True)
    assert [row["domain"] for row in planned.json["would_recheck"]] == found
    listed = [each for each in filters if each != "--match"]
    assert [row["domain"] for row in fleet.sslctl("list", "--json", *listed).json["domains"]] == found
    before = {row["domain"]: row["checked_at"] for row in fleet.sslctl("list", "--json").json["domains"]}
    result = fleet.sslctl("recheck", "--json", *filters)
    assert [row["domain"] for row in result.json["domains"]] == found
    after = {row["domain"]: row["checked_at"] for row in fleet.sslctl("list", "--json").json["domains"]}
    assert sorted(name for name in after if after[name] != before[name]) == found


@pytest.mark.parametrize("option", ["customer", "assignee"])
@pytest.mark.parametrize("values", [[""], [" "], ["Acme", ""]], ids=words)
def test_recheck_refuses_an_empty_name(cdn: Cdn, option: str, values: list[str]) -> None:
    given = [word for value in values for word in (f"--{option}", value)]
    result = cdn.sslctl("recheck", *given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--{option} is empty" in result.stderr
    assert f"--no-{option}" in result.stderr


def test_filtered_recheck_prints_how_many_match_and_checks_dns(fleet: Cdn) -> None:
    fleet.clear_dns("well.example.com")
    fleet.point("well.example.com", "elsewhere.example.org")
    result = fleet.sslctl("recheck", "--status", "success")
    assert result.exit_code == 0
    assert result.stderr.startswith("sslctl: 1 of 3 domains: 1 Success\n")
    assert "warning, CNAME_ELSEWHERE: " in result.stdout


def test_recheck_dry_run_checks_nothing(fleet: Cdn) -> None:
    fleet.clear_dns("a.gone.example")
    fleet.point("a.gone.example", "a.gone.example.cdn.test")
    for given in (["--match", "a.gone"], ["a.gone.example"]):
        result = fleet.sslctl("recheck", "--dry-run", *given)
        assert (result.exit_code, result.stdout) == (0, "a.gone.example: Failure CNAME_ELSEWHERE\n")
        assert "nothing was checked" in result.stderr
    # Without names and filters, what the next midnight would check.
    assert fleet.sslctl("recheck", "--dry-run").stdout.count("Failure") == 2
    assert fleet.sslctl("recheck", "a.gone.example").exit_code == 0


def test_filtered_recheck_exits_with_0_if_nothing_matches(fleet: Cdn) -> None:
    result = fleet.sslctl("recheck", "--match", "nobody")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No domains match: 'nobody'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["*.gone.example"], "`sslctl recheck --match '*.gone.example'` checks"),
        (["a?.gone.example"], "is a pattern and no name"),
        (["a.gone.example", "--owner", "ca"], "give the names of domains or filters, not both"),
        (["--match", ""], "the pattern is empty"),
        (["--match", "gone", "--force-renew"], "name the domains"),
        (["--match", "gone", "--force"], "name the domains"),
        (["--match", "gone", "--replace-text"], "name the domains"),
        (["--match", "gone", "--accept", "NXDOMAIN"], "cannot be combined"),
        (["--dry-run", "--accept", "NXDOMAIN"], "cannot be combined"),
        (["--reason", "NXDOMIAN"], "did you mean NXDOMAIN"),
    ],
    ids=words,
)
def test_recheck_rejects_unclear_selections(fleet: Cdn, arguments: list[str], message: str) -> None:
    fleet.clock.move(days=1)
    before = fleet.sslctl("list", "--json").stdout
    result = fleet.sslctl("recheck", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert fleet.sslctl("list", "--json").stdout == before


def test_filtered_recheck_of_many_domains_asks_on_a_terminal(cdn: Cdn) -> None:
    cdn.sslctl("add", "--no-wait", *_QUEUED)
    with Terminal(cdn, "recheck", "--match", "example.com") as terminal:
        terminal.await_question("Recheck 51 domains? [y/N]: ")
        terminal.type("n\n")
        assert terminal.end() == 130
    assert "51 domains: 51 Pending" in "\n".join(terminal.lines)
    assert "Nothing was rechecked." in terminal.screen
    rows = cdn.sslctl("list", "--json").json["domains"]
    assert {row["checked_at"] for row in rows} == {None}
    # Fewer domains, or --yes, need no answer.
    for arguments in (["--match", "d0"], ["--match", "example.com", "--yes"]):
        with Terminal(cdn, "recheck", *arguments) as terminal:
            terminal.end()
        assert "[y/N]" not in terminal.screen
