"""The dead man's switch: a URL that is requested after every good tick, so that a monitor notices when ticks stop.

The URL is a secret. So `http.client` requests it, which does not follow redirects and does not log the URL.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from urllib.parse import SplitResult, urlsplit

import certifi

from sslctl import __version__

SECONDS = 10.0
_GOOD = range(200, 300)


def ping(url: str, seconds: float = SECONDS) -> str:
    """Request `url` once; return why that failed, or an empty string for a 2xx response. Take at most `seconds`."""
    results: list[str] = []

    def request() -> None:
        try:
            results.append(_request(urlsplit(url), seconds))
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The message of an error may hold the URL.
            results.append(f"could not be reached ({type(error).__name__})")

    # A server that sends a byte now and then never exceeds a socket timeout. So the thread is abandoned after `seconds`.
    thread = threading.Thread(target=request, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return "was not sent: the system starts no further thread"
    thread.join(seconds)
    return results[0] if results else f"did not answer within {seconds:g} seconds"


def _request(parts: SplitResult, seconds: float) -> str:
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(certifi.where())
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=seconds, context=tls
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": f"sslctl/{__version__}"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if status in _GOOD else f"answered {status}"
