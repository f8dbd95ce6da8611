"""The headers of every response, by the OWASP cheat sheet on HTTP headers."""

from __future__ import annotations

from collections.abc import Mapping

_TWO_YEARS = 2 * 365 * 86_400
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # With no-referrer, browsers send `Origin: null` with a form (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def response_headers(scheme: str, *, may_cache: bool = False) -> Mapping[str, str]:
    """Return the headers of a response to a browser that reached the site by `scheme`.

    With `may_cache` the browser keeps it, and asks each time whether it has changed; otherwise it is stored nowhere.
    """
    headers = {**_HEADERS, "Cache-Control": "no-cache" if may_cache else "no-store"}
    if scheme == "https":
        headers["Strict-Transport-Security"] = f"max-age={_TWO_YEARS}"
    return headers
