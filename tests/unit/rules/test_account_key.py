"""The thumbprint of an account key, and what servers answer with it."""

from __future__ import annotations

import json

import pytest
from josepy.b64 import b64encode
from josepy.jwk import JWK

from sslctl.certificates.account_key import make_account_key
from sslctl.rules.account_key import thumbprint_of
from sslctl.rules.stateless_answer import SERVERS, configuration, key_authorization

# The example of RFC 7638, section 3.1.
_RFC = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_thumbprint_is_that_of_the_example_of_rfc_7638() -> None:
    assert thumbprint_of(json.dumps(_RFC)) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_thumbprint_of_a_new_key_is_the_one_that_certbot_computes() -> None:
    for _ in range(20):
        text = make_account_key()
        key = JWK.json_loads(text)
        assert b64encode(key.thumbprint()).decode() == thumbprint_of(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kty": "EC"}', '{"kty": ["EC"]}', '"EC"', "[" * 100_000])
def test_text_that_is_no_key_is_an_error_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it is not a JSON Web Key of the type EC or RSA$"):
        thumbprint_of(text)


@pytest.mark.parametrize("server", SERVERS)
def test_configuration_has_the_thumbprint_once_and_begins_with_where_it_belongs(server: str) -> None:
    lines = configuration(server, "th-umb_print")
    assert lines[0].startswith("# In each ")
    assert sum(line.count(".th-umb_print") for line in lines) == 1


def test_key_authorization_is_token_and_thumbprint() -> None:
    assert key_authorization("token", "print") == "token.print"
