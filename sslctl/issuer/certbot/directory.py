"""The CA's directory (RFC 8555, section 7.1.1): whether it is up, and where certbot keeps our account at this CA."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sslctl.config.acme import AcmeSection
from sslctl.issuer import IssueError
from sslctl.net import retry_after
from sslctl.rules.account_key import thumbprint_of
from sslctl.rules.reasons import Code
from sslctl.text import clean

ACCOUNTS = "accounts"
_FORMER = "former-accounts"
_KEY = "private_key.json"
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class CaAnswer:
    """The CA's directory, and the CA's clock (aware), None if it sends none."""

    directory: dict[str, Any]
    at: datetime | None


def ask(acme: AcmeSection, seconds: float) -> CaAnswer:
    """Return what the CA answers to a request for its directory.

    `seconds` bounds each wait. Raise `IssueError` if there is no directory.
    """
    import requests  # noqa: PLC0415 - slow to import, and each tick looks for the account

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
        known = (
            (requests.exceptions.SSLError, "its certificate is not trusted"),
            (requests.exceptions.Timeout, "no response in time"),
            (requests.exceptions.ConnectionError, "no connection"),
        )
        texts = (text for kind, text in known if isinstance(error, kind))
        raise IssueError(Code.CA_UNAVAILABLE, next(texts, type(error).__name__)) from error
    found = _read(body)
    if response.status_code != HTTPStatus.OK or found is None:
        text = f"it answered {response.status_code}, and not with a directory"
        raise IssueError(Code.CA_UNAVAILABLE, text)
    return CaAnswer(found, date)


def _read(body: bytes) -> dict[str, Any] | None:
    """Return the directory in `body`, None if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "newOrder" in found else None


def find_missing_profile(content: Mapping[str, Any], profile: str) -> str:
    """Return why the CA with the directory `content` cannot issue with `profile`, or "".

    An empty `profile` is the CA's default. A CA lists its profiles in `meta.profiles`, an object with a description of each
    (draft-ietf-acme-profiles, section 3).
    """
    meta = content.get("meta")
    listed = meta.get("profiles") if isinstance(meta, dict) else None
    if not profile or (isinstance(listed, dict) and profile in listed):
        return ""
    if not isinstance(listed, dict) or not listed:
        return f'the profile is "{clean(profile, 60)}", and the CA offers no profiles'
    return clean(
        f'the profile is "{clean(profile, 60)}", which the CA does not offer; it lists {", ".join(sorted(listed))}'
    )


def caa_identities(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that the CA looks for in CAA records (RFC 8555, section 7.1.1, `caaIdentities`); empty if it lists none."""
    meta = content.get("meta")
    listed = meta.get("caaIdentities") if isinstance(meta, dict) else None
    return tuple(each.lower() for each in listed if isinstance(each, str)) if isinstance(listed, list) else ()


def needs_external_account(content: Mapping[str, Any]) -> bool:
    """Return whether a new account needs credentials of the CA (RFC 8555, section 7.3.4)."""
    meta = content.get("meta")
    return isinstance(meta, dict) and meta.get("externalAccountRequired") is True


def find_account(folder: Path, directory_url: str, thumbprint: str | None = None) -> Path | None:
    """Return the folder of certbot's account at this CA, below the issuer's `folder`; None if there is no account.

    With a `thumbprint` it is the account with that key. certbot writes the registration last. One that cannot be read was cut off
    when its process was killed: it is no account.
    """
    accounts = _read_accounts(folder, directory_url)
    return min(
        (each for each in accounts if thumbprint is None or _has_key(each, thumbprint)),
        default=None,
    )


def read_account_key(folder: Path, directory_url: str) -> str | None:
    """Return the key of certbot's account at this CA, a JSON Web Key; None if there is no account, or no key of it that can be read."""
    account = find_account(folder, directory_url)
    try:
        key = None if account is None else (account / _KEY).read_text()
        return key if key and thumbprint_of(key) else None
    except (OSError, ValueError):
        return None


def set_other_accounts_aside(folder: Path, directory_url: str, thumbprint: str) -> None:
    """Move the accounts at this CA with another key than that of `thumbprint` out of certbot's folder. Raise `OSError`.

    Call it only while no other process registers.
    """
    for account in _read_accounts(folder, directory_url):
        if not _has_key(account, thumbprint):
            aside = folder / _FORMER
            aside.mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(aside / account.name, ignore_errors=True)
            account.rename(aside / account.name)


def _has_key(account: Path, thumbprint: str) -> bool:
    try:
        return thumbprint_of((account / _KEY).read_text()) == thumbprint
    except (OSError, ValueError):
        return False


def remove_cut_off_registrations(folder: Path, directory_url: str) -> None:
    """Remove registrations that cannot be read, which would end every later run of certbot. The keys stay.

    Call it only while no other process registers.
    """
    for path in _registrations(folder, directory_url):
        if _read_registration(path) is None:
            path.unlink(missing_ok=True)


def _read_accounts(folder: Path, directory_url: str) -> dict[Path, dict[str, Any]]:
    """Return the folder of each account at this CA with its registration."""
    found = ((path.parent, _read_registration(path)) for path in _registrations(folder, directory_url))
    return {account: content for account, content in found if content is not None}


def _registrations(folder: Path, directory_url: str) -> list[Path]:
    return list(accounts_at(folder, directory_url).glob("*/regr.json"))


def accounts_at(folder: Path, directory_url: str) -> Path:
    """Return the folder in which certbot keeps its accounts at this CA, below the issuer's `folder`."""
    return folder / ACCOUNTS / directory_url.partition("://")[2]


def _read_registration(path: Path) -> dict[str, Any] | None:
    """Return the registration in the file `path`, None if it cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def find_account_url(folder: Path, directory_url: str) -> str:
    """Return the URL of our account at this CA (RFC 8555 section 7.3), as certbot stored it; empty if it cannot be read."""
    accounts = _read_accounts(folder, directory_url)
    url = accounts[min(accounts)].get("uri") if accounts else ""
    return url if isinstance(url, str) else ""
