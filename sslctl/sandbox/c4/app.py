"""The reference C4 as a web application. It implements every rule of `sslctl/control_plane/c4/openapi.yaml`.

It also has, with the same token, an interface for the administration of the sandbox:

- `POST /sandbox/domains` `{domain, cname_target, ports}` creates or changes a domain; `DELETE
  /sandbox/domains/{domain}` removes it with its certificate.
- `PUT /sandbox/faults` `[{…}]` replaces the injected faults (`faults.Fault`); `DELETE /sandbox/faults` clears them.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response

from sslctl.sandbox.c4.checks import check_upload
from sslctl.sandbox.c4.faults import Faults, read_faults
from sslctl.sandbox.c4.problems import Problem, answer_problem
from sslctl.sandbox.c4.records import DOMAIN_NAME, Placed, Records, Site

LARGEST_BODY = 256 * 1024

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_ENTITY_TAG = re.compile('"([0-9a-f]{64})"')
_LIMIT = re.compile("[0-9]{1,4}")
_DEFAULT_LIMIT, _LARGEST_LIMIT = 100, 1000
_UPLOAD_MEMBERS = {"source", "certificate", "chain", "private_key", "fingerprint_sha256"}


@dataclass(slots=True)
class Features:
    """What the contract leaves to the server; may be changed while it runs.

    Without `preconditions` the server ignores `If-Match` and `If-None-Match`. Without `inventory` it cannot list domains.
    """

    preconditions: bool = True
    inventory: bool = True


def build_app(
    records: Records,
    faults: Faults,
    *,
    token: str,
    clock: Callable[[], datetime],
    activation: timedelta,
    features: Features,
) -> Flask:
    """Return the WSGI application. An upload becomes active after `activation`. Raise `ValueError` without a token."""
    if not token:
        raise ValueError("The reference C4 needs a token.")
    app = Flask(__name__, static_folder=None)
    # werkzeug silently truncates a chunked body at its limit; one byte more shows that the body is too large.
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY + 1
    # A path with two slashes is another path: C4 never redirects.
    app.url_map.merge_slashes = False
    app.before_request(lambda: _authenticate(token))
    app.register_error_handler(
        Problem, lambda problem: answer_problem(problem.status, problem.code, str(problem))
    )
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_blueprint(_contract(records, clock, activation, features), url_prefix="/v1")
    app.register_blueprint(_administration(records, faults), url_prefix="/sandbox")
    return app


def _authenticate(token: str) -> None:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    given = credentials.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, token.encode()):
        raise Problem(HTTPStatus.UNAUTHORIZED, detail="A valid bearer token is needed.")


def _answer_http_exception(error: HTTPException) -> Response:
    response = answer_problem(error.code or HTTPStatus.INTERNAL_SERVER_ERROR, detail=error.description or "")
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _contract(
    records: Records, clock: Callable[[], datetime], activation: timedelta, features: Features
) -> Blueprint:
    contract = Blueprint("contract", __name__)

    @contract.get("/health")
    def health() -> Response:
        return _answer({"status": "ok"})

    @contract.get("/domains")
    def inventory() -> Response:
        if not features.inventory:
            raise Problem(HTTPStatus.NOT_IMPLEMENTED, detail="This C4 cannot list its domains.")
        sites, has_more = records.after(*_read_page_query())
        now = clock()
        page = [_describe_site(site, now) for site in sites]
        return _answer({"domains": page, "next": sites[-1].domain if has_more else None})

    @contract.get("/domains/<domain>")
    def lookup(domain: str) -> Response:
        return _answer(_describe_site(_find(records, domain), clock()))

    @contract.get("/domains/<domain>/certificate")
    def read_back(domain: str) -> Response:
        return _answer(_describe(_installed(_find(records, domain)), clock()))

    @contract.put("/domains/<domain>/certificate")
    def upload(domain: str) -> Response:
        _find(records, domain)
        now = clock()
        placed = _read_upload(domain, now, activation)
        preconditions = _read_preconditions(features)
        with records.lock:
            site = _find(records, domain)
            # An upload that was repeated because its response was lost is no change.
            if site.latest is None or site.latest.fingerprint != placed.fingerprint:
                preconditions.check(site)
            site = site.install(placed, now)
            records.save(site)
        description = _describe(_installed(site), now)
        return _answer(
            description, HTTPStatus.OK if description["state"] == "active" else HTTPStatus.ACCEPTED
        )

    @contract.delete("/domains/<domain>/certificate")
    def remove(domain: str) -> Response:
        with records.lock:
            site = _find(records, domain)
            _installed(site)
            _read_preconditions(features).check(site)
            records.save(site.clear())
        return Response(status=HTTPStatus.NO_CONTENT)

    return contract


@dataclass(frozen=True, slots=True)
class _Preconditions:
    """The preconditions of a request (RFC 9110, section 13.1): the wanted fingerprint, and whether there must be none."""

    fingerprint: str | None = None
    nothing: bool = False

    def check(self, site: Site) -> None:
        """Raise `Problem` 412 if another certificate is installed than the request expects."""
        installed = None if site.latest is None else site.latest.fingerprint
        if self.fingerprint not in (None, installed) or (self.nothing and installed is not None):
            raise Problem(
                HTTPStatus.PRECONDITION_FAILED,
                detail="Another certificate is installed than the expected one.",
            )


def _read_preconditions(features: Features) -> _Preconditions:
    """Return the preconditions of the request. Raise `Problem` 400 for an invalid header."""
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if not features.preconditions:
        return _Preconditions()
    match = _ENTITY_TAG.fullmatch(wanted or "")
    if wanted is not None and match is None:
        raise _malformed("If-Match is one fingerprint in quotes.")
    if unwanted not in (None, "*"):
        raise _malformed("If-None-Match is *.")
    return _Preconditions(match[1] if match else None, unwanted is not None)


def _read_page_query() -> tuple[str, int]:
    """Return the cursor, which is the last name of the page before, and the limit. Raise `Problem` 400."""
    given = request.args.to_dict(flat=False)
    if not given.keys() <= {"cursor", "limit"} or any(len(values) > 1 for values in given.values()):
        raise _malformed("The parameters are cursor and limit.")
    limit = request.args.get("limit", str(_DEFAULT_LIMIT))
    cursor = request.args.get("cursor")
    if not _LIMIT.fullmatch(limit) or not 0 < int(limit) <= _LARGEST_LIMIT:
        raise _malformed(f"limit is a number from 1 to {_LARGEST_LIMIT}.")
    if cursor is not None and not DOMAIN_NAME.fullmatch(cursor):
        raise _malformed("cursor is not one that C4 sent.")
    return cursor or "", int(limit)


def _administration(records: Records, faults: Faults) -> Blueprint:
    administration = Blueprint("administration", __name__)

    @administration.post("/domains")
    def create() -> Response:
        wanted = _read_json()
        if not isinstance(wanted, dict) or wanted.keys() != {"domain", "cname_target", "ports"}:
            raise _malformed("The members are domain, cname_target and ports.")
        domain, target, ports = wanted["domain"], wanted["cname_target"], wanted["ports"]
        if not isinstance(domain, str) or not isinstance(target, str) or not _are_integers(ports):
            raise _malformed("domain and cname_target are text, ports is a list of numbers.")
        try:
            records.create(domain, target, ports)
        except ValueError as error:
            raise _malformed(str(error)) from error
        return Response(status=HTTPStatus.NO_CONTENT)

    @administration.delete("/domains/<domain>")
    def delete(domain: str) -> Response:
        if not records.delete(domain):
            raise _unknown()
        return Response(status=HTTPStatus.NO_CONTENT)

    @administration.put("/faults")
    def switch() -> Response:
        try:
            faults.set(read_faults(_read_json()))
        except ValueError as error:
            raise _malformed(str(error)) from error
        return Response(status=HTTPStatus.NO_CONTENT)

    @administration.delete("/faults")
    def heal() -> Response:
        faults.set([])
        return Response(status=HTTPStatus.NO_CONTENT)

    return administration


def _find(records: Records, domain: str) -> Site:
    site = records.find(domain)
    if site is None:
        raise _unknown()
    return site


def _installed(site: Site) -> Placed:
    if site.latest is None:
        raise Problem(HTTPStatus.NOT_FOUND, "no_certificate", "The domain has no certificate.")
    return site.latest


def _unknown() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "unknown_domain", "C4 has no such domain.")


def _malformed(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "bad_request", detail)


def _read_json() -> Any:
    # The body first: one that is too large is 413, whatever its type.
    body = request.get_data(cache=False)
    if len(body) > LARGEST_BODY:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if request.mimetype != "application/json":
        raise _malformed("The body is not application/json.")
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        # Without the cause: its text quotes the body, which contains a key.
        raise _malformed("The body is not JSON.") from None


def _read_upload(domain: str, now: datetime, activation: timedelta) -> Placed:
    """Return the uploaded certificate. Raise `Problem` 413, 400 or 422."""
    sent = _read_json()
    if not isinstance(sent, dict) or sent.keys() != _UPLOAD_MEMBERS:
        raise _malformed(f"The members are {', '.join(sorted(_UPLOAD_MEMBERS))}.")
    if not all(isinstance(value, str) for value in sent.values()):
        raise _malformed("Every member is text.")
    if sent["source"] not in ("c4", "text"):
        raise _malformed("source is c4 or text.")
    fingerprint = sent["fingerprint_sha256"]
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise _malformed("fingerprint_sha256 is 64 lower-case hexadecimal digits.")
    if request.headers.get("Idempotency-Key") != fingerprint:
        raise _malformed("Idempotency-Key is not fingerprint_sha256.")
    pem = {name: sent[name] for name in ("certificate", "chain", "private_key")}
    not_after = check_upload(domain, **pem, fingerprint=fingerprint, now=now)
    return Placed(
        source=sent["source"], **pem, fingerprint=fingerprint, not_after=not_after, active_at=now + activation
    )


def _are_integers(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _describe_site(site: Site, now: datetime) -> dict[str, object]:
    certificate = None if site.latest is None else _describe(site.latest, now)
    return {
        "domain": site.domain,
        "cname_target": site.cname_target,
        "ports": site.ports,
        "certificate": certificate,
        **({"customer": site.customer} if site.customer else {}),
    }


def _describe(placed: Placed, now: datetime) -> dict[str, str]:
    return {
        "source": placed.source,
        "fingerprint_sha256": placed.fingerprint,
        "not_after": f"{placed.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "state": "active" if placed.active_at <= now else "activating",
    }


def _answer(body: object, status: int = HTTPStatus.OK) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
