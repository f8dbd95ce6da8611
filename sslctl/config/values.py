"""Readers for the values of the configuration.

A reader takes a TOML value (or the result of `from_text` for an environment variable) and returns the checked value. It
raises `ValueError` with the end of a sentence that begins with the key: "must be …". No message repeats a path or a URL,
because people paste secrets there by mistake.
"""

# ruff: noqa: TRY004 - one kind of error, whether the type is wrong or the value
from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from sslctl.rules.limits import limit_of
from sslctl.text import clean

_T = TypeVar("_T")

_HIGHEST_PORT = 65535
_DNS_PORT = 53
_LONGEST_SECONDS = 86_400
_LONGEST_DAYS = 365
_LONGEST_HOURS = 24 * 365
_LONGEST_NAME = 253

# RFC 3986, section 2. Parsers differ about backslashes and spaces.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_NOTIFY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,29}://[!-~]+")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"({_LABEL}\.)+{_LABEL}")
_EMAIL = re.compile(r"(?!-)[^\s@<>,;\"]+@[^\s@<>,;\"]+\.[^\s@<>,;\".]+")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESOLVER = re.compile(r"\[(?P<v6>[^\]]+)\](:(?P<port6>\d{1,5}))?|(?P<v4>[^:]+):(?P<port4>\d{1,5})", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def from_text(text: str, default: object) -> object:
    """Return the value of an environment variable with the type that it would have in TOML, the type of `default`.

    Lists are separated by commas. Text of another form is returned unchanged, and the reader refuses it.
    """
    try:
        if isinstance(default, bool):
            return _BOOLEANS.get(text.strip().lower(), text)
        if isinstance(default, int | float):
            return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        return text
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def integer(least: int, most: int) -> Callable[[object], int]:
    """Return a reader for an integer from `least` to `most`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be an integer from {least} to {most}")
        return value

    return read


port = integer(1, _HIGHEST_PORT)


def seconds(value: object) -> float:
    """Read a number of seconds, more than 0 and at most a day."""
    return _number(value, _LONGEST_SECONDS, "of seconds")


def seconds_or_none(value: object) -> float:
    """Read a number of seconds, from 0 to a day."""
    return 0.0 if value == 0 and not isinstance(value, bool) else seconds(value)


def days(value: object) -> float:
    """Read a number of days, more than 0 and at most a year."""
    return _number(value, _LONGEST_DAYS, "of days")


def hours(value: object) -> float:
    """Read a number of hours, more than 0 and at most a year."""
    return _number(value, _LONGEST_HOURS, "of hours")


def percent(value: object) -> float:
    """Read a number of percent, from 0 to 100."""
    return _number(value, 100, "of percent", zero=True)


def limit(value: object) -> str:
    """Read a limit of the CA, in the form of `limits.limit_of`; may be empty."""
    text = _text(value).strip()
    try:
        limit_of(text or "none")
    except ValueError:
        raise ValueError("must be like 300/3h (d, h, m or s), none, or empty") from None
    return text


def choice(*words: str) -> Callable[[object], str]:
    """Return a reader for one of `words`."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def many(read_one: Callable[[object], _T]) -> Callable[[object], tuple[_T, ...]]:
    """Return a reader for an array whose elements `read_one` reads."""

    def read(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("must be an array of strings")
        return tuple(map(read_one, value))

    return read


def tables(value: object, keys: Collection[str]) -> list[dict[str, object]]:
    """Read an array of tables that have only `keys`."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("must be an array of tables in the configuration file; no variable can hold it")
    for number, table in enumerate(value, 1):
        unknown = next((key for key in table if key not in keys), None)
        if unknown is not None:
            raise ValueError(f"{number}: {clean(unknown, 60)} is not a key; the keys are {', '.join(keys)}")
    return value


def customer(value: object) -> str:
    """Read the name of a customer as C4 gives it."""
    text = _text(value)
    if not text or clean(text) != text:
        raise ValueError("must be names of customers as the control plane gives them")
    return text


def path(value: object) -> Path:
    """Read a path; `~` is the home folder of the user who runs sslctl. The path need not exist."""
    text = _text(value)
    try:
        found = Path(text if text.isprintable() else "").expanduser()
    except RuntimeError:
        raise ValueError("must be in a home folder that exists") from None
    if not found.is_absolute():
        raise ValueError("must be an absolute path")
    return found


def optional_path(value: object) -> Path | None:
    """Read a path; empty means none."""
    return None if value == "" else path(value)


def directory_url(value: object) -> str:
    """Read the URL of the CA's directory."""
    return _url(value, query=True)


def base_url(value: object) -> str:
    """Read a URL to which paths are added; may be empty."""
    return "" if value == "" else _url(value, query=False)


def notify_url(value: object) -> str:
    """Read a URL of apprise's form. Whether apprise supports it is only known when it sends something."""
    text = _text(value).strip()
    if not _NOTIFY_URL.fullmatch(text):
        raise ValueError("must be a URL of apprise, like mailto://... or slack://...")
    return text


def request_url(value: object) -> str:
    """Read the URL that sslctl requests to report something, such as a successful tick; may be empty."""
    return "" if value == "" else _url(value, query=True)


def email(value: object) -> str:
    """Read one e-mail address; may be empty."""
    text = _text(value)
    if text and not (text.isprintable() and _EMAIL.fullmatch(text)):
        raise ValueError("must be one e-mail address, or empty")
    return text


def token(value: object) -> str:
    """Read a word, such as a profile of the CA or a group of the system; may be empty."""
    text = _text(value)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("must be letters, digits, '.', '_' and '-', or empty")
    return text


def name(value: object) -> str:
    """Read a domain name of two or more labels, in lower case and without a leading or trailing dot."""
    text = _text(value).lower().removeprefix(".").removesuffix(".")
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        raise ValueError(f"must be domain names, not {_shown(value)}")
    return text


def address(value: object) -> str:
    """Read an IP address; may be empty."""
    text = _text(value)
    return str(_ip_address(text)) if text else ""


def network(value: object) -> IPv4Network | IPv6Network:
    """Read a network in CIDR form, or a single address."""
    text = _text(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"must be networks like 192.0.2.0/24 or 2001:db8::/32, not {_shown(text)}") from None


def resolver(value: object) -> tuple[str, int]:
    """Read `address`, `address:port` or `[address]:port` of a DNS server."""
    text = _text(value)
    parts = _RESOLVER.fullmatch(text)
    if parts is None:
        return str(_ip_address(text)), _DNS_PORT
    number = int(parts["port6"] or parts["port4"] or _DNS_PORT)
    if not 0 < number <= _HIGHEST_PORT:
        raise ValueError(f"must have ports from 1 to {_HIGHEST_PORT}")
    return str(_ip_address(parts["v6"] or parts["v4"])), number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _number(value: object, most: float, unit: str, *, zero: bool = False) -> float:
    """Read a number of at most `most`; it must be more than 0, or may be 0 if `zero` is true."""
    least = "from 0 to" if zero else "more than 0 and at most"
    problem = f"must be a number {unit}, {least} {most}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(problem)
    # This form also refuses NaN, for which every comparison is false.
    if not (0 < value <= most or (zero and value == 0)):
        raise ValueError(problem)
    return float(value)


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"must be an IP address, not {_shown(text)}") from None


def _url(value: object, *, query: bool) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        is_url = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not _URL.fullmatch(text):
        raise ValueError("must be a URL like https://name/path")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts)):
        raise ValueError("must begin with https:// (http:// is allowed only for loopback addresses)")
    if parts.fragment or (parts.query and not query):
        raise ValueError("must end with the path")
    return text


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _shown(value: object) -> str:
    return f"“{clean(value, 60)}”"
