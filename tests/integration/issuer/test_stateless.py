"""Stateless mode: real certbot and Pebble, an edge that answers by itself, and no file for any challenge."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.issuer.certbot import directory
from sslctl.rules.account_key import thumbprint_of
from sslctl.rules.reasons import Code
from sslctl.sandbox.cdn import SandboxCdn

pytestmark = pytest.mark.pebble
_numbers = count(1)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Setting:
    """A sandbox whose edge answers by itself what `answer` says."""

    def __init__(self, cdn: SandboxCdn) -> None:
        self.cdn = cdn
        app = self.app()
        app.make_state()
        self.thumbprint = app.account_keys().current.thumbprint
        app.close()
        self.answer(self.thumbprint)

    def app(self) -> App:
        return App(self.cdn.config_path)

    def answer(self, thumbprint: str) -> None:
        self.cdn.thumbprint_path.write_text(f"{thumbprint}\n")

    def add(self) -> str:
        """Add a new domain, which gets a certificate; return its name."""
        name = new_domain(self.cdn)
        assert self.sslctl("add", name) == 0
        return name

    def sslctl(self, *arguments: str) -> int:
        return run(list(arguments), self.app())

    @property
    def acme_folder(self) -> Path:
        return self.app().config.state.acme_dir

    def accounts(self) -> list[Path]:
        """Return the folders of certbot's accounts."""
        return [path.parent for path in (self.acme_folder / "accounts").glob("**/private_key.json")]


def new_domain(cdn: SandboxCdn) -> str:
    """Create a domain that no other test has."""
    name = f"shop{next(_numbers)}.example.test"
    cdn.add_domain(name)
    return name


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    with SandboxCdn(tmp_path_factory.mktemp("sandbox"), clock=_now, mode="stateless") as running:
        yield running


@pytest.fixture
def setting(sandbox: SandboxCdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(tmp_path / "state"))
    return Setting(sandbox)


def test_batch_is_issued_without_a_file_for_any_challenge(setting: Setting) -> None:
    # Whoever writes a challenge, or a note about one, meets a file in the place of its folder.
    setting.acme_folder.mkdir(mode=0o700)
    for name in ("webroot", "answers"):
        (setting.acme_folder / name).write_text("")
    names = [new_domain(setting.cdn) for _ in range(10)]
    assert setting.sslctl("add", *names) == 0
    assert all(setting.cdn.c4.serving(name) for name in names)
    assert list((setting.cdn.folder / "webroot").iterdir()) == []
    assert not list(setting.acme_folder.glob("runs/*"))


def test_account_has_the_stored_key_which_only_we_can_read(setting: Setting) -> None:
    setting.add()
    (account,) = setting.accounts()
    key = account / "private_key.json"
    assert thumbprint_of(key.read_text()) == setting.thumbprint
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (key, account)] == [0, 0]
    database = (setting.acme_folder.parent / "sslctl.db").read_bytes()
    assert key.read_text().encode() not in database


def test_lost_folder_of_certbot_costs_no_second_account(setting: Setting) -> None:
    setting.add()
    app = setting.app()
    acme = app.config.acme
    before = directory.find_account_url(setting.acme_folder, acme.directory_url)
    setting.acme_folder.rename(setting.acme_folder.with_name("lost"))
    setting.add()
    assert directory.find_account_url(setting.acme_folder, acme.directory_url) == before


def test_installation_that_changes_its_mode_keeps_its_account(
    sandbox: SandboxCdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SSLCTL_ACME_MODE", "standalone")
    sandbox.thumbprint_path.unlink(missing_ok=True)
    App(sandbox.config_path).make_state()
    assert run(["add", new_domain(sandbox)], App(sandbox.config_path)) == 0
    monkeypatch.delenv("SSLCTL_ACME_MODE")
    setting = Setting(sandbox)
    (account,) = setting.accounts()
    assert thumbprint_of((account / "private_key.json").read_text()) == setting.thumbprint
    setting.add()
    assert setting.accounts() == [account]


def test_account_with_another_key_is_set_aside(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLCTL_ACME_MODE", "standalone")
    setting.cdn.thumbprint_path.unlink()
    setting.add()
    (other,) = setting.accounts()
    monkeypatch.delenv("SSLCTL_ACME_MODE")
    setting.answer(setting.thumbprint)
    setting.add()
    (account,) = setting.accounts()
    assert thumbprint_of((account / "private_key.json").read_text()) == setting.thumbprint
    assert (setting.acme_folder / "former-accounts" / other.name / "private_key.json").exists()


def test_edge_with_another_thumbprint_is_found_before_the_order(setting: Setting) -> None:
    setting.answer("another")
    name = new_domain(setting.cdn)
    assert setting.sslctl("add", name) != 0
    app = setting.app()
    domain = app.store.domain(name)
    assert domain.finding is not None
    assert domain.finding.code is Code.CHALLENGE_UNREACHABLE
    assert ".another" in domain.finding.found
    assert not setting.accounts(), "the CA was asked"
    app.close()
