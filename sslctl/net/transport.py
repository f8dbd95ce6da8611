"""HTTPS requests to one server: each is bounded in time, bytes and attempts, whatever the server does.

Redirects are not followed, cookies are not kept, and nothing is read from the environment: no proxy, no netrc.
429, 502, 503 and 504 are retried here, at most twice; every other status goes to the caller.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from requests import PreparedRequest, RequestException, Response
from requests.exceptions import Timeout
from urllib3.exceptions import HTTPError

from sslctl import __version__
from sslctl.net import retry_after
from sslctl.net.bounded_adapter import MAX_RESPONSE_BYTES, BoundedAdapter, ResponseTooLarge
from sslctl.net.error_text import causes, describe_error

MAX_PAUSE = timedelta(seconds=5)
"""The longest `Retry-After` that is waited for within a call. A longer one goes to the caller: the worker is needed elsewhere."""

MAX_RETRY_AFTER = timedelta(days=1)
"""The longest `Retry-After` that is accepted; a longer one is cut to this."""

_CONNECT_SECONDS = 5.0
# Before the second and third attempt, if the server names no time. The jitter spreads requests that failed together.
_PAUSES = (0.0, 0.4)
_MAX_JITTER = 0.2
_PIECE_BYTES = 1 << 16
_RETRIED = frozenset({429, 502, 503, 504})

Clock = Callable[[], datetime]


class NoResponse(Exception):
    """There was no complete response. `str()` of it is cleaned text for an operator.

    `retry_at` is the time from `Retry-After` (aware, at most a day ahead), None if there was none.
    """

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete response. `media_type` is in lower case.

    `retry_at` is from `Retry-After`, at most a day ahead, and `date` is the server's clock; both are aware, or None if the
    server did not send them.
    """

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_at: datetime | None
    date: datetime | None = None


class Transport:
    """Requests to one server, with one token, over shared connections. Safe for use by many threads.

    `base_url` is `https`, and `tls` verifies the server; or it is `http`, and `tls` is None. `timeout_seconds` bounds, in
    each attempt, the wait for the complete headers and again the wait for the complete body. `clock` returns the aware
    time from which `Retry-After` counts. `sleep` is called with the seconds before a further attempt.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        tls: ssl.SSLContext | None,
        timeout_seconds: float,
        clock: Clock,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url
        self._headers = {
            "Accept": "application/json, application/problem+json",
            # No compression: responses are small, and a decompression bomb is impossible.
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"sslctl/{__version__}",
        }
        self._clock = clock
        self._sleep = sleep
        self._timeouts = (min(_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
        self._connections = BoundedAdapter(tls)

    def call(
        self, method: str, path: str, *, document: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Send one idempotent request and return the response, whatever its status. Raise `NoResponse` if there is none.

        `path` is percent-encoded and appended to the base URL. `document` is sent as JSON.
        """
        pauses = iter(_PAUSES)
        while True:
            pause = next(pauses, None)
            try:
                request = self._request(method, path, headers or {}, document)
                response = self._connections.send(request, stream=True, timeout=self._timeouts)
            except (RequestException, HTTPError, OSError) as error:
                if pause is None or not _is_retryable(error):
                    # From None: the cause holds the request, and with it the token and a private key.
                    raise NoResponse(describe_error(error)) from None
            else:
                with response:
                    now = self._clock()
                    retry_at = retry_time(response.headers.get("Retry-After"), now)
                    delay = timedelta() if retry_at is None else retry_at - now
                    if pause is None or response.status_code not in _RETRIED or delay > MAX_PAUSE:
                        return _read(response, retry_at)
                    # A retry follows, so the body is not read.
                pause = delay.total_seconds() or pause
            if pause:
                self._sleep(pause + random.uniform(0, _MAX_JITTER))  # noqa: S311 - no secret

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], document: object
    ) -> PreparedRequest:
        # Not `prepare`: it would parse the URL for each call and look for a netrc.
        request = PreparedRequest()
        request.method, request.url = method, self._base_url + path
        request.prepare_headers({**self._headers, **headers})
        request.prepare_body(None, None, json=document)
        return request

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._connections.close()


def retry_time(value: str | None, now: datetime) -> datetime | None:
    """Return what `retry_after.read` returns, at most `MAX_RETRY_AFTER` after `now`."""
    at = retry_after.read(value, now)
    return at and min(at, now + MAX_RETRY_AFTER)


def _is_retryable(error: Exception) -> bool:
    """Return whether another attempt may succeed after one that raised `error`."""
    found = list(causes(error))
    # An untrusted certificate stays untrusted. `SSLEOFError` is a closed connection, not a matter of trust.
    is_about_tls = any(
        isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError) for one in found
    )
    # After a timeout, the time that the operator configured is used up.
    return not is_about_tls and not any(isinstance(one, (Timeout, TimeoutError)) for one in found)


def _read(response: Response, retry_at: datetime | None) -> HttpResponse:
    try:
        # In pieces: one read would allocate as much as Content-Length claims.
        body = b"".join(iter(lambda: response.raw.read(_PIECE_BYTES, decode_content=False), b""))
    except (HTTPError, OSError, ValueError) as error:
        if any(isinstance(cause, ResponseTooLarge) for cause in causes(error)):
            message = f"answered {response.status_code} with over {MAX_RESPONSE_BYTES} bytes"
            raise NoResponse(message, retry_at) from None
        raise NoResponse(describe_error(error)) from None
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return HttpResponse(
        response.status_code, media_type, body, retry_at, retry_after.read_date(response.headers.get("Date"))
    )
