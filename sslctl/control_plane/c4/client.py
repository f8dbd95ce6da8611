"""The client of C4: the published contract (`openapi.yaml`) as a `ControlPlane`.

An answer counts for what it says only where it has the form that the contract gives it. A proxy's error page, a
wrong address or half an answer is `Unanswered`: nothing follows from it.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlsplit

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sslctl.config.secret_file import read_secret
from sslctl.control_plane import (
    ControlPlaneError,
    Installed,
    Record,
    Rejected,
    State,
    TextCertificatePresent,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.control_plane.c4.shapes import read_certificate, read_object, read_problem, read_record
from sslctl.errors import ConfigError
from sslctl.net.transport import Clock, HttpResponse, NoResponse, Transport
from sslctl.rules.model import Bundle, Source
from sslctl.system.files import read_regular
from sslctl.text import clean

_TOKEN = re.compile(r"[!-~]{1,4096}")
_LONGEST_DETAIL = 160
_LARGEST_BUNDLE = 1 << 24
# What a server may echo of a key or a token, cut, shifted or encoded anew, is a long run that no word is. Found in two
# steps: to look ahead at each place would take time that grows with the square of the text.
_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{16,}")
_NO_WORD = re.compile("[0-9A-Z]")
_REDIRECTS = range(300, 400)
_ABOUT_THE_UPLOAD = frozenset(range(400, 500)) - {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class C4Client:
    """A `ControlPlane` over HTTPS. Safe for use by many threads.

    `base_url` is what comes before `/v1`. `token_file` is read once, here; so a wrong configuration is known before
    any domain is touched, as `ConfigError`. `ca_bundle` is a PEM file that replaces the public CAs. A call takes a
    few times `timeout_seconds` at the very most. `clock` gives the aware time that `Retry-After` counts from.
    """

    def __init__(
        self,
        base_url: str,
        token_file: Path | None,
        ca_bundle: Path | None,
        timeout_seconds: float,
        clock: Clock,
    ) -> None:
        if not base_url:
            raise ConfigError("c4.base_url is not set", hint="it is the address of C4, without /v1")
        tls = _trust(ca_bundle) if urlsplit(base_url).scheme == "https" else None
        self._token = _read_token(token_file)
        self._transport = Transport(base_url.rstrip("/"), self._token, tls, timeout_seconds, clock)

    def domain(self, name: str) -> Record:
        """Give C4's record of `name`. Raises `UnknownDomain`, `Unauthorized` and `Unanswered`."""
        answer = self._call("GET", self._address(name))
        if answer.status == HTTPStatus.OK:
            return read_record(answer, name)
        raise self._error(answer)

    def upload(self, name: str, bundle: Bundle, source: Source) -> State:
        """Install `bundle` for `name` and say how far C4 is with it; the same upload twice is harmless.

        Raises `UnknownDomain`, `Rejected`, `TextCertificatePresent`, `Unauthorized` and `Unanswered`; after the
        last, C4 may or may not have the certificate.
        """
        leaf = x509.load_pem_x509_certificate(bundle.certificate.encode())
        fingerprint = leaf.fingerprint(SHA256()).hex()
        answer = self._call(
            "PUT",
            self._address(name) + "/certificate",
            headers={"Idempotency-Key": fingerprint},
            document={
                "source": source.value,
                "certificate": bundle.certificate,
                "chain": bundle.chain,
                "private_key": bundle.private_key,
                "fingerprint_sha256": fingerprint,
            },
        )
        if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise self._upload_error(answer, bundle.private_key)
        installed = read_certificate(answer)
        if installed.fingerprint != fingerprint:
            raise Unanswered(f"answered {answer.status} for another certificate than the one that was sent")
        return installed.state

    def certificate(self, name: str) -> Installed | None:
        """Give what is installed for `name` now, None where C4 says that there is nothing.

        Raises `UnknownDomain`, `Unauthorized` and `Unanswered`.
        """
        answer = self._call("GET", self._address(name) + "/certificate")
        if answer.status == HTTPStatus.OK:
            return read_certificate(answer)
        if _has_none(answer):
            return None
        raise self._error(answer)

    def remove(self, name: str) -> bool:
        """Remove the certificate of `name`; False where C4 says that there was none.

        Also False where it was this call that removed it, but the answer was lost and the request sent again.
        Raises `UnknownDomain`, `Unauthorized` and `Unanswered`.
        """
        answer = self._call("DELETE", self._address(name) + "/certificate")
        if answer.status == HTTPStatus.NO_CONTENT:
            return True
        if _has_none(answer):
            return False
        raise self._error(answer)

    def health(self) -> datetime | None:
        """Return when C4 answers and accepts the token; give the time by its clock, where it tells it.

        Raises `Unauthorized` and `Unanswered`.
        """
        answer = self._call("GET", "/v1/health")
        if answer.status != HTTPStatus.OK:
            raise self._error(answer)
        if read_object(answer).get("status") != "ok":
            raise Unanswered("answered 200, but its health is not ok")
        return answer.date

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._transport.close()

    def _call(
        self, method: str, path: str, *, document: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        try:
            return self._transport.call(method, path, document=document, headers=headers)
        except NoResponse as error:
            # From None: what lies below holds the request, and with it the token and a private key.
            raise Unanswered(str(error), error.retry_at) from None

    def _address(self, name: str) -> str:
        # A dot segment would vanish from the path (RFC 3986, section 5.2.4) and the request go to another resource.
        if not name.strip("."):
            raise ValueError("not the name of a domain")
        return f"/v1/domains/{quote(name, safe='')}"

    def _error(self, answer: HttpResponse, *secrets: str) -> ControlPlaneError:
        said = self._said(answer, *secrets)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return Unauthorized(said)
        if answer.status == HTTPStatus.NOT_FOUND and read_problem(answer).code == "unknown_domain":
            return UnknownDomain(said)
        return Unanswered(said, answer.retry_at)

    def _upload_error(self, answer: HttpResponse, private_key: str) -> ControlPlaneError:
        key_lines = [line for line in private_key.split("\n") if line and not line.startswith("-----")]
        error = self._error(answer, *key_lines)
        if not isinstance(error, Unanswered) or answer.status not in _ABOUT_THE_UPLOAD:
            return error
        code = read_problem(answer).code
        if answer.status == HTTPStatus.CONFLICT and code == "text_certificate_present":
            return TextCertificatePresent(str(error))
        return Rejected(str(error), code)

    def _said(self, answer: HttpResponse, *secrets: str) -> str:
        """Give the answer in one line for an operator, without what we sent in confidence."""
        problem = read_problem(answer)
        detail = problem.detail
        for secret in (self._token, *secrets):
            detail = detail.replace(secret, "[hidden]")
        detail = _RUN.sub(lambda run: "[hidden]" if _NO_WORD.search(run[0]) else run[0], detail)
        if answer.status in _REDIRECTS:
            detail = "a redirect, which is not followed"
        elif answer.status == HTTPStatus.NOT_FOUND and problem.code in {"", "not_found"}:
            detail = "there is no C4 at this address; c4.base_url may be wrong"
        words = [f"answered {answer.status}", problem.code]
        detail = clean(detail, _LONGEST_DETAIL).rstrip(".")
        # Many servers say nothing there but the name of the status, or the code once more.
        if detail.lower() not in (problem.code, http.client.responses.get(answer.status, "").lower()):
            words.append(detail)
        return ": ".join(filter(None, words))


def _has_none(answer: HttpResponse) -> bool:
    return answer.status == HTTPStatus.NOT_FOUND and read_problem(answer).code == "no_certificate"


def _read_token(path: Path | None) -> str:
    """Read the token: one line of printable ASCII in a file that others cannot read. Raises `ConfigError`."""
    if path is None:
        raise ConfigError(
            "c4.token_file is not set", hint="it names a file that holds C4's token and nothing else"
        )
    text = read_secret(path, "c4.token_file", "C4's token")
    token = text.decode("ascii", errors="replace").strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"c4.token_file: {clean(path)} does not hold one line of printable ASCII")
    return token


def _trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Give what judges C4's certificate: by the CAs of `ca_bundle`, else by certifi's. Raises `ConfigError`."""
    # Not `create_default_context`: it would write the keys of every connection where SSLKEYLOGFILE says.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.set_alpn_protocols(["http/1.1"])
    if ca_bundle is None:
        tls.load_verify_locations(certifi.where())
        return tls
    try:
        read_regular(ca_bundle, _LARGEST_BUNDLE)
        tls.load_verify_locations(ca_bundle)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"c4.ca_bundle: {clean(ca_bundle)} is not a readable PEM file with certificates"
        ) from error
    if not tls.cert_store_stats()["x509"]:
        raise ConfigError(f"c4.ca_bundle: {clean(ca_bundle)} holds no certificate")
    return tls
