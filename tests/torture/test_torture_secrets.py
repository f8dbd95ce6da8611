"""One life, in which no secret gets out; and the search finds each form of a secret."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sslctl.certificates.x509 import make_key
from tests.torture import canaries, secrets_kept
from tests.torture.case import require_held


@pytest.mark.pebble
def test_no_secret_gets_out(tmp_path: Path) -> None:
    require_held(secrets_kept, tmp_path)


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_a_secret_is_found_in_whatever_form(before: bytes) -> None:
    canary = canaries.of_text("a token", b"s3cret/token?>~")
    hidden = before + b"s3cret/token?>~" + b"..."
    forms = [hidden, hidden.hex().encode(), hidden.hex(":").upper().encode()]
    forms += [base64.b64encode(hidden), base64.urlsafe_b64encode(hidden)]
    assert all(canary.is_in(form) for form in forms)
    assert not canary.is_in(b"s3cret")


def test_a_key_is_found_in_pem_cut_to_any_line() -> None:
    pem = make_key("ecdsa")
    canary = canaries.of_key("a key", pem)
    assert canary.is_in(pem.encode())
    assert all(canary.is_in(line.encode()) for line in pem.splitlines()[1:3])
    assert not canary.is_in(make_key("ecdsa").encode())
