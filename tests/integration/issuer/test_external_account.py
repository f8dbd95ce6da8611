"""External account binding: a CA that registers only accounts with its credentials (RFC 8555, section 7.3.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.certificates.account_key import make_account_key
from sslctl.certificates.x509 import make_csr, make_key
from sslctl.config.acme import AcmeSection
from sslctl.issuer import AccountKeys, IssueError
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.account_key import AccountKey
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from sslctl.sandbox.pebble import Pebble

KID = "kid-of-sslctl"
HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
OTHER_KEY = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    env = {"PEBBLE_VA_ALWAYS_VALID": "1"}
    folder = tmp_path_factory.mktemp("pebble")
    with Pebble(folder, http_port=5002, env=env, credentials={KID: HMAC_KEY}) as running:
        yield running


Issue = Callable[..., CertbotIssuer]


@pytest.fixture
def make_issuer(pebble: Pebble, tmp_path: Path) -> Iterator[Issue]:
    """Return a function that makes an issuer with the credentials that it is given, if any."""
    made: list[CertbotIssuer] = []

    def make(kid: str = "", key: str = "", account_keys: AccountKeys | None = None) -> CertbotIssuer:
        file = tmp_path / "hmac.key"
        file.touch(mode=0o600)
        file.write_text(f"{key}\n")
        section = AcmeSection(
            directory_url=pebble.directory_url, ca_bundle=pebble.ca_bundle, webroot=tmp_path / "webroot"
        )
        if kid:
            section = dataclasses.replace(section, eab_kid=kid, eab_hmac_key_file=file)
        (tmp_path / "webroot").mkdir(exist_ok=True)
        made.append(
            CertbotIssuer(section, tmp_path / "acme", clock=_now, find_account_keys=lambda: account_keys)
        )
        return made[-1]

    yield make
    for issuer in made:
        issuer.close()


def _issue(issuer: CertbotIssuer) -> str:
    names = ("shop.example.test",)
    order = Order(1, 1, names, make_csr(make_key("ecdsa"), names), _now())
    return issuer.issue(order, lambda _url: None).certificate


def _files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_account_is_registered_with_the_credentials_which_are_then_needed_no_more(
    make_issuer: Issue, tmp_path: Path
) -> None:
    assert "BEGIN CERTIFICATE" in _issue(make_issuer(KID, HMAC_KEY))
    assert not any(HMAC_KEY.encode() in content for content in _files(tmp_path / "acme"))
    assert "BEGIN CERTIFICATE" in _issue(make_issuer())


def test_stored_key_is_registered_with_the_credentials_and_changed_without_them(make_issuer: Issue) -> None:
    first, second = (AccountKey(make_account_key(), _now()) for _ in range(2))
    make_issuer(KID, HMAC_KEY, AccountKeys(first)).register()
    issuer = make_issuer(account_keys=AccountKeys(second, previous=first))
    issuer.register()
    assert issuer.account_status() == "valid"
    assert "BEGIN CERTIFICATE" in _issue(issuer)


@pytest.mark.parametrize(
    ("kid", "key", "found"),
    [
        ("", "", "externalAccountRequired: this CA registers only accounts that have its credentials; set eab_kid"),
        ("unknown", HMAC_KEY, "unauthorized: "),
        (KID, OTHER_KEY, "unauthorized: "),
    ],
)  # fmt: skip
def test_order_is_refused_without_the_right_credentials(
    make_issuer: Issue, kid: str, key: str, found: str
) -> None:
    with pytest.raises(IssueError) as caught:
        _issue(make_issuer(kid, key))
    assert caught.value.code is Code.CA_REFUSED
    assert caught.value.found.startswith(found)
    assert HMAC_KEY not in caught.value.found
    if not kid:
        assert caught.value.pause == Scope(LimitKind.ACCOUNT)


def test_order_is_refused_if_the_file_of_the_key_was_cut_off(make_issuer: Issue) -> None:
    with pytest.raises(IssueError, match="has no HMAC key in base64url") as caught:
        _issue(make_issuer(KID, HMAC_KEY[:9]))
    assert caught.value.code is Code.ISSUER_FAILED
    assert HMAC_KEY[:9] not in caught.value.found
