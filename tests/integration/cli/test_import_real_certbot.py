"""What a real certbot got from a real CA is imported, recognised on C4, and renewed by sslctl with the same account."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sslctl.app import App
from sslctl.certificates.x509 import read_leaf
from sslctl.cli.main import run
from sslctl.config.settings import load
from sslctl.rules.model import Bundle, Source
from sslctl.sandbox.cdn import SandboxCdn

pytestmark = pytest.mark.pebble

SHOP, WWW, API = "shop.example.test", "www.example.test", "api.example.test"


class Certbot:
    """certbot with a configuration folder of its own, as a person runs it, for the CA of a sandbox."""

    def __init__(self, sandbox: SandboxCdn, folder: Path) -> None:
        self._acme = load(sandbox.config_path, {}).acme
        self.folder = folder / "letsencrypt"
        self._work = folder

    def order(self, *arguments: str) -> None:
        """Order a certificate by HTTP-01, which succeeds."""
        folders = {"config": self.folder, "work": self._work / "work", "logs": self._work / "logs"}
        options = [f"--{name}-dir={path}" for name, path in folders.items()]
        options += ["--non-interactive", "--agree-tos", "--register-unsafely-without-email"]
        options += ["--server", self._acme.directory_url, "--webroot", "-w", str(self._acme.webroot)]
        result = subprocess.run(
            [Path(sys.executable).parent / "certbot", "certonly", *options, *arguments],
            env={**os.environ, "REQUESTS_CA_BUNDLE": str(self._acme.ca_bundle)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def bundle(self, lineage: str) -> Bundle:
        """Return the current version of a lineage."""
        live = self.folder / "live" / lineage
        return Bundle(*((live / f"{part}.pem").read_text() for part in ("cert", "chain", "privkey")))

    def account(self) -> str:
        """Return the id of the only account."""
        return next(self.folder.glob("accounts/**/regr.json")).parent.name


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    folder = tmp_path_factory.mktemp("sandbox")
    # certbot by itself gives up after two rejected nonces.
    quiet = {"PEBBLE_WFE_NONCEREJECT": "0"}
    clock = lambda: datetime.now(UTC).replace(microsecond=0)  # noqa: E731 - for this CDN alone
    with SandboxCdn(folder, clock=clock, pebble_environment=quiet) as running:
        for name in (SHOP, WWW, API):
            running.add_domain(name)
        yield running


@pytest.fixture(scope="module")
def certbot(sandbox: SandboxCdn, tmp_path_factory: pytest.TempPathFactory) -> Certbot:
    """A certbot with a lineage of two names that was renewed twice, once with the same key, and one with an RSA key."""
    running = Certbot(sandbox, tmp_path_factory.mktemp("certbot"))
    running.order("-d", SHOP, "-d", WWW, "--key-type", "ecdsa")
    running.order("-d", SHOP, "-d", WWW, "--force-renewal")
    running.order("-d", SHOP, "-d", WWW, "--force-renewal", "--reuse-key")
    running.order("-d", API, "--key-type", "rsa")
    return running


def sslctl(sandbox: SandboxCdn, *arguments: str) -> Any:
    """Run a command, which succeeds, and return its JSON."""
    stdout, stderr = io.StringIO(), io.StringIO()
    app = App(sandbox.config_path)
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run([*arguments, "--json"], app)
    assert code == 0, stdout.getvalue() + stderr.getvalue()
    return json.loads(stdout.getvalue())


def fingerprint(bundle: Bundle) -> str:
    return read_leaf(bundle.certificate).fingerprint


def test_lineages_of_a_real_certbot_are_served_and_renewed_after_the_import(
    sandbox: SandboxCdn, certbot: Certbot, tmp_path: Path
) -> None:
    shop, api = certbot.bundle(SHOP), certbot.bundle(API)
    # One was pasted into C4, the other one is not there.
    App(sandbox.config_path).control_plane.upload(SHOP, shop, Source.TEXT)

    done = sslctl(sandbox, "import", "certbot", str(certbot.folder), "--account")
    assert done["account"]["id"] == certbot.account()
    assert [(each["domain"], each["sans"], each["certificates"]) for each in done["lineages"]] == [
        (API, [], 1),
        (SHOP, [WWW], 3),
    ]

    rechecked = sslctl(sandbox, "recheck", SHOP, API)["domains"]
    assert [each["status"] for each in rechecked] == ["Success", "Success"]
    served = [sandbox.c4.serving(name) for name in (SHOP, API)]
    assert [each.fingerprint for each in served if each] == [fingerprint(shop), fingerprint(api)]

    history = sslctl(sandbox, "view", SHOP)["domain"]["certificates"]
    assert [each["version"] for each in history] == [3, 2, 1]
    assert {each["key_type"] for each in history} == {"ECDSA P-256"}
    assert sslctl(sandbox, "view", API)["domain"]["certificates"][0]["key_type"] == "RSA 2048"
    sslctl(sandbox, "download", SHOP, "-o", str(tmp_path / "pem"))
    assert (tmp_path / "pem" / "privkey.pem").read_text() == shop.private_key

    store = App(sandbox.config_path).store
    assert store.is_renewal((SHOP, WWW))
    for name in (SHOP, API):
        renewed = sslctl(sandbox, "recheck", name, "--force-renew")["domains"][0]
        assert (renewed["status"], renewed["error"]) == ("Success", None)
        placed = sandbox.c4.serving(name)
        assert placed is not None
        newest = sslctl(sandbox, "view", name)["domain"]["certificates"][0]
        assert placed.fingerprint == newest["fingerprint_sha256"]
        assert newest["version"] == (4 if name == SHOP else 2)
    accounts = list((sandbox.folder / "state").glob("acme/accounts/**/regr.json"))
    assert [each.parent.name for each in accounts] == [certbot.account()]


def test_import_after_a_renewal_by_certbot_takes_over_the_newer_certificate(
    sandbox: SandboxCdn, certbot: Certbot
) -> None:
    sslctl(sandbox, "import", "certbot", str(certbot.folder), API)
    # The dates of certificates are whole seconds, and the last one of this domain may be of this second.
    time.sleep(1.1)
    certbot.order("-d", API, "--force-renewal", "--cert-name", API, "--key-type", "ecdsa")
    done = sslctl(sandbox, "import", "certbot", str(certbot.folder), API)
    assert [(each["action"], each["certificates"]) for each in done["lineages"]] == [("extend", 1)]
    assert sslctl(sandbox, "recheck", API)["domains"][0]["status"] == "Success"
    placed = sandbox.c4.serving(API)
    assert placed is not None
    assert placed.fingerprint == fingerprint(certbot.bundle(API))
