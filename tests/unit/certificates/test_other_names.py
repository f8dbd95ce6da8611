"""Certificates with names that are no dNSNames."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509

from sslctl.certificates.x509 import has_other_names
from sslctl.errors import BadInput
from tests.support.authorities import Authority, make_key, pem

ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))


@pytest.mark.parametrize(("names", "has_others"), [((), False), ((ADDRESS,), True)])
def test_addresses_beside_names_are_found(names: tuple[x509.GeneralName, ...], *, has_others: bool) -> None:
    authority = Authority("CA")
    alternatives = x509.SubjectAlternativeName([x509.DNSName("a.test"), *names])
    made = authority._sign(authority.subject, make_key(), (-1, 89), ((alternatives, False),))
    assert has_other_names(pem(made)) == has_others


def test_text_that_is_no_certificate_is_an_error() -> None:
    with pytest.raises(BadInput):
        has_other_names("x")
