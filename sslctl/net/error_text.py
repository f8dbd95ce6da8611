"""The text for an operator about a failed HTTP request."""

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
    """Return one short, cleaned sentence about an exception of `requests` or `urllib3`. Never raise.

    Their own messages are not used: they contain object addresses and parts of the request.
    """
    for cause in causes(error):
        text = _describe_tls(cause) if isinstance(cause, ssl.SSLError) else _describe(cause)
        if text:
            return text
    return "no usable response"


def _describe_tls(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {clean((error.reason or 'handshake failed').replace('_', ' ').lower(), 80)}"
    if error.verify_code in _OTHER_NAME:
        return "TLS: its certificate is for another name"
    return f"TLS: its certificate is not trusted ({clean(error.verify_message, 80)})"


def _describe(cause: BaseException) -> str:
    match cause:
        case socket.gaierror() | LocationParseError():
            return "its host name could not be resolved"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectTimeoutError() if not isinstance(cause, NewConnectionError):
            return "no connection in time"
        case TimeoutError():
            return "no complete response in time"
        case IncompleteRead():
            return "the response was cut short"
        case ConnectionResetError() | BrokenPipeError() | RemoteDisconnected():
            return "connection closed without a response"
        # ValueError: http.client reads a chunk with a negative length.
        case HTTPException() | ValueError():
            return "the server does not speak HTTP"
        case OSError(errno=int(number)):
            return clean(os.strerror(number).lower(), 80)
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and its causes, outermost first: urllib3 keeps them as cause, as argument or as context."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        inner = (argument for argument in error.args if isinstance(argument, BaseException))
        error = error.__cause__ or next(inner, None) or error.__context__
