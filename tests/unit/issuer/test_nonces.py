"""Nonces that jobs leave over for later ones, and how acme's client gets them."""

from __future__ import annotations

import pytest
import requests

from sslctl.issuer.certbot.acme_client import Client, Observer
from sslctl.issuer.certbot.nonces import Nonces
from sslctl.issuer.certbot.pacing import Kind


class Time:
    """A monotonic clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_nonce_is_taken_once_the_newest_first() -> None:
    nonces = Nonces()
    nonces.put(["a", "b"])
    nonces.put(["c"])
    assert [nonces.take() for _ in range(4)] == ["c", "b", "a", None]


def test_nonce_is_not_taken_after_ten_seconds() -> None:
    clock = Time()
    nonces = Nonces(clock)
    nonces.put(["a"])
    clock.now += 9
    nonces.put(["b"])
    clock.now += 9
    assert [nonces.take(), nonces.take()] == ["b", None]


def test_only_the_newest_nonces_are_kept() -> None:
    nonces = Nonces()
    nonces.put(map(str, range(1000)))
    taken = list(iter(nonces.take, None))
    assert (len(taken), taken[0]) == (64, "999")


def test_client_of_acme_keeps_its_nonces_where_they_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observer, "nonces", {b"handed"}, raising=False)
    network = Observer()
    # No server is there to ask for another one.
    handed: object = network._get_nonce("https://127.0.0.1:9/order", "https://127.0.0.1:9/nonce")
    assert handed == b"handed"
    response = requests.Response()
    response.headers["Replay-Nonce"] = "bGVmdA"
    network._add_nonce(response)
    assert Observer.nonces == {b"left"}


def test_only_requests_for_a_nonce_take_a_turn_of_new_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = {"newNonce": "https://ca.test/n", "newOrder": "https://ca.test/o"}
    monkeypatch.setattr(Observer, "nonces", {b"handed"}, raising=False)
    monkeypatch.setattr(Observer, "kinds", {}, raising=False)
    monkeypatch.setattr(Client, "shared_directory", directory, raising=False)
    Client.get_directory("https://ca.test/dir", Observer())
    assert Observer.kinds == {"https://ca.test/n": Kind.NEW_NONCE}
