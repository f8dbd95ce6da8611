"""The section `[web]`: who reaches the page through a reverse proxy, and what they may do there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sslctl.config import values as read
from sslctl.system.actor import LONGEST_PERSON
from sslctl.text import clean

_NOT_IN_NAMES = frozenset(",()")

EVERYONE = "*"
"""In `viewers`: every person whom the proxy lets in."""
GROUP = "@"
"""What the name of a group begins with in the configuration, so that no person can be called like a group."""

# RFC 9110, section 5.1, without the underscore and what no proxy uses: servers treat "_" as "-", or drop the header.
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
# Headers that browsers, or any proxy, send for another purpose: whoever visits the page could choose a person with them.
_TAKEN = re.compile(
    r"accept.*|authorization|cache-control|connection|content-.*|cookie|date|expect|forwarded|from|host|if-.*|keep-alive|"
    r"origin|pragma|priority|proxy-.*|range|referer|sec-.*|te|trailer|transfer-encoding|upgrade.*|user-agent|via|"
    r"x-csrf-token|x-forwarded-(by|for|host|port|proto)|x-real-ip|x-request-id|x-requested-with",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WebSection:
    """The page behind a reverse proxy (`sslctl serve --socket`). On a loopback address nothing of it counts.

    `public_url` is the address of the page in browsers. `person_header` and `groups_header` are the headers in which the proxy
    names the person and, separated by commas, the groups of that person. `viewers`, `operators` and `keys` are persons, and
    groups with `@` before them; whoever is in `operators` or `keys` is a viewer too. `socket_group` may use the socket.
    """

    public_url: str = ""
    person_header: str = ""
    groups_header: str = ""
    viewers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    socket_group: str = ""


def is_name(text: str) -> bool:
    """Return whether `text` can be the name of a person or a group: one line of printable characters without commas and brackets.

    Servers join a header that was sent twice with a comma. The history puts into brackets how a person acted.
    """
    is_text = bool(text) and len(text) <= LONGEST_PERSON and clean(text) == text
    return is_text and _NOT_IN_NAMES.isdisjoint(text)


def _public_url(value: object) -> str:
    """Read the URL of the page; may be empty."""
    text = read.base_url(value)
    if urlsplit(text).path.strip("/"):
        raise ValueError("must have no path: the page needs a host name, or a port, of its own")
    return text.rstrip("/")


def _header(value: object) -> str:
    """Read the name of a header; may be empty."""
    if value == "":
        return ""
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise ValueError("must be the name of a header: letters, digits and '-'")
    if _TAKEN.fullmatch(value):
        raise ValueError(
            "must be a header that only the proxy sends, such as X-Person; browsers and proxies use this one"
        )
    return value


def _member(value: object) -> str:
    """Read the name of a person, or of a group with `@` before it."""
    text = value if isinstance(value, str) else ""
    if text == EVERYONE or not is_name(text.removeprefix(GROUP)):
        raise ValueError(
            f"must be names of persons, or of groups with {GROUP} before them; no name has a comma or brackets"
        )
    return text


def _viewer(value: object) -> str:
    """Read what `_member` reads, or `*`."""
    return EVERYONE if value == EVERYONE else _member(value)


READ: Mapping[str, Callable[[object], object]] = {
    "public_url": _public_url,
    "person_header": _header,
    "groups_header": _header,
    "viewers": read.many(_viewer),
    "operators": read.many(_member),
    "keys": read.many(_member),
    "socket_group": read.token,
}
"""The reader of each key."""
