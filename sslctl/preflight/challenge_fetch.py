"""A token that is fetched through a domain's port 80, as the CA fetches the file of an HTTP-01 challenge.

The rules are those of Let's Encrypt (Boulder, `va/http.go`): IPv6 before IPv4, redirects by 301, 302, 307 and 308 to ports 80
and 443, a response of status 200 with less than 128 bytes, whose white space at the end is ignored (RFC 8555, section 8.3).

A customer's server chooses where a redirect leads (SSRF). So every address is checked before a connection to it, and exactly
the checked address is connected to.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import dns.exception
import dns.name
from dns.rdatatype import AAAA, A

from sslctl.config.settings import CdnSection
from sslctl.net.http_request import (
    BadResponse,
    Connect,
    NoResponse,
    NotConnected,
    Refused,
    Request,
    Response,
    get,
)
from sslctl.preflight.lookup import DnsUnanswered, Resolver
from sslctl.preflight.ports import Address, is_public
from sslctl.text import clean

PATH = "/.well-known/acme-challenge/"

_MAX_REDIRECTS = 10
_CONTENT_BYTES = 128
"""A body of so many bytes is too long."""
_MAX_PATH = 2000
_REDIRECTS = (301, 302, 307, 308)
_SHOWN_OF_BODY = 200
_SHOWN_OF_URL = 160
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")
# RFC 6761, RFC 6762, and the name that ICANN reserved for private use: the public DNS has no such names.
_PRIVATE_NAMES = (".localhost", ".local", ".internal")
_CODE_OR_STYLE = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


class Outcome(Enum):
    """What is known after a fetch. `UNKNOWN` means that the CA may see something else: nothing answered, or nothing was tried."""

    FOUND = auto()
    OTHER = auto()
    REFUSED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a fetch, in cleaned texts.

    `address` is empty if none was connected to, `status` is None if there was no response, `location` is that of a redirect.
    """

    url: str
    address: str = ""
    status: int | None = None
    location: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a fetch. `found` describes its last hop in a cleaned text."""

    outcome: Outcome
    hops: tuple[Hop, ...]
    found: str


class _Ended(Exception):
    """The fetch ended without the token."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.why = why


class ChallengeFetcher:
    """A client that fetches a token as the CA does. Without state, so safe for use by many threads.

    It connects with `connect`.
    """

    def __init__(
        self, cdn: CdnSection, resolver: Resolver, connect: Connect = socket.create_connection
    ) -> None:
        self._cdn = cdn
        self._resolver = resolver
        self._connect = connect

    def fetch(
        self, name: str, addresses: Sequence[Address], token: str, content: str, *, seconds: float
    ) -> Fetched:
        """Fetch the file `token` of `name` (an A-label) at one of `addresses`, and compare it with `content`.

        It takes at most `seconds`, apart from DNS, whose lookups are bounded by themselves.
        """
        fetch = _Fetch(self._cdn, self._resolver, self._connect, content, time.monotonic() + seconds)
        return fetch.run(f"http://{name}{PATH}{token}", addresses)


class _Fetch:
    """One fetch, with the hops so far."""

    def __init__(
        self, cdn: CdnSection, resolver: Resolver, connect: Connect, content: str, until: float
    ) -> None:
        self._cdn = cdn
        self._resolver = resolver
        self._connect = connect
        self._content = content
        self._until = until
        self._hops: list[Hop] = []
        # False once an address could not be reached from here, such as over IPv6: the CA may get another response from it.
        self._is_as_ca = True

    def run(self, url: str, addresses: Sequence[Address]) -> Fetched:
        try:
            self._follow(url, addresses)
        except _Ended as ended:
            is_sure = self._is_as_ca or ended.outcome is Outcome.UNKNOWN
            outcome = ended.outcome if is_sure else Outcome.UNKNOWN
            first, why = self._hops[0].url if self._hops else "", ended.why
            if len(self._hops) > 1 and not why.startswith(first):
                why = f"{first} redirects: {why}"
            return Fetched(outcome, tuple(self._hops), clean(why, 3 * _SHOWN_OF_URL + _SHOWN_OF_BODY))
        return Fetched(Outcome.FOUND, tuple(self._hops), "the token")

    def _follow(self, url: str, addresses: Sequence[Address] | None) -> None:
        """Fetch `url` and follow its redirects. Raise `_Ended` unless they lead to the content."""
        seen = list[str]()
        while True:
            if url in seen:
                raise _Ended(Outcome.OTHER, f"{_shown(seen[-1])} redirects in a loop, to {_shown(url)}")
            if len(seen) > _MAX_REDIRECTS:
                raise _Ended(
                    Outcome.OTHER, f"more than {_MAX_REDIRECTS} redirects, the last to {_shown(url)}"
                )
            seen.append(url)
            self._hops.append(Hop(_shown(url)))
            response = self._request(url, addresses)
            self._amend(status=response.status, location=_shown(response.location or ""))
            if response.status not in _REDIRECTS:
                self._compare(url, response)
                return
            if not response.location:
                raise _Ended(Outcome.OTHER, f"{_shown(url)} answered {response.status} without a location")
            try:
                # Without fragment, as a client sends it (RFC 9110, section 7.1).
                url, addresses = urljoin(url, response.location).partition("#")[0], None
            except ValueError:
                raise self._forbid(response.location, "which is not a URL") from None

    def _compare(self, url: str, response: Response) -> None:
        is_short = len(response.body) < _CONTENT_BYTES
        # As text: the CA ignores all white space of Unicode at the end.
        is_same = is_short and response.body.decode("utf-8", "replace").rstrip() == self._content
        if response.status != HTTPStatus.OK or not is_same:
            text = _to_text(response.body)
            raise _Ended(
                Outcome.OTHER, f"{_shown(url)} answered {response.status}: {text or 'an empty response'}"
            )

    def _request(self, url: str, addresses: Sequence[Address] | None) -> Response:
        parts, port = self._read(url)
        host = (parts.hostname or "").rstrip(".")
        usable = self._find_usable(url, host) if addresses is None else self._require_usable(url, addresses)
        header = f"[{host}]" if ":" in host else host
        if parts.port is not None:
            header += f":{parts.port}"
        path = _quote(parts.path or "/") + (f"?{_quote(parts.query)}" if parts.query else "")
        request = Request(parts.scheme == "https", host, header, port, path)
        return self._request_any(url, request, usable)

    def _request_any(self, url: str, request: Request, addresses: Sequence[Address]) -> Response:
        """Return the response of the first of `addresses` that accepts a connection. Raise `_Ended` if there is none."""
        refused = list[str]()
        for address in addresses:
            at = (
                f"[{address}]:{request.port}"
                if isinstance(address, IPv6Address)
                else f"{address}:{request.port}"
            )
            self._amend(address=str(address))
            try:
                return get(request, address, self._until, self._connect)
            except Refused:
                refused.append(at)
            except NotConnected as error:
                if address == addresses[-1]:
                    raise _Ended(Outcome.UNKNOWN, f"{_shown(url)} at {at}: {error}") from error
                self._is_as_ca = False
            except NoResponse as error:
                raise _Ended(Outcome.UNKNOWN, f"{_shown(url)} at {at}: {error}") from error
            except BadResponse as error:
                raise _Ended(Outcome.OTHER, f"{_shown(url)} at {at}: {error}") from error
        outcome = Outcome.REFUSED if len(self._hops) == 1 else Outcome.OTHER
        raise _Ended(outcome, f"{_shown(url)}: connection refused at {', '.join(refused)}")

    def _read(self, url: str) -> tuple[SplitResult, int]:
        """Return the parts of `url` and its port. Raise `_Ended` if the CA does not go there."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise self._forbid(url, "which is not a URL") from None
        if parts.scheme not in ("http", "https"):
            raise self._forbid(url, "which is neither http nor https")
        ports = (self._cdn.http_port, self._cdn.https_port)
        if port is None:
            port = ports[parts.scheme == "https"]
        if port not in ports:
            raise self._forbid(url, f"where the CA uses only the ports {ports[0]} and {ports[1]}")
        if not host or not (_as_address(host) or _HOST.fullmatch(host)):
            raise self._forbid(url, "which has no valid host name")
        if len(parts.path) > _MAX_PATH:
            raise self._forbid(url, f"whose path is longer than {_MAX_PATH} characters")
        return parts, port

    def _forbid(self, url: str, why: str) -> _Ended:
        """Return the end of a fetch that was redirected to a `url` that the CA does not fetch."""
        before = next((hop.url for hop in reversed(self._hops) if hop.status is not None), "")
        return _Ended(Outcome.OTHER, f"{before} redirects to {_shown(url)}, {why}")

    def _require_usable(self, url: str, addresses: Sequence[Address]) -> Sequence[Address]:
        """Return `addresses` in the order in which they are tried: the first of IPv6, the first of IPv4, then the others.

        Boulder tries only the first two, which may be others for it: DNS changes their order. Raise `_Ended` if one may not
        be connected to, because it does not mean the same host to the CA.
        """
        first = [next((each for each in addresses if each.version == family), None) for family in (6, 4)]
        chosen = [each for each in first if each is not None]
        chosen += [each for each in addresses if each not in chosen]
        if not chosen or not all(map(self._is_allowed, chosen)):
            raise _Ended(Outcome.UNKNOWN, f"{_shown(url)} is at an address that is not public")
        return chosen

    def _find_usable(self, url: str, host: str) -> Sequence[Address]:
        """Return the addresses of the `host` of a redirect. Raise `_Ended` if there is none that may be connected to."""
        literal = _as_address(host)
        if literal is not None:
            if not self._is_allowed(literal):
                raise self._forbid(url, "which is not a public address")
            return [literal]
        is_private = "." not in host or host.endswith(_PRIVATE_NAMES)
        if is_private and not self._cdn.probe_private:
            raise self._forbid(url, "which is not a public name")
        try:
            name = dns.name.from_text(host)
            answers = [self._resolver.look_up(name, kind) for kind in (AAAA, A)]
        except dns.exception.DNSException:
            raise self._forbid(url, "which has no valid host name") from None
        except DnsUnanswered as error:
            raise _Ended(Outcome.UNKNOWN, str(error)) from error
        addresses = [ipaddress.ip_address(each.to_text()) for answer in answers for each in answer.records]
        if not addresses:
            raise self._forbid(url, "which has no address in DNS")
        # Only a first request is repeated over IPv4 (Boulder, `processHTTPValidation`).
        return self._require_usable(url, [each for each in addresses if each.version == 6] or addresses)  # noqa: PLR2004

    def _is_allowed(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            # A network interface of this machine, which the CA refuses too.
            return False
        return self._cdn.probe_private or is_public(address)

    def _amend(self, *, address: str = "", status: int | None = None, location: str = "") -> None:
        """Add to the last hop."""
        last = self._hops[-1]
        self._hops[-1] = replace(
            last, address=address or last.address, status=status, location=location or last.location
        )


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _quote(part: str) -> str:
    """Return a part of a URL for a request line: a hostile Location may contain any byte, line breaks included."""
    return quote(part, safe="/%:=&?~+!$,;'()*@")


def _shown(url: str) -> str:
    return clean(url, _SHOWN_OF_URL)


def _to_text(body: bytes) -> str:
    """Return the first 200 characters of a body for people, without markup."""
    text = body.decode("utf-8", "replace")
    return clean(_TAG.sub(" ", _CODE_OR_STYLE.sub(" ", text)), _SHOWN_OF_BODY)
