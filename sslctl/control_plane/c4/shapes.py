"""C4's JSON, checked member by member against the contract before it is used.

Members that the contract does not name are ignored. A body that breaks the contract raises `Unanswered`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from sslctl.control_plane import Installed, Record, State, Unanswered
from sslctl.rules.model import Source
from sslctl.rules.remarks import LONGEST_CUSTOMER
from sslctl.text import clean

if TYPE_CHECKING:
    from sslctl.net.transport import HttpResponse

_NAME = re.compile(
    r"(?=.{3,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_CURSOR = re.compile(r"[!-~]{1,1024}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[a-z][a-z_]{0,63}")
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,40}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_MAX_PORTS = 1000
_MAX_PORT = 65535
_MAX_NAME_LENGTH = 253


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of C4 (RFC 9457). Both are empty if the response is not one; `detail` is not cleaned yet."""

    code: str = ""
    detail: str = ""


def read_object(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object of a successful response. Raise `Unanswered` if there is none."""
    if response.media_type != "application/json":
        shown = response.media_type or "no content type"
        if response.media_type and not _MEDIA_TYPE.fullmatch(response.media_type):
            shown = "something"
        _raise_unanswered(response, f"with {shown} instead of JSON")
    found = _parse(response.body)
    if found is None:
        _raise_unanswered(response, "with something that is not a JSON object")
    return found


def read_record(response: HttpResponse, name: str) -> Record:
    """Return the record of the domain `name`. Raise `Unanswered`, also if the record is another domain's."""
    found = read_object(response)
    if found.get("domain") != name:
        _raise_unanswered(response, "with the record of another domain")
    return _read_record(response, found, name)


def read_page(response: HttpResponse, limit: int) -> tuple[list[Record], str | None]:
    """Return the records of a page of the inventory, and the cursor of the next page, None after the last one.

    Leave out items that break the contract. Raise `Unanswered` if the page itself breaks it, or has over `limit` items.
    """
    found = read_object(response)
    items = found.get("domains")
    if not isinstance(items, list) or len(items) > limit:
        _raise_unanswered(response, "without usable domains")
    cursor = found.get("next", "")
    if cursor is not None and not (isinstance(cursor, str) and _CURSOR.fullmatch(cursor)):
        _raise_unanswered(response, "without a usable next")
    records = []
    for item in items:
        name = item.get("domain") if isinstance(item, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name):
            with suppress(Unanswered):
                records.append(_read_record(response, item, name))
    return records, cursor


def _read_record(response: HttpResponse, found: dict[str, Any], name: str) -> Record:
    target = found.get("cname_target")
    if not isinstance(target, str) or not 0 < len(target) <= _MAX_NAME_LENGTH or clean(target) != target:
        _raise_unanswered(response, "without a usable cname_target")
    ports = found.get("ports")
    if not isinstance(ports, list) or len(ports) > _MAX_PORTS or not all(map(_is_port, ports)):
        _raise_unanswered(response, "without usable ports")
    if "certificate" not in found:
        _raise_unanswered(response, "without certificate")
    certificate = found["certificate"]
    return Record(
        name=name,
        cname_target=target.rstrip(".").lower(),
        ports=frozenset(ports),
        certificate=None if certificate is None else _read_installed(response, certificate),
        customer=_read_customer(found.get("customer")),
    )


def _read_customer(value: object) -> str:
    """Return the customer; empty if `value` is no usable one: only notices depend on it, so the rest of the record counts."""
    is_usable = isinstance(value, str) and len(value) <= LONGEST_CUSTOMER and clean(value) == value
    return str(value) if is_usable else ""


def read_certificate(response: HttpResponse) -> Installed:
    """Return the certificate that the response describes. Raise `Unanswered` if it breaks the contract."""
    return _read_installed(response, read_object(response))


def read_problem(response: HttpResponse) -> Problem:
    """Return code and detail (or title) of an error response; an empty `Problem` if it is none. Never raise."""
    found = _parse(response.body) if response.media_type == "application/problem+json" else None
    if found is None:
        return Problem()
    code = found.get("code")
    texts = (found.get(member) for member in ("detail", "title"))
    return Problem(
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        detail=next((text for text in texts if isinstance(text, str) and text), ""),
    )


def _read_installed(response: HttpResponse, found: object) -> Installed:
    if not isinstance(found, dict):
        _raise_unanswered(response, "with a certificate that is not a JSON object")
    source, state = found.get("source"), found.get("state")
    if not isinstance(source, str) or source not in set(Source):
        _raise_unanswered(response, "without a usable source of the certificate")
    if not isinstance(state, str) or state not in set(State):
        _raise_unanswered(response, "without a usable state of the certificate")
    fingerprint = found.get("fingerprint_sha256")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        _raise_unanswered(response, "without a usable fingerprint_sha256")
    not_after = _read_date(found.get("not_after"))
    if not_after is None:
        _raise_unanswered(response, "without a usable not_after")
    return Installed(Source(source), fingerprint, not_after, State(state))


def _read_date(text: object) -> datetime | None:
    """Return an RFC 3339 date-time in UTC, None if `text` is none. An offset is required."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_PORT


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    # RecursionError: deeply nested JSON.
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _raise_unanswered(response: HttpResponse, how: str) -> NoReturn:
    raise Unanswered(f"answered {response.status} {how}", response.retry_at)
