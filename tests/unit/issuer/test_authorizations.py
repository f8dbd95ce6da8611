"""What a run does about each authorization of an order: await, request or report."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import certbot.errors
import pytest
from acme import messages

from sslctl.issuer.certbot import challenge_files
from sslctl.issuer.certbot.acme_client import Client
from sslctl.issuer.certbot.answers import Answers
from sslctl.issuer.certbot.authenticator import Authenticator

CA = "https://ca.test/"
TOKENS = {"a": "A" * 22, "b": "B" * 22}


class Response:
    """A response of the CA with a JSON body."""

    headers: dict[str, str] = {}  # noqa: RUF012 - always empty

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def json(self) -> dict[str, Any]:
        return self._body


class Network:
    """A CA with one order for `a` and `b`. `statuses` has those of each authorization; the last one stays.

    `challenge` has further members of each challenge.
    """

    def __init__(self, challenge: dict[str, object] | None = None, **statuses: list[str]) -> None:
        self._statuses = statuses
        self._challenge = challenge or {}
        self.asked: list[str] = []

    def post(self, url: str, payload: object, **_: object) -> Response:
        assert payload is None, "the CA was asked to validate"
        name = url.removeprefix(CA)
        self.asked.append(name)
        if name == "order":
            urls = [CA + name for name in self._statuses]
            return Response(
                {"status": "pending", "authorizations": urls, "finalize": CA + "f", "identifiers": []}
            )
        left = self._statuses[name]
        status = left.pop(0) if len(left) > 1 else left[0]
        challenge = {
            "type": "http-01",
            "url": CA + "c",
            "status": "pending",
            "token": TOKENS[name],
            **self._challenge,
        }
        return Response(
            {
                "status": status,
                "identifier": {"type": "dns", "value": f"{name}.example.com"},
                "challenges": [challenge],
            }
        )


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    webroot = tmp_path / "webroot"
    webroot.mkdir()
    made = Answers(tmp_path / "answers")
    for token in TOKENS.values():
        made.note(token)
        with challenge_files.opened(webroot) as folder:
            challenge_files.write(folder, token, b"answer")
    monkeypatch.setattr(Authenticator, "answers", made, raising=False)
    monkeypatch.setattr(Authenticator, "folder", webroot, raising=False)
    monkeypatch.setattr(Client, "order_url", CA + "order", raising=False)
    monkeypatch.setattr(Client, "decision_seconds", 30.0, raising=False)
    return made


def make_client(network: Network) -> Client:
    return Client(messages.Directory.from_json({"newNonce": CA + "nonce"}), network)  # type: ignore[arg-type]  # all that is asked of it


def go_on(network: Network) -> list[str]:
    """Go on with the order, and return the status of each of its authorizations."""
    return [each.body.status.name for each in make_client(network).new_order(b"").authorizations]


def test_validation_under_way_is_awaited(answers: Answers, tmp_path: Path) -> None:
    answers.note_asked(TOKENS["a"])
    answers.final.add(TOKENS["a"])
    network = Network(a=["pending", "pending", "valid"])
    assert go_on(network) == ["valid"]
    assert network.asked == ["order", "a", "a", "a"]
    # Its answer is needed no more.
    assert [path.name for path in (tmp_path / "webroot").rglob("*") if path.is_file()] == [TOKENS["b"]]


def test_nothing_is_awaited_for_a_challenge_that_was_not_requested(answers: Answers) -> None:
    answers.note_asked(TOKENS["a"])
    network = Network(a=["pending", "valid"], b=["pending"])
    assert go_on(network) == ["valid", "pending"]
    assert network.asked == ["order", "a", "b", "a"]


def test_nothing_is_awaited_once_the_ca_must_have_decided(answers: Answers, tmp_path: Path) -> None:
    answers.note_asked(TOKENS["a"])
    long_ago = time.time() - 31
    os.utime(tmp_path / "answers" / TOKENS["a"], (long_ago, long_ago))
    network = Network(a=["pending"])
    assert go_on(network) == ["pending"]
    assert network.asked == ["order", "a"]


def test_awaiting_ends_if_the_clock_was_set_back(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "decision_seconds", 1.0)
    answers.note_asked(TOKENS["a"])
    later = time.time() + 86_400
    os.utime(tmp_path / "answers" / TOKENS["a"], (later, later))
    assert go_on(Network(a=["pending"])) == ["pending"]


@pytest.mark.parametrize("status", ["invalid", "deactivated", "revoked"])
def test_authorization_that_ended_is_reported_and_not_requested_again(answers: Answers, status: str) -> None:
    answers.note_asked(TOKENS["a"])
    with pytest.raises(certbot.errors.AuthorizationError, match=rf"a\.example\.com is {status}"):
        go_on(Network(a=["pending", status]))


def test_unusable_webroot_does_not_stop_an_order_whose_authorizations_are_valid(
    answers: Answers, tmp_path: Path
) -> None:
    answers.note_asked(TOKENS["a"])
    answers.final.add(TOKENS["a"])
    (tmp_path / "webroot").rename(tmp_path / "moved")
    assert go_on(Network(a=["valid"])) == ["valid"]


# What step-ca answers: the challenge has failed, and its authorization stays pending for challenges of other kinds.
_ERROR = {"type": "urn:ietf:params:acme:error:connection", "detail": "no connection"}
_FAILED_FOR_NOW: dict[str, object] = {"status": "pending", "error": _ERROR}
_LOST: dict[str, object] = {"status": "invalid", "error": _ERROR}


def test_nothing_is_awaited_if_the_ca_waits_to_be_asked_again(answers: Answers) -> None:
    answers.note_asked(TOKENS["a"])
    network = Network(_FAILED_FOR_NOW, a=["pending"])
    assert go_on(network) == ["pending"]
    assert network.asked == ["order", "a"]


def test_pending_authorization_whose_challenge_is_invalid_is_reported(answers: Answers) -> None:
    answers.note_asked(TOKENS["a"])
    with pytest.raises(certbot.errors.AuthorizationError, match=r"a\.example\.com is invalid"):
        go_on(Network(_LOST, a=["pending"]))


@pytest.mark.parametrize(
    ("challenge", "status", "found"),
    [
        ({}, "pending", "pending"),
        ({"status": "processing", "error": _ERROR}, "pending", "pending"),
        (_FAILED_FOR_NOW, "pending", "invalid"),
        (_LOST, "pending", "invalid"),
        ({"type": "dns-01", **_LOST}, "pending", "pending"),
        ({"status": "valid"}, "valid", "valid"),
    ],
)
@pytest.mark.usefixtures("answers")
def test_poll_ends_the_wait_for_a_failed_challenge(
    challenge: dict[str, object], status: str, found: str
) -> None:
    client = make_client(Network(challenge, a=[status]))
    polled, _ = client.poll(client._authorization(CA + "a"))
    assert polled.body.status.name == found
