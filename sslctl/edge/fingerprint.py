"""The fingerprint of the certificate that an edge serves."""

from __future__ import annotations

from sslctl.edge import NoAnswer, NotServed, read_fingerprint

_SECONDS = 5.0


def read_served(address: str, port: int, name: str) -> str | None:
    """Return the SHA-256 fingerprint of the leaf that the edge serves for `name`, in lower-case hexadecimal; None if it serves none.

    Raise `TimeoutError` with cleaned text if it does not answer.
    """
    try:
        return read_fingerprint(address, port, name, _SECONDS)
    except NotServed:
        return None
    except NoAnswer as error:
        raise TimeoutError(str(error)) from error
