"""The command that installs an optional package."""

from __future__ import annotations

import shlex
import sys

import pytest

from sslctl.cli.extras import needing
from sslctl.errors import ConfigError


@pytest.mark.parametrize("folder", ["/opt/sslctl", "/opt/my tools"])
def test_hint_installs_the_extra_into_the_python_that_runs(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", f"{folder}/bin/python3")
    monkeypatch.setitem(sys.modules, "waitress", None)
    with (
        pytest.raises(ConfigError, match="the page needs the package waitress, which is not") as raised,
        needing("web", "the page"),
    ):
        import waitress  # noqa: F401, PLC0415 - is what is missing
    assert raised.value.hint is not None
    command = raised.value.hint.partition(": ")[2]
    assert shlex.split(command) == [f"{folder}/bin/python3", "-m", "pip", "install", ".[web]"]
