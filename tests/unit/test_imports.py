"""Commands that only read the store start fast: they import no slow module."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("certbot", "acme", "requests", "dns", "flask", "apprise")
# Only `sslctl schema` needs it.
SCHEMAS = "sslctl.cli.output.schemas"


@pytest.mark.parametrize(
    "module",
    [
        "sslctl.cli.main",
        "sslctl.cli.list",
        "sslctl.cli.view",
        "sslctl.cli.forecast",
        "sslctl.cli.audit",
        "sslctl.cli.history",
        "sslctl.cli.notify",
        "sslctl.store.sqlite.store",
    ],
)
def test_read_only_modules_import_no_network_library_and_no_schema(module: str) -> None:
    script = f"import sys, {module}; print([name for name in {(*SLOW, SCHEMAS)} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_add_imports_no_slow_module_before_certbot_is_started_beside_it() -> None:
    slow = (*SLOW, SCHEMAS, "cryptography", "publicsuffixlist", "dateutil")
    script = (
        "import sys, sslctl.cli.main, sslctl.cli.add, sslctl.issuer.configured\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_tick_with_nothing_due_imports_no_network_library(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret-token\n")
    (tmp_path / "token").chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[c4]\nbase_url = "https://127.0.0.1:9"\ntoken_file = "{tmp_path / "token"}"\n'
        '[cdn]\ncname_suffixes = ["cdn.test"]\n[renewal]\nari = "off"\n'
    )
    script = (
        "import sys\nfrom sslctl.cli.main import run\ncode = run(sys.argv[1:])\n"
        f"print(code, [name for name in {(*SLOW, 'ssl', 'http.client', 'cryptography.x509')} if name in sys.modules])\n"
    )
    # The first tick of a day asks C4 for its inventory.
    for arguments in (["init"], ["daemon-tick", "--quiet"], ["daemon-tick", "--quiet"]):
        result = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, "SSLCTL_CONFIG": str(config), "SSLCTL_STATE_DIR": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            check=True,
        )
    assert result.stdout.splitlines()[-1] == "0 []"


def test_completion_of_a_name_imports_neither_cryptography_nor_a_command(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom sslctl.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n"
        f"    print([name for name in {(*SLOW, 'cryptography', 'sslctl.cli.add')} if name in sys.modules])\n"
    )
    asked = {"_SSLCTL_COMPLETE": "bash_complete", "COMP_WORDS": "sslctl\nadd\nsho", "COMP_CWORD": "2"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **asked, "SSLCTL_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "[]"
