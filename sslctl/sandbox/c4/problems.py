"""The error responses of the reference C4: RFC 9457 problems with the codes of the published contract."""

from __future__ import annotations

import json
from http import HTTPStatus

from werkzeug.wrappers import Response

# The default code of each status.
_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "text_certificate_present",
    412: "precondition_failed",
    413: "too_large",
    422: "bad_pair",
    429: "rate_limited",
    500: "internal",
    501: "not_implemented",
}


class Problem(Exception):
    """An error response, raised by a handler."""

    def __init__(self, status: int, code: str | None = None, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def answer_problem(status: int, code: str | None = None, detail: str = "") -> Response:
    """Return the `application/problem+json` response for `status`, an HTTP error.

    The default code of the status is used if `code` is None. A 401 names the required scheme (RFC 9110, section 11.6.1). A
    429 has a `Retry-After`, as the contract requires; a caller may change it.
    """
    usual = "unavailable" if status > HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
    body = {"title": _title(status), "status": status, "code": code or _CODES.get(status, usual)}
    if detail:
        body["detail"] = detail
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "1"
    return response


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
