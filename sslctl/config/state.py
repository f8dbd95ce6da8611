"""The section `[state]`: where the state is, in a folder of this machine or in PostgreSQL.

The URL is libpq's (https://www.postgresql.org/docs/current/libpq-connect.html, section 34.1.1.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sslctl.config import values as read
from sslctl.config.secret_file import read_secret
from sslctl.errors import ConfigError
from sslctl.text import clean

_URL = re.compile(r"postgres(ql)?://[!-~]*")
_SECRETS = frozenset({"password", "sslpassword"})
_FORM = "must be a URL of PostgreSQL, such as postgresql://sslctl@db.example.net/sslctl"
# Hosts and ports, separated by commas; an IPv6 address is in brackets. A character of a password that is not percent-encoded, such as
# `/` or `@`, makes libpq take a part of it for a host, a port or a database, which messages would then show.
_PLACE = r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._%-]*)(:[0-9]*)?"
_WITHOUT_SECRETS = re.compile(rf"[a-z]+://([^@/]*@)?{_PLACE}(,{_PLACE})*(/[^@?]*)?(\?[^@]*)?", re.IGNORECASE)
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class StateSection:
    """The location of the state. An empty `key_file` means `dir/master.key`.

    Without `url` and `url_file` the database is in `dir`, in SQLite; with one of them it is in PostgreSQL. A process has at most
    `max_connections` to a server at the same time, and for its heartbeat one more.
    """

    dir: Path = Path("/var/lib/sslctl")
    key_file: Path | None = None
    url: str = ""
    url_file: Path | None = None
    max_connections: int = 8

    @property
    def is_on_server(self) -> bool:
        """Whether the database is in PostgreSQL."""
        return bool(self.url or self.url_file)

    @property
    def shown_database(self) -> str:
        """The database as people are shown it, without secrets."""
        if self.url_file:
            return clean(f"the database of {self.url_file}", 4096)
        return clean(self.url or self.database_path, 4096)

    @property
    def shown_place(self) -> str:
        """Where the state is, as people are shown it: the database in PostgreSQL, or the folder."""
        return self.shown_database if self.is_on_server else clean(self.dir, 4096)

    @property
    def master_key_path(self) -> Path:
        """The file with the keys that encrypt the private keys."""
        return self.key_file or self.dir / "master.key"

    @property
    def database_path(self) -> Path:
        """The SQLite database, if it is not on a server."""
        return self.dir / "sslctl.db"

    @property
    def tick_lock_path(self) -> Path:
        """The file that a running tick locks."""
        return self.dir / "tick.lock"

    @property
    def acme_dir(self) -> Path:
        """The folder of certbot's accounts, work files and logs."""
        return self.dir / "acme"

    @property
    def accounts_dir(self) -> Path:
        """The folder of the accounts at CAs."""
        return self.acme_dir / "accounts"


def read_url(value: object) -> str:
    """Read the URL of a database without a password; may be empty. No message quotes it."""
    if value == "":
        return ""
    if not isinstance(value, str) or not _is_url(value):
        raise ValueError(_FORM)
    parts = urlsplit(value)
    if parts.password is not None or any(key in _SECRETS for key, _ in parse_qsl(parts.query)):
        raise ValueError(
            "must contain no password: put it into ~/.pgpass, or the whole URL into the file that state.url_file names"
        )
    return value


def _is_url(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return _URL.fullmatch(text) is not None


READ: dict[str, Callable[[object], object]] = {
    "dir": read.path,
    "key_file": read.optional_path,
    "url": read_url,
    "url_file": read.optional_path,
    "max_connections": read.integer(1, 100),
}
"""The reader of each key."""


def require_one_database(state: StateSection) -> None:
    """Raise `ConfigError` if two databases are named."""
    if state.url and state.url_file:
        raise ConfigError(
            "state.url and state.url_file are both set",
            hint="set one of them; a password belongs into the file",
        )


def find_url(state: StateSection) -> str:
    """Return the URL of the PostgreSQL database, which may contain a password. Raise `ConfigError` if its file cannot be used."""
    if state.url_file is None:
        return state.url
    text = read_secret(state.url_file, "state.url_file", "the URL of the database").strip()
    if not _is_url(text):
        raise ConfigError(f"state.url_file: the content of {clean(state.url_file)} {_FORM}")
    if _WITHOUT_SECRETS.fullmatch(text) is None or _NO_ESCAPE.search(text):
        raise ConfigError(
            f"state.url_file: the parts of the URL in {clean(state.url_file)} cannot be told apart",
            hint="write special characters of the password in percent-encoding, such as %40 for @, %2F for / and %25 for %",
        )
    return text
