"""Why an exchange over the network came to nothing, in an operator's words."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NewConnectionError

from sslctl.text import clean

_OTHER_NAME = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h."""


def describe_error(error: BaseException) -> str:
    """Give one short, cleaned sentence for what `requests` or `urllib3` raised. Never raises.

    Their own words are not used: those hold addresses of objects and parts of the request.
    """
    for cause in causes(error):
        said = _say_tls(cause) if isinstance(cause, ssl.SSLError) else _say(cause)
        if said:
            return said
    return "no usable answer"


def _say_tls(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {clean((error.reason or 'handshake failed').replace('_', ' ').lower(), 80)}"
    if error.verify_code in _OTHER_NAME:
        return "TLS: its certificate is for another name"
    return f"TLS: its certificate is not trusted ({clean(error.verify_message, 80)})"


def _say(cause: BaseException) -> str:
    match cause:
        case socket.gaierror() | LocationParseError():
            return "its host name could not be resolved"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectTimeoutError() if not isinstance(cause, NewConnectionError):
            return "no connection in time"
        case TimeoutError():
            return "no complete answer in time"
        case IncompleteRead():
            return "the answer was cut short"
        case ConnectionResetError() | BrokenPipeError() | RemoteDisconnected():
            return "connection closed without an answer"
        # http.client reads a chunk whose length is negative, and stumbles.
        case HTTPException() | ValueError():
            return "what answers there does not speak HTTP"
        case OSError(errno=int(number)):
            return clean(os.strerror(number).lower(), 80)
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from `error` to what lies below: urllib3 keeps that as the cause, among the arguments or as the context."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        inner = (argument for argument in error.args if isinstance(argument, BaseException))
        error = error.__cause__ or next(inner, None) or error.__context__
