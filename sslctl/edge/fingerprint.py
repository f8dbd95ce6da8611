"""The fingerprint of the certificate that an edge serves."""

from __future__ import annotations

from hashlib import sha256

from sslctl.edge import NoAnswer, NotServed, read_chain

_SECONDS = 5.0


def read_served(address: str, port: int, name: str) -> str | None:
    """Return the SHA-256 fingerprint of the leaf that the edge serves for `name`, in lower-case hexadecimal; None if it serves none.

    Raise `TimeoutError` with cleaned text if it does not answer.
    """
    try:
        return sha256(read_chain(address, port, name, _SECONDS)[0]).hexdigest()
    except NotServed:
        return None
    except NoAnswer as error:
        raise TimeoutError(str(error)) from error
