"""The CA's directory (RFC 8555, section 7.1.1): whether it is up, and where certbot keeps our account at this CA."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import requests

from sslctl.config.settings import AcmeSection
from sslctl.issuer import IssueError
from sslctl.net import retry_after
from sslctl.rules.reasons import Code

ACCOUNTS = "accounts"
_LARGEST = 1 << 16
_TEXTS = (
    (requests.exceptions.SSLError, "its certificate is not trusted"),
    (requests.exceptions.Timeout, "no response in time"),
    (requests.exceptions.ConnectionError, "no connection"),
)


def ask(acme: AcmeSection, seconds: float) -> datetime | None:
    """Check that the CA responds with its directory; return its clock (aware), None if it sends none.

    `seconds` bounds each wait. Raise `IssueError` if there is no directory.
    """
    try:
        with requests.get(
            acme.directory_url,
            timeout=seconds,
            verify=True if acme.ca_bundle is None else str(acme.ca_bundle),
            stream=True,
            allow_redirects=False,
        ) as response:
            body = response.raw.read(_LARGEST, decode_content=True)
            date = retry_after.read_date(response.headers.get("Date"))
    except (requests.RequestException, OSError, ValueError) as error:
        texts = (text for kind, text in _TEXTS if isinstance(error, kind))
        raise IssueError(Code.CA_UNAVAILABLE, next(texts, type(error).__name__)) from error
    if response.status_code != requests.codes.ok or not _is_directory(body):
        found = f"it answered {response.status_code}, and not with a directory"
        raise IssueError(Code.CA_UNAVAILABLE, found)
    return date


def _is_directory(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "newOrder" in found


def find_account(folder: Path, directory_url: str) -> Path | None:
    """Return the folder of certbot's account at this CA, below the issuer's `folder`; None if there is no account."""
    server = directory_url.partition("://")[2]
    return min((path.parent for path in (folder / ACCOUNTS / server).glob("*/regr.json")), default=None)


def find_account_url(folder: Path, directory_url: str) -> str:
    """Return the URL of our account at this CA (RFC 8555 section 7.3), as certbot stored it; empty if it cannot be read."""
    account = find_account(folder, directory_url)
    if account is None:
        return ""
    try:
        url = json.loads((account / "regr.json").read_text()).get("uri")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return url if isinstance(url, str) else ""
