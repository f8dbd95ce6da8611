"""A CA that misbehaves: a proxy before Pebble, which answers in its place, alters what it says, and notes what it is asked.

It passes the Host header on, so the URLs that Pebble names lead back to the proxy.
"""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import trustme

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
        """Give the same with other members; None takes one out."""
        body = {key: value for key, value in {**self.json, **changes}.items() if value is not None}
        return replace(self, body=json.dumps(body).encode())


# The connection is closed instead.
SILENCE = Answer(0)


def problem(status: int, typ: str, detail: str, **headers: str) -> Answer:
    """Give an error as ACME has it (RFC 8555, section 6.7); `Retry_After` is the header of that name."""
    body = {"type": f"urn:ietf:params:acme:error:{typ}", "detail": detail, "status": status}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/problem+json", **named}, json.dumps(body).encode())


@dataclass(slots=True)
class Question:
    """What the CA was asked: by its `kind`, with what was signed. `status` is what Pebble answered, 0 where it was not asked."""

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
    """Use as a context manager. `instead` gives an answer in Pebble's place, `altered` another one for Pebble's.

    With `is_down` connections are closed without a word.
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
        """Be as good a CA as Pebble, and forget what was asked."""
        self.instead: Callable[[Question], Answer | None] = _nothing
        self.altered: Callable[[Question, Answer], Answer] = _as_it_is
        self.is_down = False
        self.asked.clear()

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(ADDRESS, "localhost").configure_cert(context)
        server = _Server((ADDRESS, 0), partial(_Handler, self))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.directory_url = f"https://{ADDRESS}:{server.server_address[1]}/dir"
        self._listener = Listener(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    # What was seen

    def count(self, kind: str, name: str | None = None) -> int:
        """Give how many questions of `kind` there were, about `name` or any."""
        return sum(one.kind == kind and name in (None, one.name) for one in list(self.asked))

    def orders(self) -> Counter[str]:
        """Give how many orders Pebble took, by name."""
        return Counter(
            name
            for one in list(self.asked)
            if one.kind == "new-order" and one.status == 201
            for name in _ordered(one.payload)
        )

    def validations(self, name: str) -> int:
        """Give how often Pebble was told to validate `name`."""
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
        """Learn which URLs are about which name."""
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
    """Give what a JWS signs; None where that is nothing (POST-as-GET), and for no JWS."""
    try:
        signed = json.loads(body)["payload"]
        return json.loads(base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))) if signed else None
    except (ValueError, KeyError, TypeError):
        return None


def _ordered(payload: Any) -> list[str]:
    return [one["value"] for one in (payload or {}).get("identifiers", ())]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, or are killed, are no trouble of the CA's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # Headers and body in one piece: a client would else wait for the second.
    wbufsize = -1

    def __init__(self, proxy: AcmeProxy, *connection: Any) -> None:
        self._proxy = proxy
        self._pebble: tuple[str, HTTPSConnection] | None = None
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._meet()

    def do_HEAD(self) -> None:
        self._meet()

    def do_POST(self) -> None:
        self._meet()

    def finish(self) -> None:
        self._hang_up()
        super().finish()

    def _hang_up(self) -> None:
        if self._pebble is not None:
            self._pebble[1].close()
            self._pebble = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        pass

    def _meet(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        question = self._proxy.note(self.path, body)
        if self._proxy.is_down:
            self.close_connection = True
            return
        answer = self._proxy.instead(question)
        if answer is None:
            answer = self._forward(body)
            self._proxy.learn(question, answer)
            answer = self._proxy.altered(question, answer)
        if answer is SILENCE:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _forward(self, body: bytes) -> Answer:
        url = self._proxy.pebble.directory_url
        if self._pebble is not None and self._pebble[0] != url:
            self._hang_up()
        if self._pebble is None:
            context = ssl.create_default_context(cafile=str(self._proxy.pebble.ca_bundle))
            parts = urlsplit(url)
            self._pebble = url, HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
        connection = self._pebble[1]
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            self._hang_up()
            raise
        # Link may come several times, and is for the directory and for other chains alone.
        return Answer(response.status, dict(response.getheaders()), content)
