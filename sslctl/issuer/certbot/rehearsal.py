"""A rehearsal: the fork server runs one order against canned answers of a CA, so that its forks find everything in use already.

What Python does for the first time costs more: it fills caches of classes, specialises bytecode, and imports inside of functions. A fork
would do that for itself alone, in pages of memory that it has to copy. The rehearsal costs as much CPU as three orders save.
"""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

import requests
import urllib3
from acme import messages
from certbot._internal.account import Account
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey
from requests.adapters import HTTPAdapter

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.issuer.certbot import job, order, registration
from sslctl.issuer.certbot.acme_client import Client, Observer

_CA = "https://rehearsal.invalid/"
_NAME = "rehearsal.invalid"
_ORDER = {
    "status": "valid",
    "identifiers": [],
    "authorizations": [f"{_CA}authorization"],
    "finalize": f"{_CA}finalize",
    "certificate": f"{_CA}certificate",
}
_AUTHORIZATION = {"status": "valid", "identifier": {"type": "dns", "value": _NAME}, "challenges": []}
# There is no certificate: that ends the rehearsal.
_ANSWERS = {"order": _ORDER, "authorization": _AUTHORIZATION, "finalize": _ORDER, "certificate": {}}
_HEADERS = {"Content-Type": "application/json", "Replay-Nonce": "bm9uY2U", "Location": f"{_CA}order/1"}


class _Ca(HTTPAdapter):
    """A CA that has validated and issued everything. Nothing is sent."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        content = json.dumps(_ANSWERS.get(str(request.url).removeprefix(_CA), {})).encode()
        answer = urllib3.HTTPResponse(BytesIO(content), _HEADERS, 200, preload_content=False)
        return self.build_response(request, answer)


def rehearse() -> None:
    """Run one order up to its certificate. Whatever goes wrong is found by the first order too."""
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
