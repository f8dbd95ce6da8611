"""The choice for the certificates of one domain."""

from __future__ import annotations

import pytest

from sslctl.errors import BadInput
from sslctl.rules.certificate_choice import (
    AS_CONFIGURED,
    CertificateChange,
    CertificateChoice,
    read_preferred_chain,
    read_profile,
)


def test_change_leaves_what_it_does_not_name_and_an_empty_text_is_as_configured() -> None:
    chosen = AS_CONFIGURED.changed(CertificateChange(key_type="p384", profile="tlsserver"))
    assert chosen == CertificateChoice("p384", "tlsserver")
    assert chosen.changed(CertificateChange(profile="")) == CertificateChoice("p384")
    assert chosen.changed(CertificateChange()) == chosen
    assert (CertificateChange().is_empty, CertificateChange(profile="").is_empty) == (True, False)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (AS_CONFIGURED, "as configured"),
        (CertificateChoice("rsa4096", "classic", "ISRG Root X1"),
         "key type rsa4096, profile classic, preferred chain ISRG Root X1"),
    ],
)  # fmt: skip
def test_describe_names_what_was_chosen(choice: CertificateChoice, text: str) -> None:
    assert choice.describe() == text


@pytest.mark.parametrize("text", ["", "-x", "two words", "a\n", "x" * 65, "ключ", "a/b"])
def test_read_profile_refuses_what_no_ca_lists(text: str) -> None:
    with pytest.raises(BadInput):
        read_profile(text)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\x1b[31m", "x" * 201, " padded "])
def test_read_preferred_chain_refuses_what_is_no_name(text: str) -> None:
    with pytest.raises(BadInput):
        read_preferred_chain(text)


def test_default_is_as_configured() -> None:
    assert (read_profile("default"), read_preferred_chain("default")) == ("", "")
    assert (read_profile("tls.server_2-x"), read_preferred_chain("(STAGING) Pretend Pear X1")) == (
        "tls.server_2-x",
        "(STAGING) Pretend Pear X1",
    )
