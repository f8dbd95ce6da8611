"""Commands that only read the store start fast: they import no slow module."""

import subprocess
import sys

import pytest

SLOW = ("certbot", "acme", "requests", "dns", "flask", "apprise")


@pytest.mark.parametrize(
    "module",
    [
        "sslctl.cli.main",
        "sslctl.cli.list",
        "sslctl.cli.view",
        "sslctl.cli.forecast",
        "sslctl.cli.notify",
        "sslctl.store.sqlite.store",
    ],
)
def test_read_only_modules_import_no_network_library(module: str) -> None:
    script = f"import sys, {module}; print([name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
