"""The CA's directory: what each response, or none, means for the check of the CA. `responses` plays the CA."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import responses

from sslctl.config.acme import AcmeSection
from sslctl.issuer import IssueError
from sslctl.issuer.certbot import directory
from sslctl.rules.reasons import Code

URL = "https://ca.test/directory"
ACME = AcmeSection(directory_url=URL)
DIRECTORY = {"newOrder": "https://ca.test/new-order"}


@pytest.fixture
def ca() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ({"Date": "now"}, None),
        ({}, None),
    ],
)
def test_ask_returns_the_directory_and_the_clock_of_the_ca_if_it_sends_one(
    ca: responses.RequestsMock, headers: dict[str, str], expected: datetime | None
) -> None:
    ca.get(URL, json=DIRECTORY, headers=headers)
    assert directory.ask(ACME, 5) == directory.CaAnswer(DIRECTORY, expected)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, "[]"),
        (200, "<html>Please log in</html>"),
        (200, "[" * 60_000),
        (200, ""),
        (404, '{"newOrder": ""}'),
        (503, '{"newOrder": ""}'),
    ],
)
def test_ask_raises_ca_unavailable_for_a_response_that_is_not_a_directory(
    ca: responses.RequestsMock, status: int, body: str
) -> None:
    ca.get(URL, status=status, body=body)
    with pytest.raises(IssueError, match=f"^it answered {status}, and not with a directory$") as caught:
        directory.ask(ACME, 5)
    assert caught.value.code is Code.CA_UNAVAILABLE


def test_ask_does_not_follow_a_redirect(ca: responses.RequestsMock) -> None:
    ca.get(URL, status=302, headers={"Location": "https://elsewhere.test/directory"}, json=DIRECTORY)
    with pytest.raises(IssueError, match=r"^it answered 302"):
        directory.ask(ACME, 5)
    assert len(ca.calls) == 1


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (requests.exceptions.SSLError("secret path"), "its certificate is not trusted"),
        (requests.exceptions.ReadTimeout("secret path"), "no response in time"),
        (requests.exceptions.ConnectTimeout("secret path"), "no response in time"),
        (requests.exceptions.ConnectionError("secret path"), "no connection"),
        (requests.exceptions.InvalidSchema("secret path"), "InvalidSchema"),
    ],
)
def test_ask_raises_ca_unavailable_with_a_short_text_for_an_error(
    ca: responses.RequestsMock, error: Exception, found: str
) -> None:
    ca.get(URL, body=error)
    with pytest.raises(IssueError) as caught:
        directory.ask(ACME, 5)
    assert (caught.value.code, caught.value.found) == (Code.CA_UNAVAILABLE, found)


def test_find_account_returns_the_folder_with_the_registration(tmp_path: Path) -> None:
    assert directory.find_account(tmp_path, URL) is None
    account = tmp_path / "accounts" / "ca.test" / "directory" / "0f"
    account.mkdir(parents=True)
    assert directory.find_account(tmp_path, URL) is None, "without a registration it is no account"
    (account / "regr.json").write_text("{}")
    assert directory.find_account(tmp_path, URL) == account
    assert directory.find_account(tmp_path, "https://other.test/directory") is None


PROFILES = {"meta": {"profiles": {"tlsserver": "", "classic": "https://ca.test/classic"}}}


@pytest.mark.parametrize(
    ("content", "profile", "problem"),
    [
        ({}, "", ""),
        (PROFILES, "", ""),
        (PROFILES, "classic", ""),
        (
            PROFILES,
            "Classic",
            'the profile is "Classic", which the CA does not offer; it lists classic, tlsserver',
        ),
        ({}, "classic", 'the profile is "classic", and the CA offers no profiles'),
        ({"meta": {}}, "classic", 'the profile is "classic", and the CA offers no profiles'),
        ({"meta": {"profiles": {}}}, "classic", 'the profile is "classic", and the CA offers no profiles'),
        ({"meta": {"profiles": ["x"]}}, "x", 'the profile is "x", and the CA offers no profiles'),
        ({"meta": ["x"]}, "x", 'the profile is "x", and the CA offers no profiles'),
        (
            {"meta": {"profiles": {"a\x1b[31m": ""}}},
            "x",
            'the profile is "x", which the CA does not offer; it lists a',
        ),
    ],
)
def test_find_missing_profile_names_the_profile_and_what_the_ca_lists(
    content: dict[str, object], profile: str, problem: str
) -> None:
    assert directory.find_missing_profile(content, profile) == problem


@pytest.mark.parametrize(
    ("content", "is_needed"),
    [
        ({"meta": {"externalAccountRequired": True}}, True),
        ({"meta": {"externalAccountRequired": False}}, False),
        ({"meta": {"externalAccountRequired": "no"}}, False),
        ({"meta": {}}, False),
        ({"meta": None}, False),
        ({}, False),
    ],
)
def test_needs_external_account_follows_the_directory(content: dict[str, object], is_needed: bool) -> None:
    assert directory.needs_external_account(content) is is_needed


def _account(folder: Path, name: str, registration: str) -> Path:
    account = folder / directory.ACCOUNTS / "ca.test" / "directory" / name
    account.mkdir(parents=True)
    (account / "regr.json").write_text(registration)
    return account


@pytest.mark.parametrize("cut_off", ["", '{"body": {}, "ur', "[]", "null"])
def test_registration_that_was_cut_off_is_no_account(tmp_path: Path, cut_off: str) -> None:
    broken = _account(tmp_path, "a", cut_off)
    assert directory.find_account(tmp_path, URL) is None
    whole = _account(tmp_path, "b", '{"body": {}, "uri": "https://ca.test/account/1"}')
    assert directory.find_account(tmp_path, URL) == whole
    directory.remove_cut_off_registrations(tmp_path, URL)
    assert not (broken / "regr.json").exists()
    assert (whole / "regr.json").exists()
    assert directory.find_account_url(tmp_path, URL) == "https://ca.test/account/1"
