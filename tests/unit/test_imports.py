"""What a command imports, its user waits for."""

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
def test_looking_at_what_is_stored_imports_nothing_that_talks_to_the_outside(module: str) -> None:
    script = f"import sys, {module}; print([name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
