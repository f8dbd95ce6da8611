"""The search for secrets finds each of their forms."""

from __future__ import annotations

import base64

import pytest

from sslctl.certificates.x509 import make_key
from tests.torture import secret_search


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_text_is_found_in_every_encoding_at_every_offset(before: bytes) -> None:
    secret = secret_search.from_text("a token", b"s3cret/token?>~")
    text = before + b"s3cret/token?>~" + b"..."
    forms = [text, text.hex().encode(), text.hex(":").upper().encode()]
    forms += [base64.b64encode(text), base64.urlsafe_b64encode(text)]
    assert all(secret.is_in(form) for form in forms)
    assert not secret.is_in(b"s3cret")


def test_key_is_found_in_each_line_of_its_pem() -> None:
    pem = make_key("ecdsa")
    secret = secret_search.from_key("a key", pem)
    assert secret.is_in(pem.encode())
    assert all(secret.is_in(line.encode()) for line in pem.splitlines()[1:3])
    assert not secret.is_in(make_key("ecdsa").encode())
