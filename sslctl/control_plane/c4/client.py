"""The client of C4: a `ControlPlane` that speaks the contract `openapi.yaml`.

What a response of C4 becomes (`C4Client._error` for all calls, `C4Client._upload_error` for `PUT`):

| status | `code` | result |
|---|---|---|
| 200, 202, 204 as in the contract | | the method's return value |
| 401, 403 | any | `Unauthorized` |
| 404 | `unknown_domain` | `UnknownDomain` |
| 404 | `no_certificate` | None from `certificate`, False from `remove`; else `Unanswered` |
| 404 | anything else | `Unanswered`: the address may be wrong |
| 404, 405, 501 to the first page of the inventory | any | `NoInventory` |
| 409 to `PUT` | `text_certificate_present` | `TextCertificatePresent` |
| 412 to `PUT` or `DELETE` with a precondition | any | `Changed` |
| 408, 425, 429 | any | `Unanswered`, with `Retry-After` |
| any other 4xx to `PUT` | any | `Rejected` |
| any other status | any | `Unanswered` |
| a body that breaks the contract (`shapes`) | | `Unanswered` |
| no or no complete response (`net.transport`) | | `Unanswered` |

`code` counts only in `application/problem+json`, so that an error page of a proxy never decides about a domain.
`net.transport` sends 429, 502, 503 and 504 again, at most three attempts in all, before this table applies.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from sslctl.config.secret_file import read_secret, require_trusted
from sslctl.control_plane import (
    NOTHING,
    Changed,
    ControlPlaneError,
    Installed,
    NoInventory,
    Record,
    Rejected,
    State,
    TextCertificatePresent,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.control_plane.c4.shapes import (
    read_certificate,
    read_object,
    read_page,
    read_problem,
    read_record,
)
from sslctl.errors import ConfigError
from sslctl.rules.model import Bundle, Source
from sslctl.system.files import read_regular
from sslctl.text import clean, decode_text

# requests and x509 are slow to import. A tick with nothing to do checks the configuration, and asks C4 nothing.
if TYPE_CHECKING:
    import ssl

    from sslctl.net.transport import Clock, HttpResponse, Transport

# The first bytes of the byte order marks of UTF-8 and UTF-16. No other text in these encodings begins with them.
_MARKS = (b"\xef", b"\xff", b"\xfe")
_TOKEN = re.compile(r"[!-~]{1,4096}")
_MAX_DETAIL_LENGTH = 160
_MAX_BUNDLE_BYTES = 1 << 24
# The inventory: at most five million domains, so that a list without end is an error.
_PAGE_SIZE = 1000
_MAX_PAGES = 5000
_MAX_INVENTORY = timedelta(minutes=15)
_NO_INVENTORY = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
# A server may echo a key or a token in parts or in another encoding. Each is a long run with digits or capitals, as no
# word is. Matched in two steps: a look-ahead at each position would take quadratic time.
_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{16,}")
_NO_WORD = re.compile("[0-9A-Z]")
_REDIRECTS = range(300, 400)
_STATUS_NAMES = {status.value: status.phrase.lower() for status in HTTPStatus}
_REJECTING = frozenset(range(400, 500)) - {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class C4Client:
    """A `ControlPlane` for C4 over HTTPS. Safe for use by many threads.

    `base_url` is the address without `/v1`. `token_file` is read once, in the constructor, which raises `ConfigError` if
    the configuration cannot work. `ca_bundle` is a PEM file that replaces the public CAs. A call takes at most a few times
    `timeout_seconds`. `clock` returns the aware time from which `Retry-After` counts. `sleep` is called before a further attempt.
    """

    def __init__(
        self,
        base_url: str,
        token_file: Path | None,
        ca_bundle: Path | None,
        timeout_seconds: float,
        clock: Clock,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not base_url:
            raise ConfigError("c4.base_url is not set", hint="it is the address of C4, without /v1")
        self._base_url = base_url.rstrip("/")
        is_encrypted = urlsplit(base_url).scheme == "https"
        self._tls = None if ca_bundle is None or not is_encrypted else _trust(ca_bundle)
        self._clock = clock
        self._token = _read_token(token_file)
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep

    @cached_property
    def _transport(self) -> Transport:
        from sslctl.net.transport import Transport  # noqa: PLC0415 - see above

        tls = self._tls
        if tls is None and urlsplit(self._base_url).scheme == "https":
            tls = _trust_public_cas()
        return Transport(
            self._base_url, self._token, tls, self._timeout_seconds, self._clock, sleep=self._sleep
        )

    def domain(self, name: str) -> Record:
        """See `ControlPlane.domain`. Raise `UnknownDomain`, `Unauthorized` or `Unanswered`."""
        response = self._call("GET", self._address(name))
        if response.status == HTTPStatus.OK:
            return read_record(response, name)
        raise self._error(response)

    def inventory(self) -> Iterator[Record]:
        """See `ControlPlane.inventory`. Raise `NoInventory`, `Unauthorized` or `Unanswered`, also after some records.

        `Unanswered` is also raised for a list that is longer than five million domains or takes more than 15 minutes, and
        for a page before the last one that has no domain that is new.
        """
        seen: set[str] = set()
        until = self._clock() + _MAX_INVENTORY
        cursor: str | None = ""
        for page in range(_MAX_PAGES):
            if self._clock() > until:
                raise Unanswered("did not end its list of domains in time")
            response = self._call("GET", f"/v1/domains?limit={_PAGE_SIZE}" + _cursor_query(cursor))
            if response.status in _NO_INVENTORY and not page:
                raise NoInventory(self._describe(response))
            if response.status != HTTPStatus.OK:
                raise self._page_error(response)
            records, cursor = read_page(response, _PAGE_SIZE)
            fresh = {record.name: record for record in records if record.name not in seen}
            seen.update(fresh)
            yield from fresh.values()
            if cursor is None:
                return
            if not fresh:
                raise Unanswered("answered with a page of its list that has no domain that is new")
        raise Unanswered(f"did not end its list of domains after {_MAX_PAGES} pages")

    def upload(self, name: str, bundle: Bundle, source: Source, expected: str | None = None) -> State:
        """See `ControlPlane.upload`. The certificate's fingerprint is the idempotency key.

        Raise `UnknownDomain`, `Rejected`, `TextCertificatePresent`, `Changed`, `Unauthorized` or `Unanswered`. After
        `Unanswered`, C4 may or may not have the certificate.
        """
        from cryptography import x509  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise

        leaf = x509.load_pem_x509_certificate(bundle.certificate.encode())
        fingerprint = leaf.fingerprint(SHA256()).hex()
        response = self._call(
            "PUT",
            self._address(name) + "/certificate",
            headers={"Idempotency-Key": fingerprint, **_precondition(expected)},
            document={
                "source": source.value,
                "certificate": bundle.certificate,
                "chain": bundle.chain,
                "private_key": bundle.private_key,
                "fingerprint_sha256": fingerprint,
            },
        )
        if response.status == HTTPStatus.PRECONDITION_FAILED and expected is not None:
            raise Changed(self._describe(response, *_lines(bundle.private_key)))
        if response.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise self._upload_error(response, bundle.private_key)
        installed = read_certificate(response)
        if installed.fingerprint != fingerprint:
            raise Unanswered(f"answered {response.status} for another certificate than the one that was sent")
        return installed.state

    def certificate(self, name: str) -> Installed | None:
        """See `ControlPlane.certificate`. Raise `UnknownDomain`, `Unauthorized` or `Unanswered`."""
        response = self._call("GET", self._address(name) + "/certificate")
        if response.status == HTTPStatus.OK:
            return read_certificate(response)
        if _has_none(response):
            return None
        raise self._error(response)

    def remove(self, name: str, expected: str | None = None) -> bool:
        """See `ControlPlane.remove`.

        Also return False if this call removed the certificate, but the response was lost and the request sent again.
        Raise `UnknownDomain`, `Changed`, `Unauthorized` or `Unanswered`.
        """
        response = self._call("DELETE", self._address(name) + "/certificate", headers=_precondition(expected))
        if response.status == HTTPStatus.PRECONDITION_FAILED and expected is not None:
            raise Changed(self._describe(response))
        if response.status == HTTPStatus.NO_CONTENT:
            return True
        if _has_none(response):
            return False
        raise self._error(response)

    def health(self) -> datetime | None:
        """See `ControlPlane.health`. Raise `Unauthorized` or `Unanswered`."""
        response = self._call("GET", "/v1/health")
        if response.status != HTTPStatus.OK:
            raise self._error(response)
        if read_object(response).get("status") != "ok":
            raise Unanswered("answered 200, but its health is not ok")
        return response.date

    def close(self) -> None:
        """Close the connections that are not in use."""
        if "_transport" in self.__dict__:
            self._transport.close()

    def _call(
        self, method: str, path: str, *, document: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        from sslctl.net.transport import NoResponse  # noqa: PLC0415 - see above

        try:
            return self._transport.call(method, path, document=document, headers=headers)
        except NoResponse as error:
            # From None: the cause holds the request, and with it the token and a private key.
            raise Unanswered(str(error), error.retry_at) from None

    def _address(self, name: str) -> str:
        # A dot segment is removed from the path (RFC 3986, section 5.2.4): the request would go to another resource.
        if not name.strip("."):
            raise ValueError("not the name of a domain")
        return f"/v1/domains/{quote(name, safe='')}"

    def _error(self, response: HttpResponse, *secrets: str) -> ControlPlaneError:
        """Return the error for a response to any request, by the table at the top of this module."""
        message = self._describe(response, *secrets)
        if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return Unauthorized(message)
        if response.status == HTTPStatus.NOT_FOUND and read_problem(response).code == "unknown_domain":
            return UnknownDomain(message)
        return Unanswered(message, response.retry_at)

    def _page_error(self, response: HttpResponse) -> ControlPlaneError:
        error = self._error(response)
        # A list is about no single domain.
        return Unanswered(str(error)) if isinstance(error, UnknownDomain) else error

    def _upload_error(self, response: HttpResponse, private_key: str) -> ControlPlaneError:
        """Return the error for a response to `PUT`, which alone can be `Rejected` or `TextCertificatePresent`."""
        error = self._error(response, *_lines(private_key))
        if not isinstance(error, Unanswered) or response.status not in _REJECTING:
            return error
        code = read_problem(response).code
        if response.status == HTTPStatus.CONFLICT and code == "text_certificate_present":
            return TextCertificatePresent(str(error))
        return Rejected(str(error), code)

    def _describe(self, response: HttpResponse, *secrets: str) -> str:
        """Return one line about a response for an operator, without the token and without `secrets`."""
        problem = read_problem(response)
        detail = problem.detail
        for secret in (self._token, *secrets):
            detail = detail.replace(secret, "[hidden]")
        detail = _RUN.sub(lambda run: "[hidden]" if _NO_WORD.search(run[0]) else run[0], detail)
        if response.status in _REDIRECTS:
            detail = "a redirect, which is not followed"
        elif response.status == HTTPStatus.NOT_FOUND and problem.code in {"", "not_found"}:
            detail = "there is no C4 at this address; c4.base_url may be wrong"
        words = [f"answered {response.status}", problem.code]
        detail = clean(detail, _MAX_DETAIL_LENGTH).rstrip(".")
        # Many servers only repeat the name of the status or the code here.
        if detail.lower() not in (problem.code, _STATUS_NAMES.get(response.status, "")):
            words.append(detail)
        return ": ".join(filter(None, words))


def _precondition(expected: str | None) -> dict[str, str]:
    """Return the header that makes a request conditional (RFC 9110, section 13.1)."""
    if expected is None:
        return {}
    return {"If-None-Match": "*"} if expected == NOTHING else {"If-Match": f'"{expected}"'}


def _cursor_query(cursor: str | None) -> str:
    return f"&cursor={quote(cursor, safe='')}" if cursor else ""


def _lines(private_key: str) -> list[str]:
    """Return the secret lines of a PEM key, so that each can be removed from a message."""
    return [line for line in private_key.split("\n") if line and not line.startswith("-----")]


def _has_none(response: HttpResponse) -> bool:
    return response.status == HTTPStatus.NOT_FOUND and read_problem(response).code == "no_certificate"


def _read_token(path: Path | None) -> str:
    """Return the token: one line of printable ASCII in a file that others cannot read. Raise `ConfigError`."""
    if path is None:
        raise ConfigError(
            "c4.token_file is not set", hint="it names a file that holds C4's token and nothing else"
        )
    text = read_secret(path, "c4.token_file", "C4's token")
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"c4.token_file: {clean(path)} does not hold one line of printable ASCII")
    return token


def _tls_context() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - see above

    # Not `create_default_context`: it writes the keys of every connection to the file that SSLKEYLOGFILE names.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _trust_public_cas() -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs of certifi."""
    import certifi  # noqa: PLC0415 - see above

    tls = _tls_context()
    tls.load_verify_locations(certifi.where())
    return tls


def _trust(ca_bundle: Path) -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs in `ca_bundle`. Raise `ConfigError`."""
    tls = _tls_context()
    try:
        content, _ = read_regular(ca_bundle, _MAX_BUNDLE_BYTES)
        if content[:1] in _MARKS:
            # OpenSSL skips a first line that does not begin with dashes, and with it the first certificate.
            tls.load_verify_locations(cadata=decode_text(content))
        else:
            tls.load_verify_locations(ca_bundle)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"c4.ca_bundle: {clean(ca_bundle)} is not a readable PEM file with certificates"
        ) from error
    require_trusted(ca_bundle, "c4.ca_bundle")
    if not tls.cert_store_stats()["x509"]:
        raise ConfigError(f"c4.ca_bundle: {clean(ca_bundle)} holds no certificate")
    return tls
