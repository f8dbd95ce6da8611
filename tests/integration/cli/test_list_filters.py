"""`sslctl list [PATTERN]` and its filters: what an operator types on the telephone."""

from __future__ import annotations

import pytest

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code
from tests.support import words
from tests.support.cdn import Cdn

_BOOKS = "xn--bcher-kva.example.com"


def names(cdn: Cdn, *options: str) -> list[str]:
    result = cdn.sslctl("list", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return [domain["domain"] for domain in result.json["domains"]]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """A well domain with another name and a customer, one whose DNS was moved after issuance, one failing, and one queued."""
    cdn.add_domain("well.example.com", customer="Acme")
    cdn.add_domain("www.acme.example", customer="Acme")
    cdn.sslctl("add", "well.example.com", "--san", "www.acme.example")
    cdn.add_domain("moved.example.com")
    cdn.sslctl("add", "moved.example.com")
    cdn.clear_dns("moved.example.com")
    cdn.point("moved.example.com", "elsewhere.example.org")
    cdn.sslctl("recheck", "moved.example.com")
    cdn.add_domain("failing.example.com", customer="Other")
    cdn.issuer.refusals += [IssueError(Code.CHALLENGE_FAILED, "404")]
    cdn.sslctl("add", "failing.example.com")
    cdn.sslctl("add", "--no-wait", "bücher.example.com")
    cdn.sslctl("assign", "moved.example.com", "alice")
    cdn.sslctl("assign", "failing.example.com", "Bob Z")
    return cdn


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["ACME"], ["well"]),
        (["example.com"], ["failing", "moved", "well", "xn--bcher-kva"]),
        (["www.*"], ["well"]),
        (["?????.example.com"], ["moved"]),
        (["bücher"], ["xn--bcher-kva"]),
        (["BÜCH"], ["xn--bcher-kva"]),
        (["xn--bcher-kva.example.com"], ["xn--bcher-kva"]),
        (["--owner", "customer"], ["moved"]),
        (["--owner", "CDN"], ["failing"]),
        (["--owner", "customer", "--owner", "nobody"], ["moved", "xn--bcher-kva"]),
        (["--reason", "CNAME_ELSEWHERE"], ["moved"]),
        (["--reason", "challenge-failed", "--reason", "QUEUED"], ["failing", "xn--bcher-kva"]),
        (["--warning", "cname_elsewhere"], ["moved"]),
        (["--warning", "CHALLENGE_FAILED"], []),
        (["--customer", "Acme"], ["well"]),
        (["--customer", ""], ["moved", "xn--bcher-kva"]),
        (["--no-customer"], ["moved", "xn--bcher-kva"]),
        (["--no-customer", "--customer", "Other"], ["failing", "moved", "xn--bcher-kva"]),
        (["--assignee", "alice"], ["moved"]),
        (["--assignee", "alice", "--assignee", "Bob Z"], ["failing", "moved"]),
        (["--no-assignee"], ["well", "xn--bcher-kva"]),
        (["--assignee", ""], ["well", "xn--bcher-kva"]),
        (["--no-assignee", "--customer", "Acme"], ["well"]),
        (["ing", "--customer", "Other", "--owner", "cdn", "--status", "failure"], ["failing"]),
        (["ing", "--customer", "Other", "--owner", "customer"], []),
    ],
    ids=words,
)
def test_list_finds(fleet: Cdn, options: list[str], found: list[str]) -> None:
    assert [name.partition(".")[0] for name in names(fleet, *options)] == found


def test_list_finds_the_customer_that_a_person_recorded(fleet: Cdn) -> None:
    assert fleet.sslctl("customer", "moved.example.com", "Beta").exit_code == 0
    assert names(fleet, "--customer", "Beta") == ["moved.example.com"]
    assert names(fleet, "--customer", "") == [_BOOKS]


def test_list_by_urgency_puts_what_never_had_a_certificate_last(fleet: Cdn) -> None:
    fleet.sslctl("add", "--no-wait", "a.example.com")
    fleet.clock.move(days=1)
    text = fleet.text_pair("zz.example.com", days=10)
    fleet.add_domain("zz.example.com")
    fleet.sslctl("add", "zz.example.com", *fleet.paste(text))
    ordered = [name.partition(".")[0] for name in names(fleet, "--sort", "urgency")]
    assert ordered[0] == "zz"
    assert set(ordered[1:3]) == {"moved", "well"}
    assert set(ordered[3:]) == {"a", "failing", "xn--bcher-kva"}


def test_list_pattern_finds_deleted_domains(fleet: Cdn) -> None:
    fleet.sslctl("delete", _BOOKS, "--yes")
    assert names(fleet, "--deleted", "bücher") == [_BOOKS]
    assert names(fleet, "--deleted", "acme") == []


def test_list_prints_what_was_asked_if_nothing_matches(fleet: Cdn) -> None:
    result = fleet.sslctl("list", "nobody", "--owner", "customer", "--reason", "queued")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No domains match: 'nobody' --owner customer --reason QUEUED\n"
    result = fleet.sslctl("list", "--customer", "acme")
    assert result.stderr == "No domains match: --customer 'acme'. Customers with a similar name: Acme\n"
    result = fleet.sslctl("list", "--assignee", "alise", "--no-customer")
    assert (
        result.stderr
        == "No domains match: --no-customer --assignee 'alise'. Assignees with a similar name: alice\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reason", "CNAME_ELSWHERE"], "did you mean CNAME_ELSEWHERE"),
        (["--reason", "caa"], "did you mean CAA_FORBIDS or TARGET_CAA_FORBIDS"),
        (["--warning", "departd"], "did you mean DEPARTED"),
        (["--reason", "42"], "docs/reasons.md lists them all"),
        (["--owner", "me"], "'me' is not one of"),
        ([""], "the pattern is empty"),
        (["shop_1"], "a name has only letters, digits, hyphens and dots"),
        (["[a"], "a [ is not closed"),
        (["a", "b"], "unexpected extra argument"),
        (["--deleted", "--owner", "ca"], "deleted domains have no status"),
        (["--deleted", "--no-assignee"], "deleted domains have no status"),
    ],
    ids=words,
)
def test_list_rejects_a_wrong_filter(cdn: Cdn, options: list[str], message: str) -> None:
    result = cdn.sslctl("list", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
