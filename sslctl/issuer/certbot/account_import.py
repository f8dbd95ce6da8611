"""Take over certbot's account at the CA: its key, and the URL that the CA gave it.

certbot keeps it in `accounts/SERVER/PATH/ID/` as three files of JSON, in its own configuration folder and in ours alike.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sslctl.errors import BadInput, StateError
from sslctl.issuer.certbot.directory import ACCOUNTS, accounts_at, find_account
from sslctl.issuer.certbot.lineages import RenewalSettings, opened_root, unreadable
from sslctl.rules.account_key import thumbprint_of
from sslctl.system import below
from sslctl.system.files import replacing
from sslctl.text import clean

_LARGEST = 64 * 1024
# In the order in which certbot writes them: without the last one there is no account.
_FILES = ("meta.json", "private_key.json", "regr.json")
# A digest of the key. It becomes an argument of certbot, which takes one that begins with `-` for an option.
_ID = re.compile(r"[0-9a-f]{1,128}", re.ASCII)
_URL = re.compile(r"https?://[!-~]{1,2000}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Account:
    """An account that can be taken over. `others` are the ids of the other accounts at this CA. No repr shows the key."""

    id: str
    url: str
    others: tuple[str, ...]
    files: dict[str, bytes] = field(repr=False)


def choose(folder: Path, directory_url: str, settings: Counter[RenewalSettings]) -> Account:
    """Return the account at this CA in certbot's `folder`: of several, the one that most lineages name in their `settings`.

    Raise `BadInput` if there is none, or if it is not clear which one to take.
    """
    server = directory_url.partition("://")[2].strip("/")
    found = dict(_read_all(folder, server))
    if not found:
        raise BadInput(
            f"{clean(folder)} has no account at {clean(directory_url)}",
            hint="leave --account out: the first order registers a new account",
        )
    named = Counter(
        {
            each.account: number
            for each, number in settings.items()
            if each.server == directory_url and each.account in found
        }
    )
    if len(found) > 1 and not named:
        listed = clean(", ".join(sorted(found)), 200)
        raise BadInput(
            f"{clean(folder)} has several accounts at this CA, and no lineage names one of them: {listed}",
            hint="remove those that are not to be used from a copy of the folder, and import that",
        )
    chosen = named.most_common(1)[0][0] if named else next(iter(found))
    files = found[chosen]
    others = tuple(sorted(each for each in found if each != chosen))
    return Account(chosen, clean(json.loads(files["regr.json"])["uri"]), others, files)


def require_none(acme_folder: Path, directory_url: str) -> None:
    """Raise `BadInput` if sslctl has an account at this CA already."""
    if find_account(acme_folder, directory_url) is not None:
        raise BadInput(
            "sslctl has an account at this CA already, and it stays; nothing was imported",
            hint="leave --account out",
        )


def take_over(account: Account, acme_folder: Path, directory_url: str) -> None:
    """Store `account` as ours. Raise `BadInput` if we have one already, and `StateError` if it cannot be stored."""
    require_none(acme_folder, directory_url)
    folder = accounts_at(acme_folder, directory_url) / account.id
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _FILES:
            with replacing(folder / name) as file:
                file.write(account.files[name])
    except OSError as error:
        raise StateError(
            f"the account cannot be stored in {clean(folder)}, and nothing was imported: {clean(error.strerror).lower()}",
            hint="make the folder writable, or free some space, and import again",
        ) from error


def _read_all(folder: Path, server: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield each usable account at `server` with its files, by id."""
    with opened_root(folder) as root:
        try:
            with below.opened(root, *_parts_of(root, server)) as accounts:
                with os.scandir(accounts) as entries:
                    ids = sorted(entry.name for entry in entries)
                for name in ids:
                    if not _ID.fullmatch(name):
                        continue
                    with suppress(OSError, ValueError, RecursionError), below.opened(accounts, name) as one:
                        yield name, _read(one)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unreadable(folder / ACCOUNTS / server, error) from error


def _parts_of(root: int, server: str) -> list[str]:
    """Return the path of the accounts at `server` below certbot's folder.

    Of Let's Encrypt it can be a symbolic link to the folder of the older version of its API, which had the same accounts.
    """
    parts = [ACCOUNTS, *server.split("/")]
    with below.opened(root, *parts[:-1]) as folder:
        target = PurePosixPath(below.read_link(folder, parts[-1]))
    last = list(target.parts[-len(parts) :])
    is_sibling = len(last) == len(parts) and last[0] == ACCOUNTS and ".." not in last
    return last if is_sibling else parts


def _read(folder: int) -> dict[str, bytes]:
    """Return the files of an account. Raise `OSError`, or `ValueError` if they are none of an account."""
    files = {name: below.read(folder, name, _LARGEST) for name in _FILES}
    registration = json.loads(files["regr.json"])
    url = registration.get("uri") if isinstance(registration, dict) else None
    # With another key, or another URL, every order would fail until somebody removes the account.
    thumbprint_of(files["private_key.json"].decode())
    if (
        not isinstance(json.loads(files["meta.json"]), dict)
        or not isinstance(url, str)
        or not _URL.fullmatch(url)
    ):
        raise ValueError("the files are not those of an account")
    return files
