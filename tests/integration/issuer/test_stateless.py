"""Stateless mode: real certbot and Pebble, an edge that answers by itself, and no file for any challenge."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.doctor import stateless
from sslctl.errors import Exit
from sslctl.issuer.certbot import directory
from sslctl.rules.account_key import thumbprint_of
from sslctl.rules.reasons import Code
from sslctl.rules.warnings import find_warnings
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.stateless import StatelessCdn, now

pytestmark = pytest.mark.pebble


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    with SandboxCdn(tmp_path_factory.mktemp("sandbox"), clock=now, mode="stateless") as running:
        yield running


@pytest.fixture
def setting(sandbox: SandboxCdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatelessCdn:
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(tmp_path / "state"))
    return StatelessCdn(sandbox)


def test_batch_is_issued_without_a_file_for_any_challenge(setting: StatelessCdn) -> None:
    # Whoever writes a challenge, or a note about one, meets a file in the place of its folder.
    setting.acme_folder.mkdir(mode=0o700)
    for name in ("webroot", "answers"):
        (setting.acme_folder / name).write_text("")
    names = [setting.new_domain() for _ in range(10)]
    assert setting.sslctl("add", *names).exit_code == 0
    assert all(setting.cdn.c4.serving(name) for name in names)
    assert list((setting.cdn.folder / "webroot").iterdir()) == []
    assert not list(setting.acme_folder.glob("runs/*"))


def test_account_has_the_stored_key_which_only_we_can_read(setting: StatelessCdn) -> None:
    setting.add()
    (account,) = setting.accounts()
    key = account / "private_key.json"
    assert thumbprint_of(key.read_text()) == setting.thumbprint
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (key, account)] == [0, 0]
    database = (setting.acme_folder.parent / "sslctl.db").read_bytes()
    assert key.read_text().encode() not in database


def test_lost_folder_of_certbot_costs_no_second_account(setting: StatelessCdn) -> None:
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
    sandbox.add_domain("before.example.test")
    assert run(["add", "before.example.test"], App(sandbox.config_path)) == 0
    monkeypatch.delenv("SSLCTL_ACME_MODE")
    setting = StatelessCdn(sandbox)
    (account,) = setting.accounts()
    assert thumbprint_of((account / "private_key.json").read_text()) == setting.thumbprint
    setting.add()
    assert setting.accounts() == [account]


def test_account_with_another_key_is_set_aside(
    setting: StatelessCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_edge_with_another_thumbprint_is_found_before_the_order(setting: StatelessCdn) -> None:
    setting.answer("another")
    name = setting.new_domain()
    assert setting.sslctl("add", name).exit_code != 0
    app = setting.app()
    domain = app.store.domain(name)
    assert domain.finding is not None
    assert domain.finding.code is Code.CHALLENGE_UNREACHABLE
    assert ".another" in domain.finding.found
    assert not setting.accounts(), "the CA was asked"
    app.close()


@pytest.fixture
def edges(setting: StatelessCdn, monkeypatch: pytest.MonkeyPatch) -> StatelessCdn:
    """The setting with edges: the sandbox's under two names, and one that does not answer."""
    port = setting.cdn.edge.https_port
    monkeypatch.setenv("SSLCTL_VERIFY_EDGES", f"127.0.0.1:{port},localhost:{port}")
    return setting


def _orders(setting: StatelessCdn) -> int:
    """Return how many orders were placed."""
    with closing(sqlite3.connect(setting.acme_folder.parent / "sslctl.db")) as connection:
        (number,) = connection.execute("SELECT count(*) FROM acme_order").fetchone()
    return int(number)


def test_edge_that_answers_wrongly_holds_back_the_order_and_is_named(edges: StatelessCdn) -> None:
    name = edges.add()
    edges.answer("another")
    assert edges.sslctl("recheck", name, "--force-renew").exit_code == Exit.PENDING
    app = edges.app()
    (warning,) = find_warnings(app.store.domain(name), now())
    assert warning.code is Code.EDGE_THUMBPRINT
    port = edges.cdn.edge.http_port
    assert f"edge 127.0.0.1:{port}: it answers “TOKEN.another”; edge localhost:{port}: " in warning.sentence
    assert _orders(edges) == 1
    app.close()
    edges.answer(edges.thumbprint)
    assert edges.sslctl("recheck", name, "--force-renew").exit_code == Exit.OK


def test_edge_that_does_not_answer_holds_nothing_back(
    setting: StatelessCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = setting.add()
    monkeypatch.setenv("SSLCTL_VERIFY_EDGES", "127.0.0.2:443")
    monkeypatch.setenv("SSLCTL_VERIFY_TIMEOUT_SECONDS", "0.5")
    assert setting.sslctl("recheck", name, "--force-renew").exit_code == Exit.OK


def _checks(setting: StatelessCdn, name: str) -> list[tuple[str, str]]:
    """Return grade and detail of the checks `name` of `doctor`."""
    return [(check.grade, check.detail) for check in setting.app().run_checks() if check.name == name]


def test_doctor_asks_each_edge_for_a_token(edges: StatelessCdn) -> None:
    assert _checks(edges, stateless.ANSWERS) == [("ok", "2 edges answer every token")]
    edges.answer("another")
    port = edges.cdn.edge.http_port
    wrong = f"127.0.0.1:{port} answers challenges wrongly: it answers “TOKEN.another”"
    assert _checks(edges, stateless.ANSWERS)[0] == ("bad", f"edge {wrong}")


def test_doctor_recommends_caa_once_there_is_an_account(setting: StatelessCdn) -> None:
    assert _checks(setting, stateless.CAA_OF_TARGETS) == []
    setting.add()
    (check,) = [each for each in setting.app().run_checks() if each.name == stateless.CAA_OF_TARGETS]
    assert check.grade == "warn"
    url = directory.find_account_url(setting.acme_folder, setting.app().config.acme.directory_url)
    assert check.hint == f'set *.cdn.sandbox.test CAA 0 issue "pebble.sandbox.test; accounturi={url}"'


def test_edge_whose_port_80_is_silent_is_reported_by_the_tick_until_it_answers(edges: StatelessCdn) -> None:
    edges.add()
    port = edges.cdn.edge.http_port
    edges.cdn.edge.stop()
    edges.sslctl("daemon-tick")
    app = edges.app()
    silent = {each.edge for each in app.store.silent_edges()}
    assert {f"127.0.0.1:{port}", f"localhost:{port}"} < silent
    edges.cdn.edge.start()
    edges.sslctl("daemon-tick")
    assert app.store.silent_edges() == []
    app.close()
