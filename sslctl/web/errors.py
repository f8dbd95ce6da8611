"""Error pages: an error of the core with its hint, and errors of HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import HTTPException

from sslctl.errors import BadInput, Busy, ClaimLost, NotManaged, PairRefused, SslctlError
from sslctl.web.language import request_texts

_STATUSES: dict[type[SslctlError], int] = {
    BadInput: 400,
    NotManaged: 404,
    Busy: 409,
    ClaimLost: 409,
    PairRefused: 409,
}
# The state, the configuration or the machine cannot be used now: others may be able to help, and a retry may.
_UNAVAILABLE = 503
_SERVER_ERROR = 500
# How the texts of the gate begin.
_REFUSAL = "refusal."
_TITLED = (400, 401, 403, 404, 405, 409, 413, 414, 429, 500, 503)
_EXPLAINED = (401, 403, 404, 429, 500)
# The fields of forms in which a person writes, none of which is a secret.
_TYPED = ("value", "domains", "sans", "customer", "reason")
_MOST_SHOWN = 64 * 1024


def install(site: Flask) -> None:
    """Show every error of `site` as a page."""
    site.register_error_handler(SslctlError, _show_core_error)
    site.register_error_handler(HTTPException, _show_http_error)


def error_page(
    status: int,
    message: str,
    hint: str = "",
    similar: Sequence[str] = (),
    unmanaged: str = "",
    details: Sequence[str] = (),
) -> tuple[str, int]:
    """Return the page of an error.

    `message` and `hint` are plain text, `similar` names of domains, `unmanaged` is a name that could be added, `details` are English
    sentences. Text that was typed into a form is shown, so that the end of a session costs nobody a long note.
    """
    texts = request_texts()
    title = texts(f"error.title.{status if status in _TITLED else 400 if status < _SERVER_ERROR else 500}")
    # The page must not need the state: that may be what is wrong.
    page = render_template(
        "error.html",
        title=title,
        message=message,
        hint=hint,
        details=details,
        similar=similar,
        unmanaged=unmanaged,
        typed=_typed(),
    )
    return page, status


def _typed() -> list[str]:
    """Return what a person typed into the form of this request, without passwords."""
    is_small = request.content_length is not None and request.content_length <= _MOST_SHOWN
    if not g.get("is_own_form") or not is_small:
        return []
    return [text for field in _TYPED if (text := request.form.get(field, "").strip())]


def status_of(error: SslctlError) -> int:
    """Return the HTTP status for an error of the core."""
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), _UNAVAILABLE)


def core_error_page(status: int, error: SslctlError) -> tuple[str, int]:
    """Return the page of an error of the core."""
    shown = request_texts().error(error)
    return error_page(status, shown.message, shown.hint, details=shown.details)


def _show_core_error(error: SslctlError) -> tuple[str, int]:
    return core_error_page(status_of(error), error)


def _show_http_error(error: HTTPException) -> Response | HTTPException:
    status = error.code or _SERVER_ERROR
    if error.response is not None or status < 400:  # noqa: PLR2004 - a redirect
        return error
    texts = request_texts()
    if error.description is not None and error.description.startswith(_REFUSAL):
        page, _ = error_page(status, texts(error.description))
    else:
        message = texts(f"error.text.{status if status in _EXPLAINED else 'other'}")
        # Werkzeug's own description repeats the message; one that a view gave says more.
        is_own = error.description is not None and error.description != type(error).description
        page, _ = error_page(status, message, (error.description or "") if is_own else "")
    # Such as Allow and Retry-After.
    headers = [(name, value) for name, value in error.get_headers() if name.lower() != "content-type"]
    return Response(page, status, headers, mimetype="text/html")
