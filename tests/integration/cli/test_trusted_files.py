"""Configuration, token and CA files that another user can change are refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.errors import ConfigError, Exit
from tests.support.cdn import Cdn

NAME = "shop.example.com"


def _config(cdn: Cdn) -> Path:
    return cdn.config_path


def _token(cdn: Cdn) -> Path:
    return cdn.folder / "token"


def _ca(cdn: Cdn) -> Path:
    path = cdn.folder / "acme-ca.pem"
    path.write_bytes((cdn.folder / "ca.pem").read_bytes())
    config = cdn.config_path.read_text()
    if "acme-ca.pem" not in config:
        cdn.config_path.write_text(
            config.replace(f'ca_bundle = "{cdn.folder}/ca.pem"', f'ca_bundle = "{path}"', 1)
        )
    return path


@pytest.mark.parametrize("which", [_config, _token, _ca], ids=["configuration", "token", "CA"])
@pytest.mark.parametrize("command", [("add", NAME), ("daemon-tick",)], ids=lambda it: it[0])
def test_command_ends_with_8_and_asks_nobody_when_others_can_change_a_trusted_file(
    cdn: Cdn, which: Callable[[Cdn], Path], command: tuple[str, ...]
) -> None:
    cdn.add_domain(NAME)
    requests = len(cdn.c4.requests)
    path = which(cdn)
    path.chmod(0o620)
    result = cdn.sslctl(*command)
    assert result.exit_code == Exit.UNUSABLE
    assert f"other users can change {path} (mode 0620)" in result.stderr
    assert f"chmod go-w {path}" in result.stderr
    assert len(cdn.c4.requests) == requests


def test_configuration_is_refused_when_others_can_write_its_folder(cdn: Cdn) -> None:
    cdn.config_path.parent.chmod(0o777)
    result = cdn.sslctl("list")
    cdn.config_path.parent.chmod(0o700)
    assert result.exit_code == Exit.UNUSABLE
    assert "other users can change" in result.stderr


def test_doctor_reports_a_ca_bundle_that_others_can_change(cdn: Cdn) -> None:
    _ca(cdn).chmod(0o666)
    result = cdn.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    found = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
    assert found["CA"]["grade"] == "bad"
    assert "other users can change" in found["CA"]["detail"]


def test_certbot_is_not_started_when_others_can_change_the_ca_bundle(cdn: Cdn) -> None:
    _ca(cdn).chmod(0o666)
    app = App(cdn.config_path, cdn.clock)
    with pytest.raises(ConfigError, match=r"acme\.ca_bundle is not used"):
        _ = app.issuer
    app.close()


@pytest.mark.parametrize("mode", [0o770, 0o702], ids=oct)
def test_key_file_is_refused_when_others_can_replace_it(cdn: Cdn, mode: int) -> None:
    """The folder decides who can replace a file."""
    folder = cdn.folder / "keys"
    folder.mkdir(mode=0o700)
    (cdn.folder / "state" / "master.key").rename(folder / "master.key")
    config = cdn.config_path.read_text()
    cdn.config_path.write_text(config.replace("[acme]", f'key_file = "{folder}/master.key"\n[acme]'))
    assert cdn.sslctl("list").exit_code == Exit.OK
    folder.chmod(mode)
    for command in (["add", NAME, "--no-wait"], ["daemon-tick"]):
        result = cdn.sslctl(*command)
        assert result.exit_code == Exit.UNUSABLE
        assert f"other users can change {folder} (mode {mode:04o})" in result.stderr


def test_doctor_reports_a_configuration_that_others_can_change(cdn: Cdn) -> None:
    cdn.config_path.chmod(0o666)
    result = cdn.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    found = {check["check"]: check["grade"] for check in json.loads(result.stdout)["checks"]}
    assert found["configuration"] == "bad"
