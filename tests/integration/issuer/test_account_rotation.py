"""The account key is replaced at a real CA, which keeps the account, and every interruption is completed by the next run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.doctor import stateless
from sslctl.errors import Exit, TryLater
from sslctl.fleet.account_rotation import AccountRotation
from sslctl.issuer import IssueError
from sslctl.issuer.certbot import directory
from sslctl.rules.account_key import KeyRole, thumbprint_of
from sslctl.rules.claim_names import TICK, domain_claim
from sslctl.rules.reasons import Code
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.text import instant
from tests.support.postgres_backend import new_state
from tests.support.stateless import StatelessCdn, now
from tests.support.store_cases import look_into

pytestmark = pytest.mark.pebble
_HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    with SandboxCdn(tmp_path_factory.mktemp("sandbox"), clock=now, mode="stateless") as running:
        yield running


@pytest.fixture
def used(sandbox: SandboxCdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatelessCdn:
    """A CDN with one edge and one domain in service."""
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SSLCTL_VERIFY_EDGES", f"127.0.0.1:{sandbox.edge.https_port}")
    made = StatelessCdn(sandbox)
    made.add()
    return made


def _prepare(used: StatelessCdn) -> str:
    """Take the first step; return the next thumbprint."""
    found = used.sslctl("acme", "rotate", "--json")
    assert found.exit_code == Exit.OK
    return str(found.json["thumbprint"])


def _roles(used: StatelessCdn) -> dict[str, str]:
    app = used.app()
    keys = {role: app.store.account_key(role) for role in KeyRole}
    app.close()
    return {str(role): key.thumbprint for role, key in keys.items() if key is not None}


def _url(used: StatelessCdn) -> str:
    return directory.find_account_url(used.acme_folder, used.app().config.acme.directory_url)


def test_rotation_keeps_the_account_and_orders_go_on(used: StatelessCdn) -> None:
    url = _url(used)
    following = _prepare(used)
    assert (_prepare(used), _roles(used)) == (following, {"current": used.thumbprint, "next": following})
    used.answer(following)
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert (_roles(used), _url(used)) == ({"current": following}, url)
    (account,) = used.accounts()
    assert thumbprint_of((account / "private_key.json").read_text()) == following
    used.add()


def test_switch_is_refused_while_an_edge_answers_with_the_current_key(used: StatelessCdn) -> None:
    following = _prepare(used)
    refused = used.sslctl("acme", "rotate", "--switch")
    assert refused.exit_code == Exit.TRY_LATER
    assert f"127.0.0.1:{used.cdn.edge.http_port}: it answers “TOKEN.{used.thumbprint}”" in refused.stderr
    assert _roles(used) == {"current": used.thumbprint, "next": following}
    used.add()


def test_switch_is_refused_while_an_edge_does_not_answer(
    used: StatelessCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.answer(_prepare(used))
    monkeypatch.setenv("SSLCTL_VERIFY_EDGES", f"127.0.0.1:{used.cdn.edge.https_port},127.0.0.2:1")
    # The sandbox's edge listens on one address only.
    refused = used.sslctl("acme", "rotate", "--switch")
    assert refused.exit_code == Exit.TRY_LATER
    assert f"127.0.0.2:{used.cdn.edge.http_port}: " in refused.stderr
    assert _roles(used)["current"] == used.thumbprint


def test_switch_without_edges_asks_the_domains_in_service(
    used: StatelessCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSLCTL_VERIFY_EDGES")
    following = _prepare(used)
    refused = used.sslctl("acme", "rotate", "--switch")
    assert (refused.exit_code, "shop" in refused.stderr) == (Exit.TRY_LATER, True)
    used.answer(following)
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert _roles(used) == {"current": following}


def test_orders_wait_between_the_steps(used: StatelessCdn) -> None:
    used.answer(_prepare(used))
    name = used.new_domain()
    assert used.sslctl("add", name).exit_code != Exit.OK
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert used.sslctl("recheck", name).exit_code == Exit.OK


def test_doctor_does_not_recommend_the_current_key_for_an_edge_that_has_the_next_one(
    used: StatelessCdn,
) -> None:
    used.answer(_prepare(used))
    check = next(each for each in used.app().run_checks() if each.name == stateless.ANSWERS)
    assert (check.grade, "answers with the next account key" in check.detail) == ("bad", True)
    assert "then run `sslctl acme rotate --switch`" in check.hint


def test_switch_without_a_prepared_key_is_wrong_usage(used: StatelessCdn) -> None:
    refused = used.sslctl("acme", "rotate", "--switch")
    assert (refused.exit_code, "no next account key is prepared" in refused.stderr) == (Exit.USAGE, True)


def test_switch_waits_for_the_end_of_a_tick(used: StatelessCdn) -> None:
    used.answer(_prepare(used))
    with look_into(used.acme_folder.parent / "sslctl.db") as sql:
        sql.execute("INSERT INTO lease VALUES (?, 'elsewhere.test/1/1', ?)", (TICK, instant(now() + _HOUR)))
    refused = used.sslctl("acme", "rotate", "--switch")
    assert (refused.exit_code, "a tick runs" in refused.stderr) == (Exit.TRY_LATER, True)
    assert used.sslctl("claims", "break", TICK, "--force").exit_code == Exit.OK
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK


def test_switch_waits_for_the_end_of_passes_on_any_host(used: StatelessCdn) -> None:
    used.answer(_prepare(used))
    claim = domain_claim("shop.example.test")
    with look_into(used.acme_folder.parent / "sslctl.db") as sql:
        sql.execute("INSERT INTO lease VALUES (?, 'elsewhere.test/1/1', ?)", (claim, instant(now() + _HOUR)))
    refused = used.sslctl("acme", "rotate", "--switch")
    assert (refused.exit_code, "works on shop.example.test, and" in refused.stderr) == (Exit.TRY_LATER, True)
    assert _roles(used)["current"] == used.thumbprint
    assert used.sslctl("claims", "break", "shop.example.test", "--force").exit_code == Exit.OK
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK


@pytest.mark.postgres
def test_rotation_on_one_host_reaches_the_others(
    sandbox: SandboxCdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [tmp_path / host / "state" for host in ("a", "b")]
    state = new_state(hosts[0])
    monkeypatch.setenv("SSLCTL_STATE_URL", state.url)
    monkeypatch.setenv("SSLCTL_VERIFY_EDGES", f"127.0.0.1:{sandbox.edge.https_port}")
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(hosts[0]))
    used = StatelessCdn(sandbox)
    hosts[1].mkdir(mode=0o700, parents=True)
    shutil.copy(hosts[0] / "master.key", hosts[1])
    urls = []
    for host in hosts:
        monkeypatch.setenv("SSLCTL_STATE_DIR", str(host))
        used.add()
        urls.append(_url(used))
    assert urls[0] == urls[1]
    monkeypatch.setenv("SSLCTL_STATE_DIR", str(hosts[0]))
    following = _prepare(used)
    used.answer(following)
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    for host in hosts:
        monkeypatch.setenv("SSLCTL_STATE_DIR", str(host))
        used.add()
        assert (_url(used), _roles(used)) == (urls[0], {"current": following})
    state.discard()


def test_rotation_needs_stateless_mode(used: StatelessCdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLCTL_ACME_MODE", "webroot")
    for options in ((), ("--switch",)):
        refused = used.sslctl("acme", "rotate", *options)
        assert (refused.exit_code, 'acme.mode is "webroot"' in refused.stderr) == (Exit.UNUSABLE, True)


class _Killed(Exception):
    """Stands for a kill."""


def _kill() -> None:
    raise _Killed


def _interrupt(used: StatelessCdn, register: Any) -> None:
    """Run the switch with `register` in the place of the request to the CA; it does not return."""
    app = used.app()
    rotation = AccountRotation(app.store, register, lambda _thumbprint: [])
    with pytest.raises((_Killed, TryLater)):
        rotation.switch()
    app.close()


def test_switch_that_was_killed_before_the_request_is_completed_by_the_next_order(used: StatelessCdn) -> None:
    url, following = _url(used), _prepare(used)
    used.answer(following)
    _interrupt(used, _kill)
    assert _roles(used) == {"current": following, "previous": used.thumbprint}
    used.add()
    assert _url(used) == url
    refused = used.sslctl("acme", "rotate")
    assert (refused.exit_code, "is not complete" in refused.stderr) == (Exit.TRY_LATER, True)
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert _roles(used) == {"current": following}


def test_certificate_is_revoked_although_a_switch_was_interrupted_and_the_account_was_lost(
    used: StatelessCdn,
) -> None:
    name, following = used.add(), _prepare(used)
    used.answer(following)
    _interrupt(used, _kill)
    used.acme_folder.rename(used.acme_folder.with_name("lost"))
    assert used.sslctl("revoke", name, "--reason", "superseded", "--yes").exit_code == Exit.OK
    (account,) = used.accounts()
    assert thumbprint_of((account / "private_key.json").read_text()) == following


def _leave_order_open(used: StatelessCdn, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a domain whose order was placed, and then killed: for that its job may take just long enough."""
    for hundredths in range(15, 200, 5):
        name = used.new_domain()
        monkeypatch.setenv("SSLCTL_ACME_TIMEOUT_SECONDS", str(hundredths / 100))
        used.sslctl("add", name)
        monkeypatch.delenv("SSLCTL_ACME_TIMEOUT_SECONDS")
        with look_into(used.acme_folder.parent / "sslctl.db") as sql:
            open_orders = "SELECT name FROM acme_order JOIN domain ON domain.id = domain_id WHERE closed_at IS NULL AND url <> ''"
            if (name,) in sql.execute(open_orders).fetchall():
                return name
    raise AssertionError("every order was killed too early, or too late")


def test_open_order_is_collected_although_a_switch_was_interrupted_and_the_ca_was_down_after_it(
    used: StatelessCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _leave_order_open(used, monkeypatch)
    following = _prepare(used)
    used.answer(following)
    _interrupt(used, _kill)
    with monkeypatch.context() as patch:
        # As if the CA was down: its certificate is not the one that is expected.
        patch.setenv("SSLCTL_ACME_CA_BUNDLE", str(used.cdn.folder / "c4-ca.pem"))
        assert used.sslctl("recheck", name).exit_code == Exit.TRY_LATER
    assert used.sslctl("recheck", name).exit_code == Exit.OK
    with look_into(used.acme_folder.parent / "sslctl.db") as sql:
        orders = sql.execute(
            "SELECT outcome FROM acme_order JOIN domain ON domain.id = domain_id WHERE name = ?", (name,)
        )
        assert orders.fetchall() == [("issued",)]


def test_switch_that_was_killed_after_the_request_is_completed_by_the_next_run(used: StatelessCdn) -> None:
    url, following = _url(used), _prepare(used)
    used.answer(following)
    app = used.app()

    def register_and_kill() -> None:
        app.issuer.register()
        # As if certbot's folder had not been written either.
        used.acme_folder.rename(used.acme_folder.with_name("lost"))
        raise _Killed

    _interrupt(used, register_and_kill)
    app.close()
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert (_roles(used), _url(used)) == ({"current": following}, url)


def test_switch_while_the_ca_is_down_says_so_and_is_completed_later(used: StatelessCdn) -> None:
    following = _prepare(used)
    used.answer(following)

    def fail() -> None:
        raise IssueError(Code.CA_UNAVAILABLE, "no connection")

    _interrupt(used, fail)
    assert used.sslctl("acme", "rotate", "--switch").exit_code == Exit.OK
    assert _roles(used) == {"current": following}


def test_keys_are_in_no_output_and_in_no_event(used: StatelessCdn) -> None:
    used.answer(_prepare(used))
    outputs = [used.sslctl("acme", "rotate", "--switch"), used.sslctl("audit", "list", "--json")]
    app = used.app()
    secrets = [json.loads(key.jwk)["d"] for role in KeyRole if (key := app.store.account_key(role))]
    app.close()
    assert secrets
    assert not any(secret in each.stdout + each.stderr for secret in secrets for each in outputs)
