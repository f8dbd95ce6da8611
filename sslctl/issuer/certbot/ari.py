"""The renewal windows of ARI (RFC 9773, section 4): `ask` queries the CA in a job, `read` parses the job's result."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sslctl.issuer import RenewalWindow, RenewalWindows
from sslctl.net import retry_after
from sslctl.system.threads import map_in_threads
from sslctl.text import clean

if TYPE_CHECKING:
    import requests

    Get = Callable[[str], requests.Response]

# Each thread keeps its connection; most of the time of a query is the round trip.
_CONNECTIONS = 8
_MAX_TEXT_LENGTH = 100
_MAX_URL_LENGTH = 500
_URL = re.compile(r"(?i:https?)://[!-~]+")
# Temporary errors (RFC 9773, section 4.3.3): the CA, or a gateway before it, is overloaded, and the next query would fail too.
_OVERLOADED = (429, 502, 503, 504)


def ask(url: str, ids: Sequence[str], seconds: float, connect: Callable[[], Get]) -> dict[str, Any]:
    """Query the CA's resource `url` for each of `ids`; start no query after `seconds`.

    `connect` returns a function that fetches a URL over one connection. The result is JSON: `answers` by id, None for a
    response without a window. All threads stop at the first temporary error of the CA; `trouble` is then its `detail` and
    the CA's `retry_after`, else None, and `unanswered` has the ids whose query met such an error. Ids that are in neither
    were not queried.
    """
    # Slow to import, and only jobs ask.
    import requests  # noqa: PLC0415

    left, answers, troubles = deque(ids), dict[str, Any](), list[dict[str, str]]()
    unanswered: list[str] = []
    end = time.monotonic() + seconds

    def query_some(_number: int) -> None:
        get = connect()
        while not troubles and time.monotonic() < end:
            try:
                id_ = left.popleft()
            except IndexError:
                return
            try:
                response = get(f"{url.rstrip('/')}/{id_}")
            except (requests.RequestException, ValueError) as error:
                unanswered.append(id_)
                troubles.append({"detail": type(error).__name__, "retry_after": ""})
                return
            if response.status_code in _OVERLOADED:
                unanswered.append(id_)
                troubles.append(
                    {"detail": f"HTTP status {response.status_code}", "retry_after": _retry_after(response)}
                )
            else:
                answers[id_] = _raw(response) if response.status_code == HTTPStatus.OK else None

    deque(map_in_threads(query_some, range(_CONNECTIONS), _CONNECTIONS, "query"), maxlen=0)
    return {"answers": answers, "trouble": troubles[0] if troubles else None, "unanswered": unanswered}


def _retry_after(response: requests.Response) -> str:
    return response.headers.get("Retry-After", "")[:_MAX_TEXT_LENGTH]


def _raw(response: requests.Response) -> dict[str, str] | None:
    """Return the relevant members of a response as text, cut to a length; None if it has no window."""
    try:
        body = response.json()
    except ValueError:
        return None
    window = body.get("suggestedWindow") if isinstance(body, dict) else None
    if not isinstance(window, dict):
        return None
    start, end = (str(window.get(key))[:_MAX_TEXT_LENGTH] for key in ("start", "end"))
    url = str(body.get("explanationURL", ""))[: _MAX_URL_LENGTH + 1]
    return {"start": start, "end": end, "explanation_url": url, "retry_after": _retry_after(response)}


def read(result: dict[str, Any], now: datetime) -> RenewalWindows | None:
    """Return the renewal windows in a job's `result`, which `ask` made; None if the CA has no ARI."""
    if result["answers"] is None:
        return None
    trouble = result["trouble"] or {"detail": "", "retry_after": ""}
    return RenewalWindows(
        {id_: raw and _window(raw, now) for id_, raw in result["answers"].items()},
        clean(trouble["detail"]),
        retry_after.read(trouble["retry_after"], now),
        tuple(result["unanswered"]),
    )


def _window(raw: dict[str, str], now: datetime) -> RenewalWindow | None:
    start_at, end_at = _time(raw["start"]), _time(raw["end"])
    # RFC 9773, section 4.2: ignore a window that ends before it starts.
    if start_at is None or end_at is None or end_at <= start_at:
        return None
    retry_at = retry_after.read(raw["retry_after"], now)
    return RenewalWindow(start_at, end_at, _url(raw["explanation_url"]), retry_at)


def _time(text: str) -> datetime | None:
    """Return an RFC 3339 time in UTC, in whole seconds; None if `text` is none."""
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


def _url(text: str) -> str:
    """Return the URL if it is safe to show and to open, else an empty string."""
    return text if _URL.fullmatch(text) and len(text) <= _MAX_URL_LENGTH else ""
