"""What the CA suggests of when to renew (ARI, RFC 9773, section 4): how many are asked for, and how an answer is read."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import requests

from sslctl.issuer import RenewalWindow, RenewalWindows
from sslctl.net import retry_after
from sslctl.text import clean

# Each keeps its connection, and most of a question's time is the way to the CA and back.
_CONNECTIONS = 8
_LONGEST_TEXT = 100
_LONGEST_URL = 500
_URL = re.compile(r"(?i:https?)://[!-~]+")
# The trouble is the CA's, or a gateway's before it: the next question would meet it too.
_OVERLOADED = (429, 502, 503, 504)

Get = Callable[[str], requests.Response]


def ask(url: str, ids: Sequence[str], seconds: float, connect: Callable[[], Get]) -> dict[str, Any]:
    """Ask the CA's resource `url` for each of `ids`, for at most `seconds` and the answers that are waited for then.

    `connect` gives how one connection asks for a URL. Gives the `answers` by id, None for one that says nothing; ids
    that were not asked about are missing. Where the CA is in trouble all stop, and `trouble` says what it was, with the
    CA's `retry_after`.
    """
    left, answers, troubles = deque(ids), dict[str, Any](), list[dict[str, str]]()
    end = time.monotonic() + seconds

    def ask_some() -> None:
        get = connect()
        while not troubles and time.monotonic() < end:
            try:
                id_ = left.popleft()
            except IndexError:
                return
            answers[id_] = None
            try:
                response = get(f"{url.rstrip('/')}/{id_}")
            except (requests.RequestException, ValueError) as error:
                troubles.append({"detail": type(error).__name__, "retry_after": ""})
                return
            if response.status_code in _OVERLOADED:
                troubles.append(
                    {"detail": f"HTTP status {response.status_code}", "retry_after": _wish(response)}
                )
            elif response.status_code == requests.codes.ok:
                answers[id_] = _raw(response)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for asked in [pool.submit(ask_some) for _ in range(_CONNECTIONS)]:
            asked.result()
    return {"answers": answers, "trouble": troubles[0] if troubles else None}


def _wish(response: requests.Response) -> str:
    return response.headers.get("Retry-After", "")[:_LONGEST_TEXT]


def _raw(response: requests.Response) -> dict[str, str] | None:
    """Give the parts of an answer that count, as text, however it came."""
    try:
        body = response.json()
    except ValueError:
        return None
    window = body.get("suggestedWindow") if isinstance(body, dict) else None
    if not isinstance(window, dict):
        return None
    start, end = (str(window.get(key))[:_LONGEST_TEXT] for key in ("start", "end"))
    url = str(body.get("explanationURL", ""))[: _LONGEST_URL + 1]
    return {"start": start, "end": end, "explanation_url": url, "retry_after": _wish(response)}


def read(result: dict[str, Any], now: datetime) -> RenewalWindows | None:
    """Give what the child's `result`, with the answers to `ask`, says at `now`; None where the CA has no ARI."""
    if result["answers"] is None:
        return None
    trouble = result["trouble"] or {"detail": "", "retry_after": ""}
    return RenewalWindows(
        {id_: raw and _suggestion(raw, now) for id_, raw in result["answers"].items()},
        clean(trouble["detail"]),
        retry_after.read(trouble["retry_after"], now),
    )


def _suggestion(raw: dict[str, str], now: datetime) -> RenewalWindow | None:
    start_at, end_at = _time(raw["start"]), _time(raw["end"])
    # RFC 9773, section 4.2: such a window is as good as no answer.
    if start_at is None or end_at is None or end_at <= start_at:
        return None
    wish = retry_after.read(raw["retry_after"], now)
    return RenewalWindow(start_at, end_at, _url(raw["explanation_url"]), wish)


def _time(text: str) -> datetime | None:
    """Give a time of the CA's (RFC 3339) in UTC, to the second."""
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


def _url(text: str) -> str:
    """Give an address that may be shown, and opened by whoever reads it; empty where it may not."""
    return text if _URL.fullmatch(text) and len(text) <= _LONGEST_URL else ""
