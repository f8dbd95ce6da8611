"""Configuration, token and CA files that another user can change are refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn

NAME = "shop.example.com"


def _config(cdn: Cdn) -> Path:
    return cdn.config_path


def _token(cdn: Cdn) -> Path:
    return cdn.folder / "token"


@pytest.mark.parametrize("which", [_config, _token], ids=["configuration", "token"])
@pytest.mark.parametrize("command", [("add", NAME), ("daemon-tick",)], ids=lambda it: it[0])
def test_command_ends_with_8_and_asks_nobody_when_others_can_change_a_trusted_file(
    cdn: Cdn, which: Callable[[Cdn], Path], command: tuple[str, ...]
) -> None:
    cdn.add_domain(NAME)
    requests = len(cdn.c4.requests)
    which(cdn).chmod(0o620)
    result = cdn.sslctl(*command)
    assert result.exit_code == Exit.UNUSABLE
    assert f"other users can change {which(cdn)} (mode 0620)" in result.stderr
    assert f"chmod go-w {which(cdn)}" in result.stderr
    assert len(cdn.c4.requests) == requests


def test_configuration_is_refused_when_others_can_write_its_folder(cdn: Cdn) -> None:
    cdn.config_path.parent.chmod(0o777)
    result = cdn.sslctl("list")
    cdn.config_path.parent.chmod(0o700)
    assert result.exit_code == Exit.UNUSABLE
    assert "other users can change" in result.stderr


def test_doctor_reports_a_configuration_that_others_can_change(cdn: Cdn) -> None:
    cdn.config_path.chmod(0o666)
    result = cdn.sslctl("doctor", "--json")
    assert result.exit_code == Exit.UNUSABLE
    found = {check["check"]: check["grade"] for check in json.loads(result.stdout)["checks"]}
    assert found["configuration"] == "bad"
