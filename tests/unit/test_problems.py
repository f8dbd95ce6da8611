"""From what the CA or certbot said to a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sslctl.issuer.problems import explain
from sslctl.reasons import Code

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
ACME = "urn:ietf:params:acme:error:"


def problem(short: str, detail: str = "so it is", name: str = "a.example.com") -> dict[str, str]:
    return {"name": name, "type": ACME + short, "detail": detail}


def authorization(*problems: dict[str, str]) -> dict[str, object]:
    return {"failed": "authorization", "detail": "Some challenges have failed.", "problems": list(problems)}


def acme(short: str, detail: str = "so it is", retry_after: str = "") -> dict[str, object]:
    return {
        "failed": "acme",
        "type": ACME + short,
        "detail": detail,
        "problems": [],
        "retry_after": retry_after,
    }


@pytest.mark.parametrize(
    ("short", "detail", "code"),
    [
        ("connection", "Connection refused", Code.PORT_80_CLOSED),
        ("unauthorized", "Invalid response: 404", Code.CHALLENGE_FAILED),
        ("incorrectResponse", "", Code.CHALLENGE_FAILED),
        ("tls", "", Code.CHALLENGE_FAILED),
        ("somethingNew", "", Code.CHALLENGE_FAILED),
        ("caa", "CAA record prevents issuance", Code.CAA_FORBIDS),
        ("dns", "DNS problem: NXDOMAIN looking up A", Code.NXDOMAIN),
        ("dns", "DNS problem: SERVFAIL looking up A", Code.DNS_UNANSWERED),
        ("serverInternal", "", Code.CA_UNAVAILABLE),
        ("rateLimited", "", Code.CA_RATE_LIMITED),
        ("rejectedIdentifier", "", Code.NAME_REFUSED),
    ],
)
def test_a_failed_challenge(short: str, detail: str, code: Code) -> None:
    error = explain(authorization(problem(short, detail)), NOW, order_placed=True)
    assert error.code is code
    assert short in error.found
    assert "a.example.com" in error.found
    assert error.order_dead  # with its authorization (RFC 8555, section 7.1.6)


def test_of_several_failed_challenges_the_worst_gives_the_code_and_all_are_told() -> None:
    error = explain(
        authorization(
            problem("dns", "SERVFAIL", "a.example.com"), problem("unauthorized", "404", "b.example.com")
        ),
        NOW,
        order_placed=True,
    )
    assert error.code is Code.CHALLENGE_FAILED
    assert "a.example.com: dns: SERVFAIL" in error.found
    assert "b.example.com: unauthorized: 404" in error.found


@pytest.mark.parametrize(
    ("short", "code", "order_dead"),
    [
        ("rateLimited", Code.CA_RATE_LIMITED, False),
        ("serverInternal", Code.CA_UNAVAILABLE, False),
        ("badNonce", Code.CA_UNAVAILABLE, False),
        ("orderNotReady", Code.CA_VALIDATING, False),
        ("caa", Code.CAA_FORBIDS, True),
        ("rejectedIdentifier", Code.NAME_REFUSED, True),
        ("userActionRequired", Code.CA_REFUSED, False),
        ("accountDoesNotExist", Code.CA_REFUSED, False),
        ("somethingNew", Code.CA_REFUSED, False),
    ],
)
def test_a_refused_request(short: str, code: Code, order_dead: bool) -> None:
    error = explain(acme(short), NOW, order_placed=True)
    assert (error.code, error.order_dead) == (code, order_dead)
    assert error.found == f"{short}: so it is"
    assert explain(acme(short), NOW, order_placed=False).order_dead


def test_the_wish_of_the_ca_is_passed_on() -> None:
    assert explain(
        acme("rateLimited", retry_after="120"), NOW, order_placed=False
    ).retry_at == NOW + timedelta(seconds=120)
    assert explain(acme("rateLimited"), NOW, order_placed=False).retry_at is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("network", Code.CA_UNAVAILABLE),
        ("undecided", Code.CA_VALIDATING),
        ("authorization", Code.CA_VALIDATING),
        ("certbot", Code.ISSUER_FAILED),
    ],
)
def test_where_the_outcome_is_unknown_a_placed_order_stays_open(kind: str, code: Code) -> None:
    error = explain({"failed": kind, "detail": "it broke"}, NOW, order_placed=True)
    assert (error.code, error.order_dead) == (code, False)


def test_what_the_ca_says_reaches_no_terminal_unclean() -> None:
    error = explain(
        authorization(problem("unauthorized", "\x1b[31mred\x07 \u202eevil\nline")), NOW, order_placed=True
    )
    assert error.found == "a.example.com: unauthorized: red evil line"


def test_a_challenge_that_failed_before_we_went_on_with_its_order_is_told_as_such() -> None:
    failure = acme("malformed", "Cannot update challenge with status invalid") | {
        "problems": [problem("connection")]
    }
    error = explain(failure, NOW, order_placed=True)
    assert (error.code, error.order_dead) == (Code.PORT_80_CLOSED, True)


def test_a_request_that_would_be_refused_again_ends_its_order() -> None:
    assert explain(acme("badCSR"), NOW, order_placed=True).order_dead
