"""C4's JSON, checked member by member against the contract before anything is believed.

Members that the contract does not name are passed over. Whatever does not have its shape is `Unanswered`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from sslctl.control_plane import Installed, Record, State, Unanswered
from sslctl.net.transport import HttpResponse
from sslctl.rules.model import Source
from sslctl.text import clean

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[a-z][a-z_]{0,63}")
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,40}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_MOST_PORTS = 1000
_HIGHEST_PORT = 65535
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of C4's own (RFC 9457). Both are empty where the answer is none; `detail` is not cleaned yet."""

    code: str = ""
    detail: str = ""


def read_object(answer: HttpResponse) -> dict[str, Any]:
    """Give the JSON object of a successful answer. Raises `Unanswered`."""
    if answer.media_type != "application/json":
        shown = answer.media_type or "no content type"
        if answer.media_type and not _MEDIA_TYPE.fullmatch(answer.media_type):
            shown = "something"
        _refuse(answer, f"with {shown} instead of JSON")
    found = _parse(answer.body)
    if found is None:
        _refuse(answer, "with something that is no JSON object")
    return found


def read_record(answer: HttpResponse, name: str) -> Record:
    """Give the record of `name`. Raises `Unanswered`, also when the record is another domain's."""
    found = read_object(answer)
    if found.get("domain") != name:
        _refuse(answer, "with the record of another domain")
    target = found.get("cname_target")
    if not isinstance(target, str) or not 0 < len(target) <= _LONGEST_NAME or clean(target) != target:
        _refuse(answer, "without a usable cname_target")
    ports = found.get("ports")
    if not isinstance(ports, list) or len(ports) > _MOST_PORTS or not all(map(_is_port, ports)):
        _refuse(answer, "without usable ports")
    if "certificate" not in found:
        _refuse(answer, "without certificate")
    certificate = found["certificate"]
    return Record(
        name=name,
        cname_target=target.rstrip(".").lower(),
        ports=frozenset(ports),
        certificate=None if certificate is None else _read_installed(answer, certificate),
    )


def read_certificate(answer: HttpResponse) -> Installed:
    """Give the certificate that the answer describes. Raises `Unanswered`."""
    return _read_installed(answer, read_object(answer))


def read_problem(answer: HttpResponse) -> Problem:
    """Give code and detail (or title) of an error answer; an empty problem for what is none. Never raises."""
    found = _parse(answer.body) if answer.media_type == "application/problem+json" else None
    if found is None:
        return Problem()
    code = found.get("code")
    said = (found.get(member) for member in ("detail", "title"))
    return Problem(
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        detail=next((text for text in said if isinstance(text, str) and text), ""),
    )


def _read_installed(answer: HttpResponse, found: object) -> Installed:
    if not isinstance(found, dict):
        _refuse(answer, "with a certificate that is no JSON object")
    source, state = found.get("source"), found.get("state")
    if not isinstance(source, str) or source not in set(Source):
        _refuse(answer, "without a usable source of the certificate")
    if not isinstance(state, str) or state not in set(State):
        _refuse(answer, "without a usable state of the certificate")
    fingerprint = found.get("fingerprint_sha256")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        _refuse(answer, "without a usable fingerprint_sha256")
    not_after = _read_date(found.get("not_after"))
    if not_after is None:
        _refuse(answer, "without a usable not_after")
    return Installed(Source(source), fingerprint, not_after, State(state))


def _read_date(text: object) -> datetime | None:
    """Read an RFC 3339 date-time; the offset is part of it, so that the result is aware. Given in UTC."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _HIGHEST_PORT


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    # RecursionError: a megabyte of "[" is a valid beginning.
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(answer: HttpResponse, how: str) -> NoReturn:
    raise Unanswered(f"answered {answer.status} {how}", answer.retry_at)
