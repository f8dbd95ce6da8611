"""What every request is checked for, whoever sent it: host, origin, session, CSRF token, rate; and the headers of responses.

The rules are those of the OWASP cheat sheets on CSRF prevention and on HTTP headers. The check of the host is what stops DNS
rebinding: a foreign page whose name is made to point at this machine reaches the server, but with its own name as host.
"""

from __future__ import annotations

import hmac
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response, abort, g, request

from sslctl.text import clean
from sslctl.web.access import Person
from sslctl.web.access.limits import Limited, Limiter
from sslctl.web.access.sessions import Session

LOG = logging.getLogger("sslctl.web")

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_BYTES = 1024 * 1024
_CSRF_FIELD, _CSRF_HEADER = "csrf_token", "X-CSRF-Token"
_LONGEST_PATH = 300
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # With no-referrer, browsers send `Origin: null` with a form (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where browsers reach the site: the scheme, and `hosts` as they stand in the header Host, in lower case."""

    scheme: str
    hosts: frozenset[str]

    @property
    def origins(self) -> frozenset[str]:
        """The values that the header Origin of the site's own pages has (RFC 6454, section 6.1)."""
        return frozenset(f"{self.scheme}://{host}" for host in self.hosts)


class Guard(ABC):
    """The part of a gate that is the same for all: see `Gate`."""

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

    @abstractmethod
    def find_session(self) -> Session | None:
        """Return the session of the current request, None if its sender is not known."""

    @abstractmethod
    def explain_unknown(self) -> str:
        """Return what a person whom `find_session` does not know is to do."""

    def _admit(self) -> None:
        """End the request with an error unless it may reach its view."""
        g.began = time.monotonic()
        g.limiter = self._limiter
        if request.host.lower() not in self._address.hosts:
            abort(421, description="This server does not serve that host.")
        is_safe = request.method in _SAFE
        if not is_safe:
            self._require_own_origin()
        session = g.session = self.find_session()
        if session is not None:
            g.person = session.person
        if request.endpoint in self._open_endpoints:
            return
        if session is None:
            abort(401, description=self.explain_unknown())
        if not is_safe:
            _require_csrf_token(session)
            _take(Limited.CHANGE, session.person.name)

    def _require_own_origin(self) -> None:
        """End a request that changes something with 403 if a page of another site may have sent it.

        Browsers send the header Origin with every form, and other programs can.
        """
        if request.headers.get("Origin") not in self._address.origins:
            abort(403, description="The request did not come from a page of this server.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            abort(403, description="The request did not come from a page of this server.")

    def _finish(self, response: Response) -> Response:
        """Set the headers of `response`, and log the request: its path without the query, since that may have a token."""
        response.headers.update(_HEADERS)
        if self._address.scheme == "https":
            response.headers["Strict-Transport-Security"] = "max-age=63072000"
        # A browser asks each time whether a static file has changed; everything else is stored nowhere.
        response.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
        session: Session | None = g.get("session")
        person = "-" if session is None else session.person.name
        milliseconds = round(1000 * (time.monotonic() - g.get("began", time.monotonic())))
        path = clean(request.path, _LONGEST_PATH)
        LOG.info("%s %s %d %s %d ms", request.method, path, response.status_code, person, milliseconds)
        return response


def limited(kind: Limited) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator of a view that ends a request with 429 if its person sent too many of `kind`."""

    def decorate(view: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(view)
        def counted(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            person: Person | None = g.get("person")
            _take(kind, "" if person is None else person.name)
            return view(*args, **kwargs)

        return counted

    return decorate


def _take(kind: Limited, person: str) -> None:
    limiter: Limiter = g.limiter
    wait = limiter.take(kind, person)
    if wait:
        response = Response(f"Too many requests. Try again in {wait} seconds.\n", 429, mimetype="text/plain")
        response.headers["Retry-After"] = str(wait)
        abort(response)


def _require_csrf_token(session: Session) -> None:
    sent = request.headers.get(_CSRF_HEADER) or request.form.get(_CSRF_FIELD, "")
    if not hmac.compare_digest(sent.encode(), session.csrf_token.encode()):
        abort(403, description="The form is too old. Open the page again, and repeat what you did.")


def _csrf_token() -> str:
    session: Session | None = g.session
    return "" if session is None else session.csrf_token
