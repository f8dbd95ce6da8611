"""Downloads of certificates with their keys: of one domain, or of those that the filters select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from flask import Blueprint, Response, render_template, request, send_file

from sslctl.certificates.download_formats import FORMATS, PKCS12, make_files
from sslctl.errors import BadInput, NotManaged, SslctlError
from sslctl.fleet import downloads
from sslctl.rules import names
from sslctl.rules.model import Domain
from sslctl.text import clean
from sslctl.web.access import Role, require
from sslctl.web.access.guard import count, limited
from sslctl.web.access.limits import Limited
from sslctl.web.attachments import attach
from sslctl.web.errors import status_of
from sslctl.web.language import make_error
from sslctl.web.running import reading_all_domains, request_app
from sslctl.web.url_query import is_number, read_selection

blueprint = Blueprint("download", __name__)

MOST_DOMAINS = 200
"""The most domains in one bulk download. `sslctl download --from-file` takes longer lists."""

_LONGEST_REASON = 300


@blueprint.get("/domains/<name>/download")
@require(Role.KEYS)
def ask(name: str) -> str:
    """Return the form of a download."""
    return _render_one(_find(name))


@blueprint.post("/domains/<name>/download")
@require(Role.KEYS)
@limited(Limited.KEYS)
def download(name: str) -> Response | tuple[str, int]:
    """Send a certificate with its key, after the download and its reason are in the history."""
    domain = _find(name)
    try:
        order = _read_order()
        made = order.make(domain, _read_version())
        order.record([made])
    except SslctlError as error:
        return _render_one(domain, error), status_of(error)
    return _send(domain.name, made.files)


@blueprint.get("/download")
@require(Role.KEYS)
def ask_many() -> str:
    """Return the form of a download of the domains that the parameters select."""
    return _render_many(_select())


@blueprint.post("/download")
@require(Role.KEYS)
@limited(Limited.KEYS)
def download_many() -> Response | tuple[str, int]:
    """Send the certificates and keys of the domains that the form names, as one archive with a folder for each."""
    chosen = list(dict.fromkeys(map(names.normalise, request.form.getlist("domain")[: MOST_DOMAINS + 1])))
    try:
        if not chosen:
            raise make_error(BadInput, "download.no_domain")
        if len(chosen) > MOST_DOMAINS:
            raise make_error(BadInput, "download.too_many", most=MOST_DOMAINS)
        order = _read_order()
        count(Limited.BULK_KEYS, len(chosen))
        made = [order.make(_find(name), None) for name in chosen]
        # Only if all of them can be sent.
        order.record(made)
    except SslctlError as error:
        return _render_many(chosen, error), status_of(error)
    return _send(
        "certificates", {f"{one.domain.name}/{path}": one.files[path] for one in made for path in one.files}
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """The files of one domain, and the version of its certificate."""

    domain: Domain
    version: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Order:
    """What the form asks for: the format `kind`, the reason, and the password of PKCS#12 files."""

    kind: str
    reason: str
    password: bytes

    def make(self, domain: Domain, version: int | None) -> _Made:
        """Return the files of `domain`. Raise `NotManaged` if there is no such certificate or key, `BadInput`, `StateError`."""
        certificate, bundle = downloads.read(request_app().store, domain, version)
        return _Made(domain, certificate.version, make_files(self.kind, bundle, domain.name, self.password))

    def record(self, made: Sequence[_Made]) -> None:
        """Record the downloads. It comes first: an unrecorded download is worse than a record of one that failed."""
        store, detail = request_app().store, downloads.describe_event(self.kind, self.reason)
        with store.transaction():
            for one in made:
                store.record_event(one.domain, downloads.EVENT, detail, one.version)


def _read_order() -> _Order:
    """Return what the form asks for. Raise `BadInput` for a form without a reason, or a password that it needs."""
    kind, password = request.form.get("format", ""), request.form.get("password", "")
    reason = clean(request.form.get("reason", ""), _LONGEST_REASON + 1)
    if kind not in FORMATS:
        raise make_error(BadInput, "download.no_format")
    if not reason:
        raise make_error(BadInput, "download.no_reason")
    if len(reason) > _LONGEST_REASON:
        raise make_error(BadInput, "download.long_reason")
    if kind in PKCS12 and not password:
        raise make_error(BadInput, "download.no_password")
    return _Order(kind, reason, password.encode())


def _find(name: str) -> Domain:
    """Return the domain, deleted or not. Raise `BadInput` for what is no name, `NotManaged` if it was never added."""
    return downloads.find(request_app().store, names.normalise(name))


def _read_version() -> int | None:
    text = request.form.get("version", "")
    if not text:
        return None
    if not is_number(text):
        raise make_error(NotManaged, "download.no_version")
    return int(text)


def _select() -> list[str]:
    """Return the selected domains that are served a certificate of sslctl, at most as many as one download may have."""
    app = request_app()
    query = replace(read_selection(request.args).query, limit=MOST_DOMAINS, offset=0)
    with reading_all_domains():
        return [
            each.name for each in app.store.listing(query, app.clock()).domains if each.serving is not None
        ]


def _send(name: str, files: Mapping[str, bytes]) -> Response:
    sent = attach(name, files, request_app().clock())
    return send_file(BytesIO(sent.content), sent.media_type, as_attachment=True, download_name=sent.name)


def _render_one(domain: Domain, problem: SslctlError | None = None) -> str:
    versions = [
        each for each in request_app().store.certificates(domain)[::-1] if each.key_destroyed_at is None
    ]
    return render_template(
        "download.html",
        domain=domain,
        versions=versions,
        formats=FORMATS,
        problem=problem,
        form=request.form,
    )


def _render_many(chosen: list[str], problem: SslctlError | None = None) -> str:
    return render_template(
        "download_many.html",
        chosen=chosen,
        most=MOST_DOMAINS,
        formats=FORMATS,
        problem=problem,
        form=request.form,
    )
