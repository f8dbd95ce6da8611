"""Fault injection for the reference C4, and the log of its requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request as WsgiRequest
from werkzeug.wrappers import Response

from sslctl.sandbox.c4.problems import answer_problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LONGEST_DELAY_SECONDS = 300
_DOMAIN_PATH = re.compile(r"/v1/domains/([^/]+)(/certificate)?")


class Operation(StrEnum):
    """An operation of the contract."""

    HEALTH = "health"
    INVENTORY = "inventory"
    LOOKUP = "lookup"
    UPLOAD = "upload"
    READBACK = "readback"
    REMOVE = "remove"


class Drop(StrEnum):
    """When the connection is closed without a response: before or after C4 acts."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `method`, `kind` and `domain` select the requests that it applies to; None selects all.

    First the request is delayed by `delay_seconds`. Then one of these happens:
    - With `drop`, the connection is closed without a response.
    - With `status`, `body` or `echo`, C4 responds without acting. `body` is raw text, sent as application/json. `echo` sends
      the request's own token and body as the problem's detail.
    - Otherwise the request is processed as usual.

    `retry_after` is in seconds. `times` is the number of requests that the fault applies to, None for all. Raise
    `ValueError` for invalid values.
    """

    method: str | None = None
    kind: Operation | None = None
    domain: str | None = None
    status: int | None = None
    retry_after: int | None = None
    delay_seconds: float = 0
    drop: Drop | None = None
    body: str | None = None
    echo: bool = False
    times: int | None = None

    def __post_init__(self) -> None:
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the final statuses of HTTP
            raise ValueError("status is a number from 200 to 599.")
        if not 0 <= self.delay_seconds <= _LONGEST_DELAY_SECONDS:
            raise ValueError(f"delay_seconds is a number from 0 to {_LONGEST_DELAY_SECONDS}.")
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1, or null.")

    def applies_to(self, method: str, kind: Operation | None, domain: str | None) -> bool:
        """Return whether the fault applies to such a request."""
        wanted = ((self.method, method), (self.kind, kind), (self.domain, domain))
        return all(mine is None or mine == its for mine, its in wanted)


@dataclass(frozen=True, slots=True)
class Request:
    """The log entry of a request to C4, without body, query and headers. `status` is None if no response was sent."""

    method: str
    path: str
    status: int | None


def read_faults(document: object) -> list[Fault]:
    """Return the faults in parsed JSON, a list of objects with the members of `Fault`.

    Raise `ValueError` with a sentence that says what is wrong.
    """
    if not isinstance(document, list):
        raise ValueError("Faults are a list.")  # noqa: TRY004 - callers handle one kind of error
    return [_read_fault(item) for item in document]


def _read_fault(item: Any) -> Fault:
    if not isinstance(item, dict) or not item.keys() <= {each.name for each in fields(Fault)}:
        raise ValueError("A fault is an object with the members of sslctl.sandbox.c4.faults.Fault.")
    types: dict[str, type | tuple[type, ...]] = {"status": int, "retry_after": int, "times": int}
    types["delay_seconds"], types["echo"] = (int, float), bool
    for name, value in item.items():
        if value is not None and (
            isinstance(value, bool) is not (name == "echo") or not isinstance(value, types.get(name, str))
        ):
            raise ValueError(f"{name} has the wrong type.")
    given = {name: value for name, value in item.items() if value is not None}
    for name, words in (("kind", Operation), ("drop", Drop)):
        if name in given:
            given[name] = words(given[name])
    return Fault(**given)


class Faults:
    """The injected faults, in order. Only the first that applies to a request acts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace the injected faults."""
        with self._lock:
            self._left = [(fault, fault.times) for fault in faults]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to this request, or None, and count the request."""
        kind, domain = _classify(method, path)
        with self._lock:
            for index, (fault, left) in enumerate(self._left):
                if fault.applies_to(method, kind, domain):
                    if left == 1:
                        del self._left[index]
                    elif left is not None:
                        self._left[index] = (fault, left - 1)
                    return fault
        return None


def _classify(method: str, path: str) -> tuple[Operation | None, str | None]:
    if path == "/v1/health":
        return Operation.HEALTH, None
    if path == "/v1/domains":
        return Operation.INVENTORY, None
    match = _DOMAIN_PATH.fullmatch(path)
    if match is None:
        return None, None
    if match[2] is None:
        return Operation.LOOKUP, match[1]
    kinds = {"PUT": Operation.UPLOAD, "GET": Operation.READBACK, "DELETE": Operation.REMOVE}
    return kinds.get(method), match[1]


class FaultyGateway:
    """A WSGI application in front of C4 that logs every request of the contract and injects the faults.

    C4 itself has no code for faults. `stopping` ends delays early. The administration under /sandbox/ is not logged, and
    faults do not apply to it, so that they can always be cleared.
    """

    def __init__(self, app: WSGIApplication, faults: Faults, stopping: threading.Event) -> None:
        self._app = app
        self._faults = faults
        self._stopping = stopping
        self._log: list[Request] = []

    @property
    def requests(self) -> Sequence[Request]:
        """Every request so far, in the order of the responses."""
        return tuple(self._log)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. Raise `ConnectionAbortedError` if a fault drops the connection."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith("/sandbox/"):
            return self._app(environ, start_response)
        fault = self._faults.take(method, path) or Fault()
        self._stopping.wait(fault.delay_seconds)
        response = None if fault.drop is Drop.BEFORE else self._respond(fault, environ)
        if fault.drop is not None or response is None:
            self._log.append(Request(method, path, None))
            raise ConnectionAbortedError
        # Logged before it is sent, so that a client with the response finds it in the log.
        self._log.append(Request(method, path, response.status_code))
        return response(environ, start_response)

    def _respond(self, fault: Fault, environ: WSGIEnvironment) -> Response:
        if fault.echo:
            return answer_problem(fault.status or HTTPStatus.BAD_REQUEST, detail=_repeat(environ))
        if fault.drop is Drop.AFTER or (fault.status is None and fault.body is None):
            return Response.from_app(self._app, environ, buffered=True)
        status = fault.status or HTTPStatus.OK
        if fault.body is None and status >= HTTPStatus.BAD_REQUEST:
            response = answer_problem(status)
        else:
            response = Response(fault.body, status, content_type="application/json")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        return response


def _repeat(environ: WSGIEnvironment) -> str:
    """Return the request as a careless server would quote it."""
    request = WsgiRequest(environ)
    return f"{request.headers.get('Authorization', '')} {request.get_data(as_text=True)}"
