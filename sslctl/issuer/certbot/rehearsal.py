"""A rehearsal: the fork server runs one order against canned answers of a CA, so that its forks find everything in use already.

What Python does for the first time costs more: it fills caches of classes, specialises bytecode, and imports inside of functions. A fork
would do that for itself alone, in pages of memory that it has to copy. The rehearsal costs as much CPU as three orders save.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

import requests
from acme import messages
from certbot._internal.account import Account
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.issuer.certbot import job, order, registration
from sslctl.issuer.certbot.acme_client import Client, Observer
from sslctl.issuer.certbot.polling import Handler, PollingClient, Polls

_CA = "http://rehearsal.invalid/"
_NAME = "rehearsal.invalid"
_CHALLENGE = {
    "type": "http-01",
    "url": f"{_CA}challenge",
    "token": "dG9rZW4gdG9rZW4gdG9rZW4gdG9rZW4gdG9rZW4",
    "status": "pending",
}
_AUTHORIZATION: dict[str, Any] = {
    "status": "pending",
    "identifier": {"type": "dns", "value": _NAME},
    "challenges": [_CHALLENGE],
}
_ORDER: dict[str, Any] = {
    "status": "pending",
    "identifiers": [],
    "authorizations": [f"{_CA}authorization"],
    "finalize": f"{_CA}finalize",
}
# In the order of the requests. There is no certificate: that ends the rehearsal.
_ANSWERS: dict[str, list[dict[str, Any]]] = {
    "/nonce": [{}],
    "/order": [_ORDER],
    "/authorization": [_AUTHORIZATION, {**_AUTHORIZATION, "status": "valid"}],
    "/challenge": [_CHALLENGE],
    "/finalize": [{**_ORDER, "status": "processing"}],
    "/order/1": [{**_ORDER, "status": "valid", "certificate": f"{_CA}certificate"}],
    "/certificate": [{}],
}
_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nReplay-Nonce: bm9uY2U\r\n"
    f'Link: <{_CA}authorization>;rel="up"\r\n'
)


class _Connection(HTTPConnection):
    """A connection to a CA that validates and issues everything. Nothing leaves this process."""

    def _new_conn(self) -> socket.socket:
        ours, self._ca = socket.socketpair()
        return ours

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        answers = _ANSWERS[url]
        content = "" if method == "HEAD" else json.dumps(answers[0])
        if len(answers) > 1:
            del answers[0]
        place = f"Location: {_CA}order/1\r\n" if url == "/order" else ""
        self._ca.sendall(f"{_HEAD}{place}Content-Length: {len(content)}\r\n\r\n{content}".encode())
        super().request(method, url, *args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Ca(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        # Not by way of a proxy of the environment.
        return super().send(*args, **{**kwargs, "proxies": {}})


class _Polls(Polls):
    """Polls without pauses: this CA decides at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, sleep=lambda _seconds: None)


def rehearse() -> None:
    """Run one order up to its certificate. Whatever goes wrong is found by the first order too."""
    Handler.polls = PollingClient.polls = _Polls
    with suppress(Exception):
        job.set_up({"do": "issue", "directory_url": _CA, "deadline_seconds": 1}, lambda _message: None)
        key = JWKEC.json_loads(
            JWKEC(key=ComparableECKey(ec.generate_private_key(ec.SECP256R1()))).json_dumps()
        )
        registered = messages.RegistrationResource(body=messages.Registration(), uri=f"{_CA}account")
        network = Observer(key, account=registered, alg=registration.signature_algorithm(key))
        network.session.mount(_CA, _Ca())
        directory = messages.Directory.from_json({"newNonce": f"{_CA}nonce", "newOrder": f"{_CA}order"})
        csr = make_csr(make_key("ecdsa"), [_NAME])
        order.obtain(Account(registered, key), csr, Client(directory, network))
    Handler.polls = PollingClient.polls = Polls
