"""Which answers of the CA end an order that is asked about, and which say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from acme import errors, messages

from sslctl.issuer.certbot.acme_client import (
    Client,
    Observer,
    _note_decision,
    _problems,
    _require_safe_tokens,
    is_gone,
    renewal_info_url,
)
from sslctl.issuer.certbot.answers import Answers
from sslctl.issuer.certbot.authenticator import Authenticator

ACME = "urn:ietf:params:acme:error:"


def problem(typ: str) -> messages.Error:
    error: messages.Error = messages.Error.from_json({"type": typ, "detail": "so it is"})
    return error


@pytest.mark.parametrize(
    ("status", "error", "gone"),
    [
        (404, problem(ACME + "malformed"), True),
        (404, errors.ClientError("no JSON"), True),
        (410, errors.ClientError("no JSON"), True),
        (403, problem(ACME + "unauthorized"), True),
        # The account is registered again first (`CertbotIssuer`), and the query is repeated.
        (400, problem(ACME + "accountDoesNotExist"), False),
        (400, problem(ACME + "badNonce"), False),
        (429, problem(ACME + "rateLimited"), False),
        # Responses of gateways: JSON, but not from the CA.
        (502, problem("about:blank"), False),
        (503, problem("about:blank"), False),
        (429, problem("about:blank"), False),
        (500, problem(ACME + "malformed"), False),
        (502, errors.ClientError("no JSON"), False),
    ],
    ids=str,
)
def test_is_gone_is_true_only_for_a_final_response_of_the_ca_itself(
    status: int, error: Exception, gone: bool
) -> None:
    Observer.status = status
    assert is_gone(error) is gone


@pytest.mark.parametrize(
    "token",
    ["", "../../etc/cron.d/x", "a/b", "a.b", "a\n", "a\x00b", "\u202etoken", "a" * 256, None, 7.5, ["a"]],
)
def test_require_safe_tokens_raises_client_error_for_a_token_unsafe_as_a_path(token: object) -> None:
    challenge = {"type": "http-01", "url": "https://ca.test/1", "token": token}
    with pytest.raises(errors.ClientError, match=r"token that RFC 8555 does not allow: [^\x00-\x1f\u202e]*$"):
        _require_safe_tokens({"challenges": [{"type": "other-01"}, challenge]})


def test_require_safe_tokens_accepts_valid_tokens_and_other_challenge_types() -> None:
    _require_safe_tokens(
        {"challenges": [{"type": "http-01", "token": "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"}]}
    )
    _require_safe_tokens({"challenges": [{"type": "dns-01", "token": "."}]})
    _require_safe_tokens({})


@pytest.mark.parametrize("url", ["https://ca.test/ari", None])
def test_renewal_info_url_is_read_from_the_directory(url: str | None) -> None:
    found = {"newNonce": "https://ca.test/nonce"} | ({} if url is None else {"renewalInfo": url})
    assert renewal_info_url(messages.Directory.from_json(found)) == url


class Network:
    """A CA that answers orders with `answers` in turn: an error to raise, or None to accept."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.sent: list[object] = []

    def post(self, _url: str, order: messages.NewOrder, **_: object) -> str:
        self.sent.append(order.to_json().get("replaces"))
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer
        return "taken"


def place(network: Network, replaces: str, *, ari: bool = True) -> object:
    Client.replaces = replaces
    resources = {"newNonce": "https://ca.test/nonce", "newOrder": "https://ca.test/order"}
    if ari:
        resources["renewalInfo"] = "https://ca.test/ari"
    client = Client(messages.Directory.from_json(resources), network)  # type: ignore[arg-type]  # all that is asked of it
    order = messages.NewOrder(
        identifiers=[messages.Identifier(typ=messages.IDENTIFIER_FQDN, value="shop.example.com")]
    )
    return client._post("https://ca.test/order", order)


def test_new_order_names_the_replaced_certificate_when_the_ca_supports_ari() -> None:
    network = Network(None)
    assert place(network, "key.serial") == "taken"
    assert network.sent == ["key.serial"]


@pytest.mark.parametrize(("replaces", "ari"), [("key.serial", False), ("", True)])
def test_new_order_omits_replaces_when_the_ca_has_no_ari_or_nothing_is_replaced(
    replaces: str, *, ari: bool
) -> None:
    network = Network(None)
    assert place(network, replaces, ari=ari) == "taken"
    assert network.sent == [None]


@pytest.mark.parametrize(
    "refusal",
    [
        errors.ConflictError(
            "https://ca.test/order/1"
        ),  # what acme makes of alreadyReplaced, which has status 409
        problem(ACME + "malformed"),
        problem(ACME + "unauthorized"),
    ],
    ids=lambda refusal: type(refusal).__name__ + str(getattr(refusal, "typ", "")),
)
def test_new_order_is_repeated_without_replaces_when_the_ca_refuses_it(refusal: Exception) -> None:
    network = Network(refusal, None)
    assert place(network, "key.serial") == "taken"
    assert network.sent == ["key.serial", None]


def test_new_order_is_not_repeated_after_any_other_refusal() -> None:
    network = Network(problem(ACME + "rateLimited"))
    with pytest.raises(messages.Error):
        place(network, "key.serial")
    assert network.sent == ["key.serial"]


@pytest.mark.parametrize(
    ("challenge", "problems", "retried"),
    [
        ({"type": "http-01", "status": "invalid"}, ["no connection"], []),
        ({"type": "http-01", "status": "pending"}, [], ["pending"]),
        ({"type": "http-01", "status": "processing"}, [], ["processing"]),
        ({"type": "dns-01", "status": "invalid"}, [], ["invalid"]),
    ],
)
def test_pending_authorization_is_judged_by_our_challenge(
    challenge: dict[str, object],
    problems: list[str],
    retried: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Observer, "retried", {}, raising=False)
    monkeypatch.setattr(Authenticator, "answers", Answers(tmp_path), raising=False)
    failed = {**challenge, "token": "t", "error": {"type": ACME + "connection", "detail": "no connection"}}
    authorization = {
        "status": "pending",
        "identifier": {"type": "dns", "value": "a.example.com"},
        "challenges": [failed, {"type": "tls-alpn-01", "status": "pending", "token": "t"}],
    }
    _note_decision(authorization)
    assert [each["detail"] for each in _problems(authorization)] == problems
    assert [each["status"] for each in Observer.retried.values()] == retried
    # The file of an answer stays as long as the CA may still look at it.
    assert Authenticator.answers.final == ({"t"} if problems else set())
