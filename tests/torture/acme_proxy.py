"""A CA that misbehaves: a proxy in front of Pebble that records requests, answers in its place and alters its responses.

It forwards the Host header, so the URLs in Pebble's responses lead back to the proxy.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import trustme

from sslctl.sandbox.front import FrontHandler, FrontServer
from sslctl.sandbox.listeners import ADDRESS, Listener
from sslctl.sandbox.pebble import Pebble

# Pebble's paths, by what they are for.
_KINDS = {
    "dir": "directory",
    "nonce-plz": "nonce",
    "sign-me-up": "account",
    "order-plz": "new-order",
    "my-order": "order",
    "authZ": "authorization",
    "chalZ": "challenge",
    "finalize-order": "finalize",
    "certZ": "certificate",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> dict[str, Any]:
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def with_json(self, **changes: object) -> Answer:
        """Return a copy with other JSON members; None removes one."""
        body = {key: value for key, value in {**self.json, **changes}.items() if value is not None}
        return replace(self, body=json.dumps(body).encode())


# The connection is closed without a response.
SILENCE = Answer(0)


def problem(status: int, typ: str, detail: str, **headers: str) -> Answer:
    """Return an ACME error (RFC 8555, section 6.7). A keyword such as `Retry_After` is a header."""
    body = {"type": f"urn:ietf:params:acme:error:{typ}", "detail": detail, "status": status}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/problem+json", **named}, json.dumps(body).encode())


@dataclass(slots=True)
class Question:
    """A request to the CA, with its signed payload. `status` is that of Pebble's response, 0 if Pebble was not asked."""

    kind: str
    path: str
    payload: Any
    name: str = ""
    status: int = 0


def _as_it_is(_question: Question, answer: Answer) -> Answer:
    return answer


def _nothing(_question: Question) -> Answer | None:
    return None


class AcmeProxy:
    """A proxy in front of Pebble; use as a context manager.

    `instead` returns a response in Pebble's place, or None to ask Pebble; `altered` returns what is sent instead of
    Pebble's response. While `is_down` every connection is closed without a response.
    """

    def __init__(self, folder: Path, pebble: Pebble) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.pebble = pebble
        self.ca_bundle = folder / "ca.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.ca_bundle))
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self.asked: list[Question] = []
        self.behave()

    def behave(self) -> None:
        """Reset: forward everything unchanged, and forget the recorded requests."""
        self.instead: Callable[[Question], Answer | None] = _nothing
        self.altered: Callable[[Question, Answer], Answer] = _as_it_is
        self.is_down = False
        self.asked.clear()

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(ADDRESS, "localhost").configure_cert(context)
        server = FrontServer(context, partial(_Handler, self))
        self.directory_url = f"https://{ADDRESS}:{server.server_address[1]}/dir"
        self._listener = Listener(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    # What was seen

    def count(self, kind: str, name: str | None = None) -> int:
        """Return how many requests of `kind` there were, about `name` or about any name."""
        return sum(one.kind == kind and name in (None, one.name) for one in list(self.asked))

    def orders(self) -> Counter[str]:
        """Return how many orders Pebble accepted, by name."""
        return Counter(
            name
            for one in list(self.asked)
            if one.kind == "new-order" and one.status == 201
            for name in _ordered(one.payload)
        )

    def validations(self, name: str) -> int:
        """Return how often Pebble was asked to validate `name`."""
        return sum(
            one.kind == "challenge" and one.name == name and one.payload is not None and one.status == 200
            for one in list(self.asked)
        )

    # What the handlers do

    def note(self, path: str, body: bytes) -> Question:
        question = Question(_KINDS.get(path.split("/")[1].partition("?")[0], "other"), path, _payload(body))
        with self._lock:
            question.name = self._names.get(path, "")
            if question.kind == "new-order":
                question.name = next(iter(_ordered(question.payload)), "")
            self.asked.append(question)
        return question

    def learn(self, question: Question, answer: Answer) -> None:
        """Record which URLs in Pebble's response belong to which name."""
        question.status, body = answer.status, answer.json
        if "identifier" in body:
            question.name = body["identifier"]["value"]
        elif "identifiers" in body:
            question.name = body["identifiers"][0]["value"]
        urls = [body.get("finalize"), body.get("certificate"), answer.headers.get("Location")]
        urls += [*body.get("authorizations", ()), *(one["url"] for one in body.get("challenges", ()))]
        with self._lock:
            if question.name:
                self._names |= {urlsplit(url).path: question.name for url in urls if url}


def _payload(body: bytes) -> Any:
    """Return the payload of a JWS; None if it is empty (POST-as-GET) or `body` is no JWS."""
    try:
        signed = json.loads(body)["payload"]
        return json.loads(base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))) if signed else None
    except (ValueError, KeyError, TypeError):
        return None


def _ordered(payload: Any) -> list[str]:
    return [one["value"] for one in (payload or {}).get("identifiers", ())]


class _Handler(FrontHandler):
    def __init__(self, proxy: AcmeProxy, *connection: Any) -> None:
        self._proxy = proxy
        super().__init__(*connection)

    def serve(self, body: bytes) -> None:
        question = self._proxy.note(self.path, body)
        if self._proxy.is_down:
            self.close_connection = True
            return
        answer = self._proxy.instead(question)
        if answer is None:
            status, headers, content = self.forward(self._proxy.pebble, body)
            # Link may occur several times; only the directory and alternative chains use it.
            answer = Answer(status, dict(headers), content)
            self._proxy.learn(question, answer)
            answer = self._proxy.altered(question, answer)
        if answer is SILENCE:
            self.close_connection = True
            return
        self.answer(answer.status, answer.headers.items(), answer.body)
