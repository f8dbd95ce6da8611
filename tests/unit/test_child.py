"""Which answers of the CA end an order that is asked about, and which say nothing."""

from __future__ import annotations

import pytest
from acme import errors, messages

from sslctl.issuer.child import Observer, _is_gone, _renewal_info_url

ACME = "urn:ietf:params:acme:error:"


def problem(typ: str) -> messages.Error:
    error: messages.Error = messages.Error.from_json({"type": typ, "detail": "so it is"})
    return error


@pytest.mark.parametrize(
    ("status", "error", "gone"),
    [
        (404, problem(ACME + "malformed"), True),
        (404, errors.ClientError("no JSON"), True),
        (410, errors.ClientError("no JSON"), True),
        (403, problem(ACME + "unauthorized"), True),
        (400, problem(ACME + "accountDoesNotExist"), True),
        (400, problem(ACME + "badNonce"), False),
        (429, problem(ACME + "rateLimited"), False),
        # What gateways answer: JSON, but not the CA's.
        (502, problem("about:blank"), False),
        (503, problem("about:blank"), False),
        (429, problem("about:blank"), False),
        (500, problem(ACME + "malformed"), False),
        (502, errors.ClientError("no JSON"), False),
    ],
)
def test_only_the_cas_own_word_ends_an_order(status: int, error: Exception, gone: bool) -> None:
    Observer.status = status
    assert _is_gone(error) is gone


@pytest.mark.parametrize("url", ["https://ca.test/ari", None])
def test_whether_a_ca_has_ari_is_read_from_its_directory(url: str | None) -> None:
    found = {"newNonce": "https://ca.test/nonce"} | ({} if url is None else {"renewalInfo": url})
    assert _renewal_info_url(messages.Directory.from_json(found)) == url
