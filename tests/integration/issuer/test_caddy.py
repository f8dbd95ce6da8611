"""Real certbot at a CA that is not Pebble: what sslctl relies on is RFC 8555, and what step-ca does otherwise is understood."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.certificates.x509 import check_pair, make_csr, make_key, read_leaf
from sslctl.cli.main import run
from sslctl.config.settings import load
from sslctl.issuer import IssueError, OrderPending
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from sslctl.sandbox.cdn import SandboxCdn, cname_target
from tests.support.caddy import CaddyCa, missing
from tests.support.fakes import Clock
from tests.torture.acme_proxy import AcmeProxy
from tests.torture.faulty_edge import ADDRESS as WRONG_EDGE
from tests.torture.faulty_edge import FaultyEdge

pytestmark = pytest.mark.caddy

_CLOSED = "127.0.0.99"
_CERTIFICATE = re.compile(r"/acme/local/certificate/(\w+)")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    with SandboxCdn(tmp_path_factory.mktemp("cdn"), clock=_now) as running:
        yield running


@pytest.fixture(scope="module")
def ca(cdn: SandboxCdn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaddyCa]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("ca")
    with CaddyCa(folder, edge_port=cdn.edge.http_port, dns_server=cdn.pebble.dns_server) as running:
        yield running


@pytest.fixture
def make_issuer(cdn: SandboxCdn, ca: CaddyCa, tmp_path: Path) -> Iterator[Callable[..., CertbotIssuer]]:
    """Return a function that makes an issuer with an account of its own, and with changed settings."""
    made: list[CertbotIssuer] = []

    def make(**settings: object) -> CertbotIssuer:
        acme = dataclasses.replace(load(cdn.config_path, ca.environment).acme, **settings)  # type: ignore[arg-type]
        made.append(CertbotIssuer(acme, tmp_path / f"acme-{len(made)}", clock=_now))
        return made[-1]

    yield make
    for issuer in made:
        issuer.close()


@pytest.fixture
def issuer(make_issuer: Callable[..., CertbotIssuer]) -> CertbotIssuer:
    return make_issuer()


class Placed:
    """An order for names that point at the CDN, its key and the URLs that the CA gave it."""

    def __init__(self, cdn: SandboxCdn, *names: str, number: int = 1, key: str = "") -> None:
        for name in names:
            cdn.add_domain(name)
        self.key = key or make_key("p256")
        self.urls: list[str] = []
        self._order = Order(number, 1, names, make_csr(self.key, names), _now())

    @property
    def order(self) -> Order:
        """The order as a pass finds it: with its URL once it was placed."""
        return dataclasses.replace(self._order, url=self.urls[0] if self.urls else None)

    def issue(self, issuer: CertbotIssuer) -> Bundle:
        """Place the order or go on with it; return the certificate, which was checked, with its key."""
        issued = issuer.issue(self.order, self.urls.append)
        check_pair(issued.certificate, self.key, issued.chain, self._order.names, datetime.now(UTC))
        return Bundle(issued.certificate, issued.chain, self.key)


@pytest.mark.parametrize("mode", ["webroot", "standalone"])
def test_both_modes_issue_for_several_names(
    cdn: SandboxCdn, make_issuer: Callable[..., CertbotIssuer], mode: str
) -> None:
    names = tuple(f"{each}.{mode}.example.test" for each in "ab")
    bundle = Placed(cdn, *names).issue(make_issuer(mode=mode))
    assert set(read_leaf(bundle.certificate).names) == set(names)


@pytest.mark.parametrize(
    ("kind", "type_"), [("p384", "ECDSA P-384"), ("rsa2048", "RSA 2048"), ("rsa4096", "RSA 4096")]
)
def test_certificate_has_the_key_of_the_order(
    cdn: SandboxCdn, issuer: CertbotIssuer, kind: str, type_: str
) -> None:
    bundle = Placed(cdn, f"{kind}.example.test", key=make_key(kind)).issue(issuer)
    assert read_leaf(bundle.certificate).key_type == type_


def test_renewal_gets_another_certificate_with_the_same_key_and_with_another(
    cdn: SandboxCdn, issuer: CertbotIssuer
) -> None:
    first = Placed(cdn, "renewed.example.test")
    same = Placed(cdn, "renewed.example.test", number=2, key=first.key)
    other = Placed(cdn, "renewed.example.test", number=3)
    # The CA has no ARI: what the order replaces is not sent.
    assert issuer.renewal_infos(["aki.serial"], 10) is None
    assert issuer.issue(first.order, first.urls.append, replaces="aki.serial")
    serials = {read_leaf(each.issue(issuer).certificate).serial for each in (same, other)}
    assert len(serials) == 2


def test_collect_fetches_the_certificate_from_its_order(cdn: SandboxCdn, issuer: CertbotIssuer) -> None:
    placed = Placed(cdn, "collected.example.test")
    bundle = placed.issue(issuer)
    issuer.forget(placed.order)
    collected = issuer.collect(placed.order)
    assert collected is not None
    assert (collected.certificate, collected.chain) == (bundle.certificate, bundle.chain)


def test_order_survives_a_restart_of_the_ca_which_is_unavailable_meanwhile(
    cdn: SandboxCdn, make_issuer: Callable[..., CertbotIssuer], tmp_path: Path
) -> None:
    ca = CaddyCa(tmp_path / "ca", edge_port=cdn.edge.http_port, dns_server=cdn.pebble.dns_server)
    placed = Placed(cdn, "restarted.example.test")
    with ca:
        settings = {"directory_url": ca.directory_url, "ca_bundle": ca.ca_bundle}
        issuer = make_issuer(**settings)
        bundle = placed.issue(issuer)
        issuer.forget(placed.order)
    with pytest.raises(IssueError) as caught:
        issuer.collect(placed.order)
    assert (caught.value.code, caught.value.order_dead) == (Code.CA_UNAVAILABLE, False)
    with ca:
        assert ca.directory_url == settings["directory_url"]
        collected = issuer.collect(placed.order)
    assert collected is not None
    assert collected.certificate == bundle.certificate


def test_collect_drops_an_old_order_that_is_unknown_or_of_another_account(
    cdn: SandboxCdn, make_issuer: Callable[..., CertbotIssuer]
) -> None:
    issuer, stranger = make_issuer(), make_issuer()
    placed = Placed(cdn, "unknown.example.test")
    placed.issue(issuer)
    Placed(cdn, "stranger.example.test", number=9).issue(stranger)
    for asked, url in ((issuer, f"{placed.urls[0]}none"), (stranger, placed.urls[0])):
        order = dataclasses.replace(placed.order, id=7, url=url)
        with pytest.raises(IssueError, match="it does not know the order"):
            asked.collect(order)
        assert asked.collect(dataclasses.replace(order, opened_at=_now() - timedelta(days=2))) is None


def test_certificate_is_revoked_by_the_account_and_by_its_own_key(
    cdn: SandboxCdn, make_issuer: Callable[..., CertbotIssuer]
) -> None:
    issuer, stranger = make_issuer(), make_issuer()
    bundles = [Placed(cdn, "revoked.example.test", number=number).issue(issuer) for number in (1, 2, 3)]
    Placed(cdn, "stranger.example.test", number=9).issue(stranger)
    with pytest.raises(IssueError) as caught:
        stranger.revoke(bundles[0], RevocationReason.SUPERSEDED)
    assert caught.value.code is Code.CA_REFUSED
    # A process that is killed before it recorded the revocation repeats it.
    for _ in range(2):
        issuer.revoke(bundles[0], RevocationReason.SUPERSEDED)
        issuer.revoke(bundles[1])
        stranger.revoke(bundles[2], RevocationReason.KEY_COMPROMISE)


def test_account_is_known_and_the_profile_that_the_ca_lacks_is_refused(
    cdn: SandboxCdn, make_issuer: Callable[..., CertbotIssuer]
) -> None:
    issuer = make_issuer()
    assert issuer.account_status() is None
    Placed(cdn, "account.example.test").issue(issuer)
    assert issuer.account_status() == "valid"
    with pytest.raises(IssueError, match="the CA offers no profiles"):
        Placed(cdn, "account.example.test", number=2).issue(make_issuer(profile="classic"))


def test_failed_validation_ends_at_once_and_the_next_run_goes_on_with_the_order(
    cdn: SandboxCdn, issuer: CertbotIssuer
) -> None:
    """step-ca leaves the challenge pending, with its error, and validates it only if it is asked again."""
    placed = Placed(cdn, "closed.example.test", "well.example.test")
    cdn.pebble.set_addresses(cname_target("closed.example.test"), [_CLOSED])
    began = time.monotonic()
    with pytest.raises(IssueError) as caught:
        placed.issue(issuer)
    assert time.monotonic() - began < 30
    assert (caught.value.code, caught.value.order_dead) == (Code.CHALLENGE_FAILED, False)
    assert caught.value.found.startswith("closed.example.test: connection: ")
    assert caught.value.found.endswith("; the next try goes on with the same order")
    with pytest.raises(OrderPending):
        issuer.collect(placed.order)
    cdn.pebble.set_addresses(cname_target("closed.example.test"), ["127.0.0.1"])
    assert placed.issue(issuer)
    assert len(placed.urls) == 1


def test_wrong_content_ends_the_order_and_the_next_one_succeeds(
    cdn: SandboxCdn, issuer: CertbotIssuer
) -> None:
    """step-ca leaves the authorization pending, for challenges of other kinds, and its error has the type of a refused name."""
    placed = Placed(cdn, "parked.example.test")
    cdn.pebble.set_addresses(cname_target("parked.example.test"), [WRONG_EDGE])
    began = time.monotonic()
    with FaultyEdge(cdn.edge, "wrong"), pytest.raises(IssueError) as caught:
        placed.issue(issuer)
    assert time.monotonic() - began < 30
    assert (caught.value.code, caught.value.order_dead) == (Code.CHALLENGE_FAILED, True)
    cdn.pebble.set_addresses(cname_target("parked.example.test"), ["127.0.0.1"])
    # A process that was killed before it heard that hears it from the order.
    with pytest.raises(OrderPending):
        issuer.collect(placed.order)
    with pytest.raises(IssueError) as caught:
        placed.issue(issuer)
    assert (caught.value.code, caught.value.order_dead) == (Code.CHALLENGE_FAILED, True)
    assert Placed(cdn, "parked.example.test", number=2).issue(issuer)


class Program:
    """sslctl with a state of its own, this CA, and a clock that can be moved."""

    def __init__(self, cdn: SandboxCdn, ca: CaddyCa, folder: Path) -> None:
        self.clock = Clock(_now())
        self._config = cdn.config_path
        self.environment = {
            "SSLCTL_CONFIG": str(cdn.config_path),
            "SSLCTL_STATE_DIR": str(folder / "state"),
            **ca.environment,
        }

    def use_first_ca(self, url: str, bundle: Path, *, fallback: CaddyCa) -> None:
        """Make the CA at `url` the first one, and `fallback` the other one."""
        self.environment |= {"SSLCTL_ACME_DIRECTORY_URL": url, "SSLCTL_ACME_CA_BUNDLE": str(bundle)}
        copy = Path(self.environment["SSLCTL_STATE_DIR"]).with_name("several.toml")
        tables = f"""
            [[acme.fallback]]
            directory_url = "{fallback.directory_url}"
            ca_bundle = "{fallback.ca_bundle}"
            caa_identities = ["caddy.test"]
            """
        copy.write_text(self._config.read_text() + tables)
        copy.chmod(0o600)
        self._config = copy

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command as a process, with the machine's clock."""
        return subprocess.Popen(
            [sys.executable, "-m", "sslctl", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command in this process; return its exit code and its output."""
        written = io.StringIO()
        umask = os.umask(0o077)  # as the program has it
        try:
            with pytest.MonkeyPatch.context() as patch, redirect_stdout(written), redirect_stderr(written):
                for key, value in self.environment.items():
                    patch.setenv(key, value)
                code = run(list(arguments), App(self._config, self.clock))
        finally:
            os.umask(umask)
        return code, written.getvalue()

    def versions(self, name: str) -> list[dict[str, object]]:
        """Return the certificates of `name`, as `view --json` shows them."""
        _, output = self.run("view", name, "--json")
        found: list[dict[str, object]] = json.loads(output)["domain"]["certificates"]
        return found


@pytest.fixture
def program(cdn: SandboxCdn, ca: CaddyCa, tmp_path: Path) -> Program:
    return Program(cdn, ca, tmp_path)


def test_domain_is_served_renewed_and_revoked(cdn: SandboxCdn, program: Program) -> None:
    name = "whole.example.test"
    cdn.add_domain(name)
    assert program.run("add", name)[0] == 0
    # Half of the 12 hours.
    program.clock.move(hours=7)
    code, output = program.run("daemon-tick")
    assert code == 0, output
    assert len(program.versions(name)) == 2
    code, output = program.run("revoke", name, "--reason", "keyCompromise", "--replace", "--yes")
    assert code == 0, output
    newest = max(program.versions(name), key=lambda each: int(str(each["version"])))
    placed = cdn.c4.serving(name)
    assert placed is not None
    assert newest["fingerprint_sha256"] == placed.fingerprint


def test_fallback_issues_while_the_first_ca_is_down_and_revokes_what_it_issued(
    cdn: SandboxCdn, ca: CaddyCa, program: Program, tmp_path: Path
) -> None:
    name = "fallback.example.test"
    cdn.add_domain(name)
    with AcmeProxy(tmp_path / "proxy", cdn.pebble) as first:
        program.use_first_ca(first.directory_url, first.ca_bundle, fallback=ca)
        first.is_down = True
        code, output = program.run("add", name)
        assert code == 0, output
        first.is_down = False
        # The other CA revokes what the first one has replaced.
        code, output = program.run("revoke", name, "--reason", "superseded", "--replace", "--yes")
        assert code == 0, output
    newest, older = program.versions(name)
    assert (newest["ca"], older["ca"]) == (first.directory_url, ca.directory_url)
    assert newest["issuer"] != older["issuer"]
    assert (newest["revoked_at"], older["revoked_at"] is None) == (None, False)


def test_certificate_is_collected_after_a_kill_between_its_issuance_and_its_download(
    cdn: SandboxCdn, ca: CaddyCa, program: Program
) -> None:
    name, before = "killed.example.test", _issued(ca)
    cdn.add_domain(name)
    # A second between the answer that the certificate is issued and the request for it.
    program.environment["SSLCTL_PACING_OTHER"] = "1"
    process = program.start("add", name)
    with process:
        deadline = time.monotonic() + 60
        while _issued(ca) == before:
            assert time.monotonic() < deadline, "the CA has issued nothing"
            time.sleep(0.01)
        process.kill()
    issued = _issued(ca)
    assert program.versions(name) == []
    code, output = program.run("recheck", name)
    assert code == 0, output
    assert len(program.versions(name)) == 1
    assert _issued(ca) == issued


def _issued(ca: CaddyCa) -> set[str]:
    """Return the URLs of the certificates that the CA has issued."""
    return set(_CERTIFICATE.findall(ca.log()))
