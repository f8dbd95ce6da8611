"""HTTPS to one server, each exchange bounded in time, bytes and retries, whatever the other side does.

`requests` and `urllib3` bound the single read. They do not bound the sum of many small ones, and they read a
redirect's or a retried answer's body to its end before they look further. The subclasses here close these gaps and
nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ResponseError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from sslctl import __version__, retry_after
from sslctl.c4 import Unanswered
from sslctl.c4.explanation import explain

LARGEST_BODY = 1 << 20
"""Bytes; the contract promises less than 64 KiB."""

LONGEST_PAUSE = timedelta(seconds=5)
"""The longest `Retry-After` that is waited for within a call; a worker that sleeps longer serves nobody."""

LONGEST_WISH = timedelta(days=1)
"""The longest `Retry-After` that is believed at all."""

_CONNECT_SECONDS = 5.0
_PIECE = 1 << 16
_RETRIES = 2
_RETRIED = frozenset({429, 502, 503, 504})

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `media_type` is in lower case; `retry_at` is aware, None where the server named no time."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_at: datetime | None


class Transport:
    """Asks one server, with one token. Safe for use by many threads.

    Each thread has a `requests.Session` of its own, because requests does not promise that a session may be shared.
    Its one connection is kept alive between calls, and is closed when its thread ends.

    `ca_bundle` is a PEM file with the CAs to trust instead of certifi's. `timeout_seconds` bounds, in each attempt,
    the wait for the complete headers and again the wait for the complete body. `clock` gives the aware time that a
    `Retry-After` counts from.
    """

    def __init__(self, token: str, ca_bundle: Path | None, timeout_seconds: float, clock: Clock) -> None:
        self._token = token
        self._ca_bundle = ca_bundle
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._local = threading.local()

    def call(
        self, method: str, url: str, *, json: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one idempotent request and give the answer, whatever its status. Raises `Unanswered`."""
        try:
            with self._session().request(
                method,
                url,
                json=json,
                headers=headers,
                timeout=(min(_CONNECT_SECONDS, self._timeout_seconds), self._timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._read(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            # From None: the cause holds the request, and with it the token and a private key.
            raise Unanswered(explain(error)) from None

    def _read(self, response: requests.Response) -> Answer:
        raw = response.raw
        retry_at = retry_time(response.headers.get("Retry-After"), self._clock())
        body = bytearray()
        with _time_limit(self._timeout_seconds, raw.shutdown):
            for piece in raw.stream(_PIECE, decode_content=False):
                body += piece
                if len(body) > LARGEST_BODY:
                    raise Unanswered(
                        f"answered {response.status_code} with over {LARGEST_BODY} bytes", retry_at
                    )
        return Answer(
            status=response.status_code,
            media_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            body=bytes(body),
            retry_at=retry_at,
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _Session()
            session.headers["Authorization"] = f"Bearer {self._token}"
            session.verify = str(self._ca_bundle) if self._ca_bundle else True
            adapter = _Adapter(max_retries=_Patience.of(self._clock), pool_connections=1, pool_maxsize=1)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
        return session


def retry_time(value: str | None, now: datetime) -> datetime | None:
    """Read a `Retry-After` header as `retry_after.read` does, at most a day after `now`."""
    wish = retry_after.read(value, now)
    return wish and min(wish, now + LONGEST_WISH)


@contextmanager
def _time_limit(seconds: float, cut: Callable[[], object]) -> Iterator[None]:
    """Call `cut`, from another thread, when the block takes longer, and raise `TimeoutError` at its end."""
    over = threading.Event()

    def end() -> None:
        over.set()
        # The block may have ended, and let go of the socket, a moment before.
        with suppress(OSError, ValueError, RuntimeError):
            cut()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # What a cut connection made of the block, an error or a shorter answer, counts for nothing.
        if over.is_set():
            raise TimeoutError


class _Connection(HTTPConnection):
    """Its timeout holds for the headers as a whole, however slowly they drip in."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 itself does
        sock = self.sock
        with _time_limit(self.timeout or _CONNECT_SECONDS, lambda: sock.shutdown(SHUT_RDWR)):
            return super().getresponse()


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Session(requests.Session):
    """A session that takes nothing from the environment and keeps nothing between calls but the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.headers.update(
            {
                "Accept": "application/json, application/problem+json",
                # No compression: an answer is small, and a bomb cannot go off.
                "Accept-Encoding": "identity",
                "User-Agent": f"sslctl/{__version__}",
            }
        )

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Know of no redirects: even when told not to follow them, requests would read their body to its end."""


class _Patience(Retry):
    """Tries again what may pass in a moment, and gives up at once where the server wants more time than that."""

    RETRY_AFTER_STATUS_CODES = frozenset()
    clock: Clock

    @classmethod
    def of(cls, clock: Clock) -> Self:
        made = cls(
            total=_RETRIES,
            other=0,  # TLS: a certificate that is not trusted will not be in a second either
            status_forcelist=_RETRIED,
            backoff_factor=0.2,
            backoff_max=2,
            backoff_jitter=0.2,
            raise_on_status=False,
        )
        made.clock = clock
        return made

    def new(self, **changes: Any) -> Self:
        made = super().new(**changes)
        made.clock = self.clock
        return made

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        now = self.clock()
        at = retry_time(response.headers.get("Retry-After"), now)
        return None if at is None else (at - now).total_seconds()

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(error, NewConnectionError):
            # The time that an operator grants C4 is used up.
            raise error
        if response is None:
            return super().increment(method, url, response, error, _pool, _stacktrace)
        if (self.get_retry_after(response) or 0) > LONGEST_PAUSE.total_seconds():
            raise MaxRetryError(_pool, url or "", ResponseError("the server wants more time"))
        following = super().increment(method, url, response, error, _pool, _stacktrace)
        # urllib3 goes on to read this answer to its end, which may never come; of a closed one there is nothing left.
        response.close()
        return following
