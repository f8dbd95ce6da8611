"""The contract of `Issuer`, for the fake CA of the tests and for certbot against Pebble."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sslctl.certificates.x509 import check_pair, make_csr, make_key, read_leaf
from sslctl.config.acme import AcmeSection
from sslctl.config.settings import load
from sslctl.issuer import Issued, IssueError, Issuer, RenewalWindow, RenewalWindows
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.ari_server import Answer, AriServer, window
from tests.support.fakes import START, Clock, FakeIssuer


@dataclass
class Case:
    """An issuer whose next challenge can be made to fail."""

    issuer: Issuer
    sandbox: SandboxCdn | None
    clock: Clock
    orders: int = 0

    def order(self, *names: str) -> tuple[Order, str]:
        """Return an order that was not placed yet, for names that point at the CDN, and its key."""
        self.orders += 1
        key = make_key("ecdsa")
        if self.sandbox is not None:
            for name in names:
                self.sandbox.add_domain(name)
        return Order(self.orders, 1, names, make_csr(key, names), self.clock()), key

    def spoil(self, name: str) -> None:
        """Make the challenge for `name` fail."""
        if self.sandbox is not None:
            # The CA connects to an address where nothing listens on the HTTP port.
            self.sandbox.pebble.clear_cname(name)
            self.sandbox.pebble.set_addresses(name, ipv4=["127.0.0.99"])
        else:
            assert isinstance(self.issuer, FakeIssuer)
            self.issuer.refusals.append(
                IssueError(Code.PORT_80_CLOSED, "connection refused", order_dead=True)
            )


@pytest.fixture(scope="module", params=["fake", pytest.param("certbot", marks=pytest.mark.pebble)])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    if request.param == "fake":
        clock = Clock()
        yield Case(FakeIssuer(clock), None, clock)
        return
    now = Clock(datetime.now(UTC).replace(microsecond=0))
    with SandboxCdn(tmp_path_factory.mktemp("sandbox"), clock=now) as sandbox:
        acme = load(sandbox.config_path, {}).acme
        issuer = CertbotIssuer(acme, sandbox.folder / "acme", clock=now)
        yield Case(issuer, sandbox, now)
        issuer.close()


def test_issue_succeeds_after_orders_were_expected(case: Case) -> None:
    order, _ = case.order("expected.example.test")
    for _ in range(2):
        case.issuer.expect_orders()
    issued = case.issuer.issue(order, lambda _url: None)
    assert read_leaf(issued.certificate).names == ("expected.example.test",)


def test_issue_returns_a_certificate_for_the_key_and_names_of_the_order(case: Case) -> None:
    order, key = case.order("a.example.test", "b.example.test")
    urls: list[str] = []
    issued = case.issuer.issue(order, urls.append)
    assert len(urls) == 1
    assert urls[0].startswith("https://")
    assert set(read_leaf(issued.certificate).names) == {"a.example.test", "b.example.test"}
    check_pair(
        issued.certificate,
        key,
        issued.chain,
        order.names,
        datetime.now(UTC) if case.sandbox else case.clock(),
    )


def test_issue_raises_issue_error_with_the_reason_when_a_challenge_fails(case: Case) -> None:
    order, _ = case.order("closed.example.test")
    case.spoil("closed.example.test")
    urls: list[str] = []
    with pytest.raises(IssueError) as caught:
        case.issuer.issue(order, urls.append)
    assert caught.value.code is Code.PORT_80_CLOSED
    assert "refused" in caught.value.found
    assert caught.value.order_dead
    assert len(urls) == 1


def test_collect_returns_the_issued_certificate_by_the_url_of_its_order(case: Case) -> None:
    order, _ = case.order("late.example.test")
    urls: list[str] = []
    issued = case.issuer.issue(order, urls.append)
    case.issuer.forget(order)
    assert (
        case.issuer.collect(Order(order.id, 1, order.names, order.csr_pem, order.opened_at, urls[0]))
        == issued
    )


def test_certificate_may_be_issued_only_once_the_ca_was_asked_for_it(case: Case) -> None:
    order, _ = case.order("asked.example.test")
    assert not case.issuer.may_be_issued(order)
    urls: list[str] = []
    case.issuer.issue(order, urls.append)
    assert case.issuer.may_be_issued(replace(order, url=urls[0]))
    failed, _ = case.order("unasked.example.test")
    case.spoil("unasked.example.test")
    with pytest.raises(IssueError):
        case.issuer.issue(failed, urls.append)
    assert not case.issuer.may_be_issued(replace(failed, url=urls[1]))


def test_collect_returns_none_for_an_old_order_unknown_to_the_ca(case: Case) -> None:
    order, _ = case.order("unheard.example.test")
    assert case.issuer.collect(order) is None
    unknown = "https://ca.test/order/999"
    if case.sandbox is not None:
        unknown = case.sandbox.pebble.directory_url.replace("/dir", "/my-order/none")
    long_ago = order.opened_at - timedelta(days=1)
    assert case.issuer.collect(Order(order.id, 1, order.names, order.csr_pem, long_ago, unknown)) is None


def test_revoke_is_idempotent_and_raises_issue_error_for_a_foreign_certificate(case: Case) -> None:
    order, key = case.order("revoked.example.test")
    bundle = _bundle(case.issuer.issue(order, lambda _url: None), key)
    case.issuer.revoke(bundle)
    case.issuer.revoke(bundle)
    stranger = FakeIssuer(case.clock)
    other, other_key = (
        Order(99, 1, ("x.example.test",), make_csr(make_key("ecdsa"), ("x.example.test",)), case.clock()),
        key,
    )
    with pytest.raises(IssueError):
        case.issuer.revoke(_bundle(stranger.issue(other, lambda _url: None), other_key))


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_revoke_names_the_reason_and_may_be_repeated(case: Case, reason: RevocationReason) -> None:
    order, key = case.order(f"{reason.lower()}.example.test")
    bundle = _bundle(case.issuer.issue(order, lambda _url: None), key)
    case.issuer.revoke(bundle, reason)
    # A process that is killed before it recorded the revocation repeats it.
    case.issuer.revoke(bundle, reason)
    if case.sandbox is not None:
        status = json.loads(case.sandbox.pebble.certificate_status(read_leaf(bundle.certificate).serial))
        # RFC 5280, section 5.3.1.
        codes = {"keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5}
        assert (status["Status"], status["Reason"]) == ("Revoked", codes[reason])


def test_revocation_of_a_compromised_key_is_signed_with_that_key(case: Case, tmp_path: Path) -> None:
    if case.sandbox is None:
        pytest.skip("the fake signs nothing")
    order, key = case.order("leaked.example.test")
    bundle = _bundle(case.issuer.issue(order, lambda _url: None), key)
    stranger = CertbotIssuer(load(case.sandbox.config_path, {}).acme, tmp_path / "acme", clock=case.clock)
    with pytest.raises(IssueError):
        stranger.revoke(bundle, RevocationReason.SUPERSEDED)
    stranger.revoke(bundle, RevocationReason.KEY_COMPROMISE)
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and key in path.read_text(errors="replace")
    ] == []
    stranger.close()


def _bundle(issued: Issued, key: str) -> Bundle:
    return Bundle(issued.certificate, issued.chain, key)


# ARI (RFC 9773). Debian 12's Pebble does not support it, so a server of the tests answers.


@dataclass
class Ari:
    """An issuer whose CA has a renewal window for each id in `known`, or no ARI if `known` is None."""

    issuer: Issuer
    server: AriServer | None

    def suggest(self, known: Mapping[str, RenewalWindow] | None) -> None:
        """Set the renewal windows of the CA."""
        if self.server is not None:
            answers = {
                id_: window(each.start_at, each.end_at, each.explanation_url)
                for id_, each in (known or {}).items()
            }
            self.server.answers = answers
            if known is None:
                self.server.directory = Answer(dict(self.server.resources))
        else:
            assert isinstance(self.issuer, FakeIssuer)
            self.issuer.suggested = None if known is None else known.get


@pytest.fixture(params=["fake", "certbot"])
def ari(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ari]:
    if request.param == "fake":
        yield Ari(FakeIssuer(Clock()), None)
        return
    with AriServer(tmp_path) as server:
        section = AcmeSection(directory_url=f"{server.url}/dir", ca_bundle=server.ca_bundle)
        issuer = CertbotIssuer(section, tmp_path / "acme", clock=Clock())
        yield Ari(issuer, server)
        issuer.close()


def test_renewal_infos_returns_the_window_of_each_id_and_none_for_unknown_ids(ari: Ari) -> None:
    known = {
        "aki.1": RenewalWindow(START, START + timedelta(days=1), "https://ca.test/why"),
        "aki.2": RenewalWindow(START + timedelta(days=9), START + timedelta(days=10)),
    }
    ari.suggest(known)
    assert ari.issuer.renewal_infos(["aki.1", "aki.2", "aki.3"], 20) == RenewalWindows(
        {**known, "aki.3": None}
    )


def test_renewal_infos_returns_none_when_the_ca_has_no_ari(ari: Ari) -> None:
    ari.suggest(None)
    assert ari.issuer.renewal_infos(["aki.1"], 20) is None
