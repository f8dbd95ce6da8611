"""The faults of C4, and the status and reason code that sslctl must report for each, by operation.

Written from the contract (`openapi.yaml`) and the table of reasons in docs/reasons.md, not from the client's code.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime

from sslctl.errors import Exit
from sslctl.rules.reasons import Code
from tests.support.misbehaving import (
    GIGABYTE,
    Behaviour,
    Misbehaving,
    answering,
    dripping,
    flooding,
    http_head,
    reset,
    sending,
    silence,
)
from tests.torture.c4_proxy import Distrust, Fault

# Where a fault is injected: an operation of the contract, in the pass or command that performs it.
LOOKUP, UPLOAD, RENEWAL, READBACK = "lookup", "upload", "upload of a renewal", "read-back"
REPLACING, DELETING = "removal of a text certificate", "removal by delete"
OPERATIONS = (RENEWAL, LOOKUP, UPLOAD, READBACK, REPLACING, DELETING)

Codes = Mapping[str, Code | None]
"""The finding by operation; None if the pass ends in Success all the same."""


def _codes(
    lookup: Code | None, upload: Code | None, readback: Code | None = Code.C4_UNANSWERED
) -> dict[str, Code | None]:
    return {LOOKUP: lookup, UPLOAD: upload, RENEWAL: upload, READBACK: readback, REPLACING: upload}


NO_ANSWER = _codes(Code.C4_UNANSWERED, Code.C4_UPLOAD_FAILED)
# A 4xx to an upload is C4's verdict about the upload; for other operations the contract gives it no meaning.
REFUSED = _codes(Code.C4_UNANSWERED, Code.C4_REJECTED) | {REPLACING: Code.C4_UPLOAD_FAILED}
NO_TOKEN = _codes(Code.C4_TOKEN_REFUSED, Code.C4_UNAUTHORIZED)
NO_DOMAIN = _codes(Code.C4_UNKNOWN_DOMAIN, Code.C4_UNKNOWN_DOMAIN)
# C4 performed the operation and only its response was lost: the read-back shows that.
DONE = _codes(Code.C4_UNANSWERED, None) | {REPLACING: None}
NO_EFFECT = _codes(None, None, None)


@dataclass(frozen=True, slots=True)
class C4Fault:
    """A fault of C4. `retry_after` is the delay that C4 asks for, None if it asks for no sensible one.

    `exit_code` is that of `delete`. In the operations `suspected` the domain is served, and the answer is only a suspicion.
    `small` puts it into the slice that `make test` runs.
    """

    name: str
    fault: Fault | Distrust
    codes: Codes
    exit_code: int = Exit.TRY_LATER
    retry_after: timedelta | None = None
    small: bool = False
    operations: tuple[str, ...] = field(default=OPERATIONS)
    suspected: tuple[str, ...] = ()


def faults(
    clock: Callable[[], datetime], elsewhere: Mapping[str, str], distrust: Mapping[str, Distrust]
) -> Iterator[C4Fault]:
    """Yield all faults. `clock` is C4's; `elsewhere` has the targets of redirects, by description."""
    yield from _statuses()
    yield from _times()
    yield from _dates(clock)
    yield from _connections()
    yield from _bodies()
    for name, address in elsewhere.items():
        for status in (301, 302, 307, 308):
            location = f"Location: {address}/v1/domains/shop.test\r\n"
            yield C4Fault(
                f"{status}, redirect to {name}",
                _problem(status, headers=location),
                NO_ANSWER,
                small=(status, name) == (307, "http"),
            )
    for name, each in distrust.items():
        yield C4Fault(f"TLS: {name}", each, NO_ANSWER, small=name == "an expired certificate")


def _problem(status: int, code: str = "", headers: str = "") -> Fault:
    body = {"title": "Some words", "status": status, "code": code, "detail": "Some words."}
    return _always(answering(status, body, headers))


def _always(behaviour: Behaviour) -> Fault:
    """Return the fault that answers with `behaviour` without asking C4."""
    return lambda _ask: behaviour


def _statuses() -> Iterator[C4Fault]:
    for status, code in ((400, "bad_request"), (409, "locked"), (413, "too_large"), (422, "bad_pair")):
        yield C4Fault(f"{status} {code}", _problem(status, code), REFUSED)
    for status in (401, 403):
        yield C4Fault(f"{status}", _problem(status), NO_TOKEN, Exit.UNUSABLE)
    yield C4Fault("404 of a gateway", _always(sending(_html(404))), NO_ANSWER)
    yield C4Fault(
        "404 unknown_domain",
        _problem(404, "unknown_domain"),
        NO_DOMAIN,
        Exit.OK,
        small=True,
        suspected=(RENEWAL, REPLACING),
    )
    yield C4Fault(
        "409 text_certificate_present, although there is none",
        _problem(409, "text_certificate_present"),
        _codes(None, Code.C4_CHANGED),
        small=True,
        operations=(UPLOAD, RENEWAL),
    )
    for status in (429, 500, 502, 503):
        yield C4Fault(f"{status}", _problem(status), NO_ANSWER)
    yield C4Fault("422 that echoes the request", _echo, REFUSED, small=True)


def _times() -> Iterator[C4Fault]:
    """`Retry-After` in seconds, and absurd."""
    # By the contract: honoured, at least a minute, and at most until the next midnight in Singapore for a domain's pass.
    delays = {
        "0": timedelta(minutes=1),
        "7": timedelta(minutes=1),
        "7200": timedelta(hours=2),
        "86400": timedelta(days=1),
        "9" * 40: timedelta(days=3650),
        "Fri, 31 Dec 9999 23:59:59 GMT": timedelta(days=3650),
        "-120": None,
        "1e3": None,
        "soon\x1b[31m": None,
        "Mon, 99 Foo 20266 99:99:99 GMT": None,
        "٣٠٠": None,
    }
    for status in (429, 503):
        for header, retry_after in delays.items():
            shown = header.replace("\x1b", "ESC")[:30]
            fault = _problem(status, headers=f"Retry-After: {header}\r\n")
            small = (status, header) == (429, "9" * 40)
            yield C4Fault(
                f"{status}, Retry-After: {shown}", fault, NO_ANSWER, retry_after=retry_after, small=small
            )


def _dates(clock: Callable[[], datetime]) -> Iterator[C4Fault]:
    """`Retry-After` as a date."""
    for status in (429, 503):
        for minutes, retry_after in ((77, timedelta(minutes=77)), (-5, timedelta(minutes=1))):

            def answer(_: object, status: int = status, minutes: int = minutes) -> Behaviour:
                at = format_datetime(clock() + timedelta(minutes=minutes), usegmt=True)
                return answering(status, {}, f"Retry-After: {at}\r\n")

            name = f"{status}, Retry-After: the date in {minutes} minutes"
            yield C4Fault(
                name, answer, NO_ANSWER, retry_after=retry_after, small=(status, minutes) == (503, 77)
            )


def _connections() -> Iterator[C4Fault]:
    yield C4Fault("no response", _always(silence), NO_ANSWER)
    yield C4Fault("connection reset", _always(reset), NO_ANSWER)
    yield C4Fault("connection closed", _always(sending(b"")), NO_ANSWER)
    yield C4Fault("response lost after success", _lost, DONE, Exit.OK, small=True)
    yield C4Fault("response lost after success, once", _Once(_lost), NO_EFFECT, Exit.OK)
    yield C4Fault("response too late after success", _late, DONE, Exit.OK)
    yield C4Fault("slow-loris, the headers", _always(dripping(b"HTTP/1.1 200", b"x")), NO_ANSWER)
    drops = _byte_by_byte(http_head(200, "Content-Length: 64\r\n"))
    yield C4Fault("slow-loris, the whole response byte by byte", _always(drops), NO_ANSWER)
    body = dripping(http_head(200, GIGABYTE), b" ")
    yield C4Fault("slow-loris, the body", _always(body), NO_ANSWER)


def _bodies() -> Iterator[C4Fault]:
    half = http_head(200, "Content-Length: 500\r\n") + b'{"domain": "sh'
    yield C4Fault("truncated JSON", _always(sending(half)), NO_ANSWER)
    whole = b'{"domain": "sh'
    complete = http_head(200, f"Content-Length: {len(whole)}\r\n") + whole
    yield C4Fault("truncated JSON with a matching Content-Length", _always(sending(complete)), NO_ANSWER)
    for status in (200, 500):
        flood = flooding(http_head(status, GIGABYTE))
        yield C4Fault(f"{status} with 1 GB", _always(flood), NO_ANSWER, small=status == 200)
    endless = flooding(http_head(200, "Transfer-Encoding: chunked\r\n") + b"40000000\r\n")
    yield C4Fault("200 with 1 GB in one chunk", _always(endless), NO_ANSWER)
    yield C4Fault("1 GB of headers", _always(flooding(b"HTTP/1.1 200 OK\r\nA: ")), NO_ANSWER)
    yield C4Fault("HTML with 200", _always(sending(_html(200))), NO_ANSWER)
    deep = http_head(200, "Content-Length: 200000\r\n") + b"[" * 200_000
    yield C4Fault("JSON 200,000 levels deep", _always(sending(deep)), NO_ANSWER)
    words = {"title": "t", "status": 500, "code": "internal", "detail": "a" * 900_000}
    yield C4Fault("500 with a detail of 900,000 characters", _always(answering(500, words)), NO_ANSWER)
    other = {"domain": "other.test", "cname_target": "cdn.test", "ports": [80, 443], "certificate": None}
    yield C4Fault("another domain's record", _always(answering(200, other)), NO_ANSWER)


def _html(status: int) -> bytes:
    page = b"<html><script>alert(1)</script>Please log in</html>"
    return http_head(status, f"Content-Length: {len(page)}\r\n", "text/html") + page


def _byte_by_byte(data: bytes) -> Behaviour:
    def behave(sock: socket.socket, server: Misbehaving) -> None:
        for position in range(len(data)):
            server.send(sock, data[position : position + 1])
            if not server.pause(0.05):
                return

    return behave


def _echo(_: Callable[[], bytes]) -> Behaviour:
    """Quote the request's token and key in every text member of the response."""

    def behave(sock: socket.socket, server: Misbehaving) -> None:
        head, _, body = server.requests[-1].partition(b"\r\n\r\n")
        token = next(line.split()[-1] for line in head.split(b"\r\n") if line.startswith(b"Authorization:"))
        key = "".join(json.loads(body)["private_key"].split("\n")[1:]) if body else ""
        problem = {"title": "t", "status": 422, "code": token.decode(), "detail": f"{token.decode()} {key}"}
        answering(422, {**problem, "instance": key})(sock, server)

    return behave


def _lost(ask: Callable[[], bytes]) -> Behaviour:
    def behave(sock: socket.socket, _: Misbehaving) -> None:
        ask()
        sock.shutdown(socket.SHUT_RDWR)

    return behave


def _late(ask: Callable[[], bytes]) -> Behaviour:
    def behave(_: socket.socket, server: Misbehaving) -> None:
        ask()
        server.pause(3)

    return behave


class _Once:
    """A fault for the first request to each URL; later ones are forwarded."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._met: set[bytes] = set()

    def __call__(self, ask: Callable[[], bytes]) -> Behaviour:
        def behave(sock: socket.socket, server: Misbehaving) -> None:
            asked = server.requests[-1].partition(b" HTTP")[0]
            if asked in self._met:
                server.send(sock, ask())
            else:
                self._met.add(asked)
                self._fault(ask)(sock, server)

        return behave
