"""What orders without certbot's main need of certbot, and what happens without it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from certbot._internal import account, auth_handler, cli, client
from certbot._internal.plugins import selection
from certbot._internal.plugins.disco import PluginsRegistry

from sslctl.issuer.certbot import order


@pytest.fixture(autouse=True)
def _unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_config", None)


def test_installed_certbot_can_be_used_without_its_main() -> None:
    assert not order.is_prepared()
    assert order.prepare()
    assert order.is_prepared()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (client, "create_acme_client"),
        (client.Client, "__init__"),
        (client.Client, "obtain_certificate_from_csr"),
        (account.AccountFileStorage, "load"),
        (auth_handler.AuthHandler, "_poll_authorizations"),
    ],
)
def test_certbot_with_another_signature_is_not_used(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getattr(owner, name), "__signature__", inspect.Signature(), raising=False)
    assert not order.prepare()
    assert not order.is_prepared()


def test_certbot_without_a_function_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(auth_handler.AuthHandler, "_poll_authorizations")
    assert not order.prepare()


def test_user_agent_is_that_of_certbots_main(tmp_path: Path) -> None:
    plugins = PluginsRegistry.find_all()
    arguments = ["certonly", "--webroot", "--webroot-path", str(tmp_path), "--quiet", "--non-interactive"]
    config = cli.prepare_and_parse_args(plugins, arguments)
    selection.choose_configurator_plugins(config, plugins, "certonly")
    assert order.prepare()
    assert order._config is not None
    assert order._config.user_agent == client.determine_user_agent(config)
