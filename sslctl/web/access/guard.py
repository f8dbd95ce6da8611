"""What every request is checked for, whoever sent it: host, origin, session, CSRF token, rate; and the headers of responses.

The rules are those of the OWASP cheat sheets on CSRF prevention and on HTTP headers. The check of the host is what stops DNS
rebinding: a foreign page whose name is made to point at this machine reaches the server, but with its own name as host.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import ParamSpec, TypeVar
from urllib.parse import quote

from flask import Flask, Response, abort, g, has_request_context, request
from flask.logging import default_handler

from sslctl.text import clean
from sslctl.web.access import Person, Role
from sslctl.web.access.headers import response_headers
from sslctl.web.access.limits import Limited, Limiter
from sslctl.web.access.sessions import Session

LOG = logging.getLogger("sslctl.web")

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_BYTES = 1024 * 1024
_CSRF_FIELD, _CSRF_HEADER = "csrf_token", "X-CSRF-Token"
_LONGEST_PATH = 300
_LONGEST_QUERY = 2000
_LONGEST_LINE = 1000
_ID_BYTES = 4
_FOREIGN = "refusal.foreign"
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where browsers reach the site: the scheme, and `hosts` as they stand in the header Host, in lower case."""

    scheme: str
    hosts: frozenset[str]

    @classmethod
    def of(cls, scheme: str, hostname: str, port: int | None) -> Address:
        """Return the address of `hostname`. Browsers leave out the usual port of `scheme` (RFC 9110, section 4.2.3)."""
        host = f"[{hostname}]" if ":" in hostname else hostname
        usual = _USUAL_PORTS[scheme]
        with_port = f"{host}:{port or usual}"
        return cls(scheme, frozenset({host, with_port} if port in (None, usual) else {with_port}))


class Guard(ABC):
    """The part of a gate that is the same for all: see `Gate`.

    `refusal_of_unknown` is the text (`web.language`) for a person whom `find_session` does not know.
    """

    refusal_of_unknown: str

    def __init__(
        self, address: Address, limiter: Limiter, *, open_endpoints: Iterable[str] = ("static",)
    ) -> None:
        self._address = address
        self._limiter = limiter
        self._open_endpoints = frozenset(open_endpoints)

    def install(self, site: Flask) -> None:
        """Guard `site`; see `Gate.install`."""
        site.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES
        site.before_request(self._admit)
        site.after_request(self._finish)
        site.jinja_env.globals["csrf_token"] = _csrf_token
        # Flask logs an error of a view with the path of the request, which may have line breaks.
        site.logger.addFilter(_clean_record)
        # The handler that Flask adds would print each line a second time.
        site.logger.removeHandler(default_handler)

    @abstractmethod
    def find_session(self) -> Session | None:
        """Return the session of the current request, None if its sender is not known."""

    def _admit(self) -> None:
        """End the request with an error unless it may reach its view."""
        g.began = time.monotonic()
        g.request_id = secrets.token_hex(_ID_BYTES)
        g.limiter = self._limiter
        if request.host.lower() not in self._address.hosts:
            abort(421, description="refusal.host")
        if len(request.query_string) > _LONGEST_QUERY:
            # Each link of the list repeats the query.
            abort(414)
        is_safe = request.method in _SAFE
        _require_own_page_or_link()
        if not is_safe:
            self._require_own_origin()
            g.is_own_form = True
        session = g.session = self.find_session()
        if session is not None:
            g.person = session.person
        if request.endpoint in self._open_endpoints:
            return
        if session is None:
            abort(401, description=self.refusal_of_unknown)
        if Role.VIEWER not in session.person.roles:
            abort(403, description="refusal.no_role")
        if not is_safe:
            _require_csrf_token(session)
            count(Limited.CHANGE)

    def _require_own_origin(self) -> None:
        """End a request that changes something with 403 if a page of another site may have sent it.

        Browsers send the header Origin with every form (RFC 6454), and other programs can. It must be that of the host of this
        request: on a loopback address another user's server may have another of the hosts.
        """
        if request.headers.get("Origin") != f"{self._address.scheme}://{request.host.lower()}":
            abort(403, description=_FOREIGN)
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            abort(403, description=_FOREIGN)

    def _finish(self, response: Response) -> Response:
        """Set the headers of `response`, and log the request: its path without the query, since that may have a token."""
        is_static = request.endpoint == "static" and response.status_code < HTTPStatus.BAD_REQUEST
        response.headers.update(response_headers(self._address.scheme, may_cache=is_static))
        # A person who reports an error can name it; the lines of the log about it begin with it.
        response.headers["X-Request-Id"] = g.get("request_id", "-")
        session: Session | None = g.get("session")
        person = "-" if session is None else session.person.name
        milliseconds = round(1000 * (time.monotonic() - g.get("began", time.monotonic())))
        # Without spaces in the path, and with the person at the end, nobody can make a line say something else.
        path = quote(clean(request.path, _LONGEST_PATH))
        LOG.info("%s %s %d %d ms %s", request.method, path, response.status_code, milliseconds, person)
        return response


def limited(kind: Limited) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator of a view that ends a request with 429 if its person sent too many of `kind`."""

    def decorate(view: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(view)
        def counted(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            count(kind)
            return view(*args, **kwargs)

        return counted

    return decorate


def count(kind: Limited, number: int = 1) -> None:
    """Count `number` more of `kind` by the person of the request, and end it with 429 if that is too many."""
    person: Person | None = g.get("person")
    limiter: Limiter = g.limiter
    wait = limiter.take(kind, "" if person is None else person.name, number)
    if wait:
        response = Response(f"Too many requests. Try again in {wait} seconds.\n", 429, mimetype="text/plain")
        response.headers["Retry-After"] = str(wait)
        abort(response)


def _require_own_page_or_link() -> None:
    """End a request with 403 if a page of another site sent it, unless a person followed a link.

    Otherwise such a page could learn something from images or frames of this one, by their size or time (W3C, Fetch Metadata
    Request Headers). Programs that are no browsers send no such header.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}:
        return
    followed = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest"))
    if followed != ("navigate", "document"):
        abort(403, description=_FOREIGN)


def _require_csrf_token(session: Session) -> None:
    sent = request.headers.get(_CSRF_HEADER) or request.form.get(_CSRF_FIELD, "")
    if not hmac.compare_digest(sent.encode(), session.csrf_token.encode()):
        abort(403, description="refusal.old_form")


def _clean_record(record: logging.LogRecord) -> bool:
    """Write the id of the request before the message of `record`, and remove line breaks and other control characters."""
    request_id = g.get("request_id", "-") if has_request_context() else "-"
    record.msg, record.args = f"{request_id} {clean(record.getMessage(), _LONGEST_LINE)}", ()
    return True


def _csrf_token() -> str:
    session: Session | None = g.get("session")
    return "" if session is None else session.csrf_token
