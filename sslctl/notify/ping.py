"""The dead-man's ping: a URL that is asked for after every good tick, so that somebody notices when ticks stop.

Python's own HTTP client, which neither follows redirects nor logs what it asks for: the URL is a secret.
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
    """Ask for `url` once; give why that failed, empty where the answer was good. It takes at most `seconds`."""
    answers: list[str] = []

    def ask() -> None:
        try:
            answers.append(_ask(urlsplit(url), seconds))
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The message of an error may hold the URL.
            answers.append(f"could not be reached ({type(error).__name__})")

    # A server that sends a byte now and then keeps every timeout of a socket: so the thread is left behind.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else f"did not answer within {seconds:g} seconds"


def _ask(parts: SplitResult, seconds: float) -> str:
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
