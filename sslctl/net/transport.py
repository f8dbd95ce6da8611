"""HTTPS to one server, each exchange bounded in time, bytes and attempts, whatever the other side does.

No redirects, no cookies, and nothing from the environment: neither a proxy nor a netrc.
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
"""The longest `Retry-After` that is waited for within a call; a worker that sleeps longer serves nobody."""

MAX_RETRY_AFTER = timedelta(days=1)
"""The longest `Retry-After` that is believed at all."""

_CONNECT_SECONDS = 5.0
# Before the second attempt and the third, where the server names no time. Many who failed at once do not come back at once.
_PAUSES = (0.0, 0.4)
_LONGEST_JITTER = 0.2
_PIECE = 1 << 16
_RETRIED = frozenset({429, 502, 503, 504})

Clock = Callable[[], datetime]


class NoResponse(Exception):
    """The server could not be asked, or gave no complete answer; `str()` of it is cleaned text for an operator.

    `retry_at` is the server's own wish (`Retry-After`, already capped, UTC), where it gave one.
    """

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer. `media_type` is in lower case; `retry_at` and `date`, the server's clock, are aware, and None where it named no time."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_at: datetime | None
    date: datetime | None = None


class Transport:
    """Asks one server, with one token, over connections that its callers share. Safe for use by many threads.

    `base_url` is `https`, and the server is judged by `tls`; or `http`, without one. `timeout_seconds` bounds, in each
    attempt, the wait for the complete headers and again the wait for the complete body. `clock` gives the aware time
    that a `Retry-After` counts from.
    """

    def __init__(
        self, base_url: str, token: str, tls: ssl.SSLContext | None, timeout_seconds: float, clock: Clock
    ) -> None:
        self._base_url = base_url
        self._headers = {
            "Accept": "application/json, application/problem+json",
            # No compression: an answer is small, and a bomb cannot go off.
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"sslctl/{__version__}",
        }
        self._clock = clock
        self._timeouts = (min(_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
        self._connections = BoundedAdapter(tls)

    def call(
        self, method: str, path: str, *, document: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Send one idempotent request and give the answer, whatever its status. Raises `NoResponse`.

        `path` follows that of the base URL, and is percent-encoded. `document` is sent as JSON.
        """
        pauses = iter(_PAUSES)
        while True:
            pause = next(pauses, None)
            try:
                request = self._request(method, path, headers or {}, document)
                response = self._connections.send(request, stream=True, timeout=self._timeouts)
            except (RequestException, HTTPError, OSError) as error:
                if pause is None or not _may_pass(error):
                    # From None: the cause holds the request, and with it the token and a private key.
                    raise NoResponse(describe_error(error)) from None
            else:
                with response:
                    now = self._clock()
                    retry_at = retry_time(response.headers.get("Retry-After"), now)
                    wish = timedelta() if retry_at is None else retry_at - now
                    if pause is None or response.status_code not in _RETRIED or wish > MAX_PAUSE:
                        return _read(response, retry_at)
                    # What else it says is not waited for.
                pause = wish.total_seconds() or pause
            if pause:
                time.sleep(pause + random.uniform(0, _LONGEST_JITTER))  # noqa: S311 - no secret

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], document: object
    ) -> PreparedRequest:
        # Step by step: to prepare all of it would read the URL anew for each call, and look for a netrc.
        request = PreparedRequest()
        request.method, request.url = method, self._base_url + path
        request.prepare_headers({**self._headers, **headers})
        request.prepare_body(None, None, json=document)
        return request

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._connections.close()


def retry_time(value: str | None, now: datetime) -> datetime | None:
    """Read a `Retry-After` header as `retry_after.read` does, at most a day after `now`."""
    wish = retry_after.read(value, now)
    return wish and min(wish, now + MAX_RETRY_AFTER)


def _may_pass(error: Exception) -> bool:
    """Say whether another attempt may do better than one that ended in `error`."""
    found = list(causes(error))
    # A certificate that is not trusted will not be in a second either; the end of a connection is no matter of trust.
    is_about_tls = any(
        isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError) for one in found
    )
    # After a timeout, the time that an operator grants C4 is used up.
    return not is_about_tls and not any(isinstance(one, (Timeout, TimeoutError)) for one in found)


def _read(response: Response, retry_at: datetime | None) -> HttpResponse:
    try:
        # In pieces: for as much as the other side says that it sends, room would be made at once.
        body = b"".join(iter(lambda: response.raw.read(_PIECE, decode_content=False), b""))
    except (HTTPError, OSError, ValueError) as error:
        if any(isinstance(cause, ResponseTooLarge) for cause in causes(error)):
            said = f"answered {response.status_code} with over {MAX_RESPONSE_BYTES} bytes"
            raise NoResponse(said, retry_at) from None
        raise NoResponse(describe_error(error)) from None
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return HttpResponse(
        response.status_code, media_type, body, retry_at, retry_after.read_date(response.headers.get("Date"))
    )
