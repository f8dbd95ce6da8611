"""Profile and chain of an order: real certbot with a Pebble that offers several chains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.config.acme import AcmeSection
from sslctl.issuer import Issued, IssueError
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from sslctl.sandbox.pebble import Pebble

NAMES = ("shop.example.test",)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    env = {"PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_ALTERNATE_ROOTS": "1"}
    with Pebble(tmp_path_factory.mktemp("pebble"), http_port=5002, env=env) as running:
        yield running


@pytest.fixture
def acme(pebble: Pebble, tmp_path: Path) -> AcmeSection:
    (tmp_path / "webroot").mkdir()
    return AcmeSection(
        directory_url=pebble.directory_url, ca_bundle=pebble.ca_bundle, webroot=tmp_path / "webroot"
    )


def _order(preferred_chain: str | None = None, profile: str | None = None) -> Order:
    csr = make_csr(make_key("p256"), NAMES)
    return Order(1, 1, NAMES, csr, _now(), profile=profile, preferred_chain=preferred_chain)


def _issuer_of(pem: str) -> str:
    return read_leaf(pem).issuer.removeprefix("CN=")


def _root_of(issued: Issued) -> str:
    """Return who issued the last certificate of the chain."""
    *_, last = (block for block in issued.chain.split("-----BEGIN CERTIFICATE-----") if block.strip())
    return _issuer_of(f"-----BEGIN CERTIFICATE-----{last}")


def test_chain_of_the_preferred_issuer_is_issued_and_collected(
    pebble: Pebble, acme: AcmeSection, tmp_path: Path
) -> None:
    usual, other = (_issuer_of(pebble.roots(number)) for number in (0, 1))
    assert usual != other
    urls: list[str] = []
    issuer = CertbotIssuer(acme, tmp_path / "acme", clock=_now)
    with closing(issuer):
        assert _root_of(issuer.issue(_order(), urls.append)) == usual
        assert _root_of(issuer.issue(_order("none like this"), urls.append)) == usual
        order = _order(other)
        assert _root_of(issuer.issue(order, urls.append)) == other
        # Killed after the CA had issued it.
        issuer.forget(order)
        collected = issuer.collect(dataclasses.replace(order, url=urls[-1]))
        assert collected is not None
        assert _root_of(collected) == other


def test_order_has_its_own_chain_and_profile_in_place_of_the_configured_ones(
    pebble: Pebble, acme: AcmeSection, tmp_path: Path
) -> None:
    other = _issuer_of(pebble.roots(1))
    configured = dataclasses.replace(acme, preferred_chain=other, profile="nosuch")
    issuer = CertbotIssuer(configured, tmp_path / "acme", clock=_now)
    with closing(issuer):
        assert _root_of(issuer.issue(_order(profile=""), lambda _url: None)) == other
        for order in (_order(), _order(profile="absent")):
            with pytest.raises(IssueError, match=r'the profile is "(nosuch|absent)"') as caught:
                issuer.issue(order, lambda _url: None)
            assert caught.value.code is Code.CA_REFUSED
            assert caught.value.pause is None, "it concerns this order alone"
