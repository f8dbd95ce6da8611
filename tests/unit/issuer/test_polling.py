"""When the CA is asked again: at the time that it names, or else soon and then every second."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import acme.client
import certbot.errors
import pytest
from acme import errors, messages
from acme.challenges import HTTP01
from certbot._internal import auth_handler

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.issuer.certbot.polling import Handler, PollingClient, Polls

CA = "https://ca.test/"
NAMES = ("a.example.com", "b.example.com")
CSR = make_csr(make_key("ecdsa"), NAMES).encode()
PROBLEM = {"type": "urn:ietf:params:acme:error:caa", "detail": "forbidden"}


class Time:
    """A monotonic clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(round(seconds, 1))

    def polls(self, seconds: float) -> Polls:
        return Polls(seconds, monotonic=self.monotonic, sleep=self.sleep)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(Handler, "polls", made.polls)
    monkeypatch.setattr(PollingClient, "polls", made.polls)
    return made


class Response:
    """A response of the CA with a JSON body, or the text of a certificate."""

    def __init__(self, body: dict[str, Any], **headers: str) -> None:
        self._body = body
        self.text = "fullchain"
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def json(self) -> dict[str, Any]:
        return self._body


def order(status: str, **members: Any) -> dict[str, Any]:
    urls = {"authorizations": [CA + "authz"], "finalize": CA + "finalize"}
    return {"status": status, "identifiers": [], **urls, **members}


VALID = order("valid", certificate=CA + "certificate")


class Network:
    """A CA that answers with `answers` in turn, whatever it is asked: a response, or an error to raise."""

    def __init__(self, *answers: Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def post(self, url: str, _payload: object, **_: object) -> Response:
        self.asked.append(url.removeprefix(CA))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def finalize(network: Network, *, seconds: float = 60, alternatives: bool = False) -> messages.OrderResource:
    client = PollingClient(messages.Directory.from_json({"newNonce": CA + "nonce"}), network)  # type: ignore[arg-type]  # all that is asked of it
    placed = messages.OrderResource(
        body=messages.Order.from_json(order("ready")), uri=CA + "order", csr_pem=CSR
    )
    deadline = datetime.now() + timedelta(seconds=seconds)  # noqa: DTZ005 - as acme expects it
    return client.finalize_order(placed, deadline, alternatives)


def test_polls_come_soon_at_first_and_then_every_second_until_the_end(clock: Time) -> None:
    polls = clock.polls(5)
    while polls.wait():
        pass
    assert clock.sleeps == [0.1, 0.2, 0.4, 0.8, 1, 1, 1]


def test_poll_waits_for_the_latest_time_that_the_ca_names(clock: Time) -> None:
    polls = clock.polls(60)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert [polls.wait(*headers) for headers in ([], ["3", None, "7"], ["0"], ["soon"], [date])] == [True] * 5
    assert clock.sleeps[:4] == [0.1, 7, 0.4, 0.8]
    assert 18 < clock.sleeps[4] <= 20


def test_poll_is_given_up_at_once_if_the_ca_names_a_time_after_the_end(clock: Time) -> None:
    polls = clock.polls(60)
    assert not polls.wait("61")
    assert clock.sleeps == []


def test_certificate_is_polled_for_until_it_is_issued(clock: Time) -> None:
    network = Network(
        Response(order("processing"), Retry_After="2"),
        Response(order("processing")),
        Response(VALID),
        Response({}),
    )
    assert finalize(network).fullchain_pem == "fullchain"
    assert network.asked == ["finalize", "order", "order", "certificate"]
    assert clock.sleeps == [2, 0.2]


def test_certificate_that_is_issued_at_once_is_downloaded_at_once(clock: Time) -> None:
    link = f'<{CA}other>;rel="alternate", <{CA}dir>;rel="index"'
    network = Network(Response(VALID), Response({}, Link=link), Response({}))
    found = finalize(network, alternatives=True)
    assert (found.fullchain_pem, found.alternative_fullchains_pem) == ("fullchain", ["fullchain"])
    assert network.asked == ["finalize", "certificate", "other"]
    assert clock.sleeps == []


def test_certificate_is_requested_again_when_the_order_becomes_ready_later(clock: Time) -> None:
    not_ready = messages.Error.with_code("orderNotReady")
    network = Network(not_ready, Response(order("ready")), Response(VALID), Response({}))
    assert finalize(network).fullchain_pem == "fullchain"
    assert network.asked == ["finalize", "order", "finalize", "certificate"]
    assert clock.sleeps == [0.1, 0.2]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Response(order("invalid", error=PROBLEM))], errors.IssuanceError),
        ([Response(order("processing")), Response(order("invalid"))], errors.Error),
        ([Response(order("processing"), Retry_After="3600")], errors.TimeoutError),
        ([messages.Error.with_code("badCSR")], messages.Error),
    ],
)
def test_order_that_yields_no_certificate_raises_what_acme_raises(
    clock: Time, answers: list[Response | Exception], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        finalize(Network(*answers))
    assert sum(clock.sleeps) < 1


class Client:
    """An ACME client whose authorizations have `statuses`, one after the other; the last one stays."""

    def __init__(self, retry_after: str = "", **statuses: str) -> None:
        self._left = {f"{name}.example.com": text.split() for name, text in statuses.items()}
        self._headers = {"Retry_After": retry_after} if retry_after else {}
        self.asked = ""

    def answer_challenge(self, *_: object) -> None:
        """Accept it."""

    def poll(self, authzr: messages.AuthorizationResource) -> tuple[messages.AuthorizationResource, Response]:
        name = authzr.body.identifier.value
        left = self._left[name]
        self.asked += name[0]
        return authorization(name, left.pop(0) if len(left) > 1 else left[0]), Response({}, **self._headers)


class Authenticator:
    """An authenticator for HTTP-01 that does nothing."""

    def get_chall_pref(self, _name: str) -> list[type]:
        return [HTTP01]

    def perform(self, challenges: list[object]) -> list[None]:
        return [None] * len(challenges)

    def cleanup(self, _challenges: list[object]) -> None:
        """Remove nothing."""


def authorization(name: str, status: str) -> messages.AuthorizationResource:
    challenge = {"type": "http-01", "url": CA + "challenge", "status": "pending", "token": "A" * 22}
    body = {"identifier": {"type": "dns", "value": name}, "status": status, "challenges": [challenge]}
    return messages.AuthorizationResource(body=messages.Authorization.from_json(body), uri=CA + name)


def validate(client: Client) -> list[str]:
    """Let certbot handle the authorizations of `NAMES`; return their statuses."""
    handler = Handler(Authenticator(), client, SimpleNamespace(key=None), [])  # type: ignore[arg-type]  # all that is asked of them
    placed = messages.OrderResource(authorizations=[authorization(name, "pending") for name in NAMES])
    config: Any = SimpleNamespace(debug_challenges=False)
    return [each.body.status.name for each in handler.handle_authorizations(placed, config)]


def test_only_undecided_authorizations_are_polled_again(clock: Time) -> None:
    client = Client(a="pending valid", b="pending pending valid")
    assert validate(client) == ["valid", "valid"]
    assert client.asked == "ababb"
    assert clock.sleeps == [0.1, 0.2, 0.4]


def test_authorizations_are_polled_no_sooner_than_the_ca_says(clock: Time) -> None:
    validate(Client("5", a="pending valid", b="pending valid"))
    assert clock.sleeps == [0.1, 5]


@pytest.mark.usefixtures("clock")
def test_failed_authorization_is_raised_once_all_are_decided() -> None:
    client = Client(a="invalid", b="pending valid")
    with pytest.raises(certbot.errors.AuthorizationError, match="Some challenges have failed"):
        validate(client)
    assert client.asked == "abb"


def test_undecided_authorizations_are_given_up_after_a_minute_and_a_half(clock: Time) -> None:
    with pytest.raises(certbot.errors.AuthorizationError, match="not finalized"):
        validate(Client(a="pending", b="pending"))
    assert 88 < sum(clock.sleeps) <= 90


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        (PollingClient, acme.client.ClientV2, "finalize_order"),
        (PollingClient, acme.client.ClientV2, "poll_finalization"),
        (Handler, auth_handler.AuthHandler, "_poll_authorizations"),
    ],
)
def test_replaced_methods_take_the_same_arguments_as_ours(ours: type, theirs: type, name: str) -> None:
    def parameters(owner: type) -> list[tuple[Any, Any]]:
        found = inspect.signature(getattr(owner, name)).parameters.values()
        return [(each.kind, each.default) for each in found]

    assert parameters(ours) == parameters(theirs)
