"""What the CA's problem with an HTTP challenge means: a pure function of the name, and the problem's type and text.

The type `connection` says little: a port that is closed, a redirect to a host that does not exist and a reset by a firewall
all have it. So the text counts as well. Boulder (`va/va.go`, `detailedError`; `va/http.go`) writes
`ADDRESS: Fetching URL: CAUSE`, with the URL of the hop that failed, and `During secondary validation: ` before it if only its
other points of view failed. Pebble writes Go's `Get "URL": CAUSE`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sslctl.rules.reasons import Code

BY_TYPE = {
    "rateLimited": Code.CA_RATE_LIMITED,
    "serverInternal": Code.CA_UNAVAILABLE,
    "caa": Code.CAA_FORBIDS,
    "rejectedIdentifier": Code.NAME_REFUSED,
    "unsupportedIdentifier": Code.NAME_REFUSED,
}
_URL = re.compile(r'(?:\bFetching |\bGet "?)(?P<url>https?://[^\s"]{1,2000}?)"?: ', re.IGNORECASE)
_SECONDARY = re.compile(r"\bsecondary (?:[a-z]+ )?validation\b", re.IGNORECASE)
# No connection was made: Boulder's words, then Go's.
_IS_CLOSED = re.compile(
    r"connection refused|timeout during connect|network (?:is )?unreachable|no route to host|host is down|while waiting for connection|dial tcp \S+ i/o timeout",
    re.IGNORECASE,
)
_REDIRECT = re.compile(
    r"redirect loop|too many redirects|redirect target|stopped after \d+ redirects", re.IGNORECASE
)
# `DNS problem: NXDOMAIN looking up A for NAME - …` (Boulder, bdns/problem.go).
_LOOKED_UP = re.compile(r"\blooking up [A-Z]+ for (?P<name>[^\s;,]{1,255})")

# The resolver's extended error (RFC 8914), as in `looking up A for NAME: DNSSEC: Signature Expired`.
_BOGUS = re.compile(r"\bDNSSEC: ")


def find_code(name: str, typ: str, detail: str) -> Code:
    """Return the reason code of a problem with the challenge of `name`; `typ` is without the ACME prefix."""
    if typ == "dns":
        return _code_of_dns(name, detail)
    if typ == "connection":
        return _code_of_connection(name, detail)
    if typ == "rejectedIdentifier":
        # A CA that does not want the name refuses the order. step-ca means a response with other content.
        return Code.CHALLENGE_FAILED
    return BY_TYPE.get(typ, Code.CHALLENGE_FAILED)


def describe_hop(name: str, detail: str) -> str:
    """Return whose URL the CA could not fetch, in words; empty if it is that of the challenge, or if none is named."""
    url = _find_url(detail)
    if url is None or _is_challenge_url(name, url):
        return ""
    scheme, host = _scheme_and_host(url)
    if not host:
        return ""
    whose = "the domain itself" if host == name else "another host"
    return f"{name} redirects to {scheme}://{host}, {whose}"


def _code_of_connection(name: str, detail: str) -> Code:
    """Return PORT_80_CLOSED only if nothing accepts a connection at port 80 of `name` itself, wherever it is tried from."""
    url = _find_url(detail)
    is_elsewhere = url is not None and not _is_challenge_url(name, url)
    if is_elsewhere or _SECONDARY.search(detail) or _REDIRECT.search(detail):
        return Code.CHALLENGE_FAILED
    return Code.PORT_80_CLOSED if _IS_CLOSED.search(detail) else Code.CHALLENGE_FAILED


def _code_of_dns(name: str, detail: str) -> Code:
    looked_up, url = _LOOKED_UP.search(detail), _find_url(detail)
    asked = looked_up["name"].rstrip(".:").lower() if looked_up else name
    if url is not None and not _is_challenge_url(name, url):
        return Code.CHALLENGE_FAILED
    if asked != name and not name.endswith(f".{asked}"):
        # CAA is looked up at the parents too (RFC 8659, section 3); any other name is that of a redirect.
        return Code.CHALLENGE_FAILED
    if "NXDOMAIN" in detail and not _SECONDARY.search(detail):
        return Code.NXDOMAIN
    if _BOGUS.search(detail) and not _SECONDARY.search(detail):
        return Code.DNSSEC_BOGUS
    return Code.DNS_UNANSWERED


def _find_url(detail: str) -> str | None:
    """Return the URL of the last hop that the text names."""
    found = list(_URL.finditer(detail))
    return found[-1]["url"] if found else None


def _is_challenge_url(name: str, url: str) -> bool:
    """Return whether `url` is at the plain HTTP port of `name`. Pebble's own port may be another one than 80."""
    return _scheme_and_host(url) == ("http", name)


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Return both in lower case; the host is empty if there is none that can be read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""
