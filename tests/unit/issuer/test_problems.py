"""Errors of the CA and of certbot, mapped to reason codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sslctl.issuer.certbot.problems import to_issue_error
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import Code

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
        ("rejectedIdentifier", "", Code.CHALLENGE_FAILED),
        ("unsupportedIdentifier", "", Code.NAME_REFUSED),
    ],
)
def test_failed_challenge_maps_to_its_code_and_ends_the_order(short: str, detail: str, code: Code) -> None:
    error = to_issue_error(authorization(problem(short, detail)), NOW, order_placed=True)
    assert error.code is code
    assert short in error.found
    assert "a.example.com" in error.found
    assert error.order_dead  # with its authorization (RFC 8555, section 7.1.6)


def test_several_failed_challenges_map_to_the_worst_code_and_list_all() -> None:
    error = to_issue_error(
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
def test_refused_request_maps_to_its_code(short: str, code: Code, order_dead: bool) -> None:
    error = to_issue_error(acme(short), NOW, order_placed=True)
    assert (error.code, error.order_dead) == (code, order_dead)
    assert error.found == f"{short}: so it is"
    assert to_issue_error(acme(short), NOW, order_placed=False).order_dead


def test_issue_error_carries_the_retry_after_of_the_ca() -> None:
    assert to_issue_error(
        acme("rateLimited", retry_after="120"), NOW, order_placed=False
    ).retry_at == NOW + timedelta(seconds=120)
    assert to_issue_error(acme("rateLimited"), NOW, order_placed=False).retry_at is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("network", Code.CA_UNAVAILABLE),
        ("undecided", Code.CA_VALIDATING),
        ("authorization", Code.CA_VALIDATING),
        ("certbot", Code.ISSUER_FAILED),
    ],
)
def test_placed_order_stays_open_when_the_outcome_is_unknown(kind: str, code: Code) -> None:
    error = to_issue_error({"failed": kind, "detail": "it broke"}, NOW, order_placed=True)
    assert (error.code, error.order_dead) == (code, False)


def test_issue_error_contains_only_printable_text() -> None:
    error = to_issue_error(
        authorization(problem("unauthorized", "\x1b[31mred\x07 \u202eevil\nline")), NOW, order_placed=True
    )
    assert error.found == "a.example.com: unauthorized: red evil line"


def test_challenge_that_failed_in_an_earlier_run_is_reported_as_failed() -> None:
    failure = acme("malformed", "Cannot update challenge with status invalid") | {
        "problems": [problem("connection", "Connection refused")]
    }
    error = to_issue_error(failure, NOW, order_placed=True)
    assert (error.code, error.order_dead) == (Code.PORT_80_CLOSED, True)


def test_bad_csr_ends_the_order() -> None:
    assert to_issue_error(acme("badCSR"), NOW, order_placed=True).order_dead


SEE = "see https://letsencrypt.org/docs/rate-limits/"


@pytest.mark.parametrize(
    ("detail", "pause"),
    [
        ("too many new orders (300) from this account in the last 3h0m0s", Scope(LimitKind.ORDERS)),
        (
            'too many certificates (50) already issued for "example.com" in the last 168h0m0s',
            Scope(LimitKind.CERTIFICATES, "example.com"),
        ),
        (
            "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
            Scope(LimitKind.DUPLICATES),
        ),
        (
            'too many failed authorizations (5) for "a.example.com" in the last 1h0m0s',
            Scope(LimitKind.FAILURES, "a.example.com"),
        ),
        ("too many new registrations (10) from this IP address in the last 3h0m0s", Scope(LimitKind.ACCOUNT)),
        ("Service busy; retry later.", Scope(LimitKind.ACCOUNT)),
        ("something that nobody thought of", Scope(LimitKind.ACCOUNT)),
        ("too many failed authorizations recently", None),
        ('too many certificates (50) already issued for "\\x1b[31m" in the last 168h0m0s', None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_rate_limit_text_maps_to_the_scope_of_the_pause(detail: str, pause: Scope | None) -> None:
    """The texts are those of Boulder (ratelimits/limiter.go). The time is only in the text, as certbot drops the header."""
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    text = f"{detail}, retry after 2026-11-24 12:00:00 UTC: {SEE}"
    error = to_issue_error(acme("rateLimited", text), NOW, order_placed=False)
    assert (error.code, error.pause, error.retry_at) == (Code.CA_RATE_LIMITED, pause, at)
    assert error.order_dead


LINK = "https://sfe.letsencrypt.org/sfe/v1/unpause?jwt=" + "eyJhbGciOiJIUzI1NiJ9." * 18 + "c2ln"
PAUSED = (
    "Your account is temporarily prevented from requesting certificates for a.example.com and possibly others. "
    "Please visit: "
)


def test_paused_name_keeps_the_link_of_the_ca_whole() -> None:
    assert len(LINK) > 420
    error = to_issue_error(acme("rateLimited", PAUSED + LINK, retry_after="60"), NOW, order_placed=False)
    assert (error.code, error.wanted, error.pause, error.retry_at) == (Code.CA_PAUSED, LINK, None, None)
    assert error.found == PAUSED.removesuffix(" Please visit: ")


@pytest.mark.parametrize("link", ["", "https://x/" + "a" * 3000, "javascript:alert(1)", "https://\u202ex"])
def test_paused_name_without_a_usable_link_has_none(link: str) -> None:
    error = to_issue_error(acme("rateLimited", PAUSED + link), NOW, order_placed=False)
    assert (error.code, error.wanted) == (Code.CA_PAUSED, "")
    assert error.found.isprintable()


@pytest.mark.parametrize("before", [0, 200, 270, 290, 299, 310])
def test_link_in_a_text_of_the_ca_is_whole_or_absent(before: int) -> None:
    text = "x" * before + " " + LINK + " and more words" * 30
    found = to_issue_error(acme("malformed", text), NOW, order_placed=False).found
    assert LINK in found or "https:" not in found
    assert len(found) <= 300 + len(LINK)


def test_retry_after_header_overrides_the_time_in_the_text() -> None:
    failure = acme("rateLimited", "retry after 2026-11-24 12:00:00 UTC", retry_after="61")
    assert to_issue_error(failure, NOW, order_placed=False).retry_at == NOW + timedelta(seconds=61)


@pytest.mark.parametrize(
    "text", ["2026-11-24T12:00:00Z", "2026-11-24 12:00:00 UTC", "2026-11-24 12:00:00.5 UTC"]
)
def test_retry_time_is_read_from_each_form_in_the_text(text: str) -> None:
    error = to_issue_error(acme("rateLimited", f"retry after {text}: {SEE}"), NOW, order_placed=False)
    assert error.retry_at == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-13-45 12:00:00 UTC", "tomorrow", "2026-11-24", "9999-99-99T99:99:99Z"]
)
def test_retry_time_is_none_when_the_time_in_the_text_is_invalid(text: str) -> None:
    assert (
        to_issue_error(acme("rateLimited", f"retry after {text}"), NOW, order_placed=False).retry_at is None
    )


@pytest.mark.parametrize(("status", "code"), [(503, Code.CA_UNAVAILABLE), (429, Code.CA_RATE_LIMITED)])
def test_service_busy_with_503_is_no_limit_of_the_account(status: int, code: Code) -> None:
    failure = {**acme("rateLimited", "Service busy; retry later.", retry_after="30"), "status": status}
    error = to_issue_error(failure, NOW, order_placed=True)
    assert (error.code, error.pause, error.order_dead) == (code, Scope(LimitKind.ACCOUNT), False)


@pytest.mark.parametrize(
    "failure",
    [acme("serverInternal", retry_after="30"), {"failed": "network", "detail": "503", "retry_after": "30"}],
    ids=["problem", "no problem document"],
)
def test_unavailable_ca_pauses_the_account(failure: dict[str, object]) -> None:
    error = to_issue_error(failure, NOW, order_placed=True)
    assert (error.code, error.pause) == (Code.CA_UNAVAILABLE, Scope(LimitKind.ACCOUNT))
    assert error.retry_at == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("typ", "detail"),
    [
        ("unauthorized", 'Account is not valid, has status "deactivated"'),
        ("unauthorized", "Account has been deactivated"),
        ("accountDoesNotExist", "unable to find registered account"),
        ("userActionRequired", "terms of service have changed"),
        ("externalAccountRequired", "no external account"),
    ],
)
def test_refused_account_pauses_the_account(typ: str, detail: str) -> None:
    error = to_issue_error(acme(typ, detail), NOW, order_placed=False)
    assert (error.code, error.pause, error.retry_at) == (Code.CA_REFUSED, Scope(LimitKind.ACCOUNT), None)


@pytest.mark.parametrize("detail", ["Account does not own authorization", "no such certificate"])
def test_refusal_of_something_else_pauses_nothing(detail: str) -> None:
    assert to_issue_error(acme("unauthorized", detail), NOW, order_placed=False).pause is None


@pytest.mark.parametrize("typ", ["badCSR", "badPublicKey"])
def test_refused_csr_is_tried_again_a_day_later(typ: str) -> None:
    error = to_issue_error(acme(typ), NOW, order_placed=True)
    assert (error.order_dead, error.retry_at) == (True, NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "failure",
    [
        authorization(problem("rateLimited", "too many new orders (300) from this account")),
        authorization(problem("connection")),
        acme("caa"),
        acme("badCSR"),
        {"failed": "undecided", "detail": ""},
        {"failed": "certbot", "detail": "it broke"},
    ],
    ids=lambda failure: " ".join(str(failure.get(key, "")) for key in ("failed", "type")),
)
def test_error_of_one_order_causes_no_pause(failure: dict[str, object]) -> None:
    assert to_issue_error(failure, NOW, order_placed=True).pause is None


def test_failed_redirect_is_reported_with_the_url_and_whose_it_is() -> None:
    detail = "192.0.2.1: Fetching https://login.example.net/: Connection refused"
    error = to_issue_error(authorization(problem("connection", detail)), NOW, order_placed=True)
    assert error.code is Code.CHALLENGE_FAILED
    assert error.found == (
        f"a.example.com: connection: {detail} (a.example.com redirects to https://login.example.net, another host)"
    )


def test_error_of_a_challenge_that_the_ca_tries_again_is_shown_with_its_owner_and_the_order_stays() -> None:
    failure = authorization() | {"retried": [problem("connection", "Connection refused")]}
    error = to_issue_error(failure, NOW, order_placed=True)
    assert (error.code, error.order_dead) == (Code.PORT_80_CLOSED, False)
    assert error.found == "a.example.com: connection: Connection refused; the CA tries again"
    assert error.retry_at == NOW + timedelta(minutes=10)


def test_challenge_that_the_ca_tries_again_only_when_asked_leaves_the_order_to_the_next_try() -> None:
    waiting = problem("connection", "no connection") | {"status": "pending"}
    error = to_issue_error(authorization() | {"retried": [waiting]}, NOW, order_placed=True)
    assert (error.code, error.order_dead, error.retry_at) == (Code.CHALLENGE_FAILED, False, None)
    assert error.found == "a.example.com: connection: no connection; the next try goes on with the same order"
    trying = problem("connection", "no connection", "b.example.com") | {"status": "processing"}
    error = to_issue_error(authorization() | {"retried": [waiting, trying]}, NOW, order_placed=True)
    assert error.retry_at == NOW + timedelta(minutes=10)
    assert error.found.endswith("; the CA tries again")


def test_failed_challenge_without_a_type_is_described_without_it() -> None:
    failure = authorization({"name": "a.example.com", "type": "", "detail": "the CA gave no reason"})
    error = to_issue_error(failure, NOW, order_placed=True)
    assert (error.code, error.found) == (Code.CHALLENGE_FAILED, "a.example.com: the CA gave no reason")
