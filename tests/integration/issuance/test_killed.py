"""kill -9 during an order with real certbot: the next run continues the same order."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.sandbox.cdn import SandboxCdn

pytestmark = pytest.mark.pebble

SSLCTL = [sys.executable, "-m", "sslctl"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    # The CA is slow, so that there is time for a kill.
    slow = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "2"}
    folder = tmp_path_factory.mktemp("sandbox")
    with SandboxCdn(folder, clock=lambda: datetime.now(UTC), pebble_environment=slow) as running:
        yield running


def _rows(sandbox: SandboxCdn, sql: str) -> list[tuple[object, ...]]:
    database = sandbox.folder / "state" / "sslctl.db"
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return []
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []  # not created yet
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("placed.example.test", "url IS NOT NULL"),
        ("validating.example.test", "url IS NOT NULL"),
        ("issued.example.test", "outcome = 'issued'"),
    ],
)
def test_next_run_continues_the_same_order_after_kill_9(sandbox: SandboxCdn, name: str, moment: str) -> None:
    sandbox.add_domain(name)
    environment = {**os.environ, "SSLCTL_CONFIG": str(sandbox.config_path)}
    orders = f"FROM acme_order JOIN domain ON domain.id = domain_id WHERE domain.name = '{name}'"
    with subprocess.Popen([*SSLCTL, "add", name], env=environment, stdout=subprocess.DEVNULL) as process:
        for _ in range(3000):
            if _rows(sandbox, f"SELECT 1 {orders} AND acme_order.{moment}"):
                break
            time.sleep(0.005)
        time.sleep(1 if name.startswith("validating") else 0)
        process.kill()
    result = subprocess.run(
        [*SSLCTL, "recheck", name], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert _rows(sandbox, f"SELECT acme_order.outcome {orders}") == [("issued",)]
    assert _rows(sandbox, "PRAGMA integrity_check") == [("ok",)]
    # Run folders of finished orders are removed much later.
    assert name.startswith("issued") or not list((sandbox.folder / "state" / "acme").glob("runs/**/*"))


@pytest.mark.parametrize("mode", ["webroot", "standalone"])
def test_no_certificate_is_lost_if_runs_are_killed_while_the_ca_validates(tmp_path: Path, mode: str) -> None:
    names = [f"d{number}.example.test" for number in range(8)]
    slow = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "5"}
    with SandboxCdn(tmp_path, clock=lambda: datetime.now(UTC), mode=mode, pebble_environment=slow) as sandbox:
        for name in names:
            sandbox.add_domain(name)
        environment = {**os.environ, "SSLCTL_CONFIG": str(sandbox.config_path)}
        asked = "SELECT count(*) FROM acme_order WHERE url IS NOT NULL"
        for pause in (0.5, 1.5):
            with subprocess.Popen(
                [*SSLCTL, "add", *names], env=environment, stdout=subprocess.DEVNULL
            ) as run:
                for _ in range(3000):
                    if _rows(sandbox, asked) >= [(4,)]:
                        break
                    time.sleep(0.01)
                time.sleep(pause)
                run.kill()
        result = subprocess.run(
            [*SSLCTL, "recheck", *names], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        found = _rows(sandbox, "SELECT outcome, count(*) FROM acme_order GROUP BY outcome")
        orders = {str(outcome): int(str(count)) for outcome, count in found}
        if mode == "standalone":
            # Between two runs nobody answers the CA, whose validation may fail then.
            assert orders.pop("came to nothing", 0) <= 2 * len(names)
        assert orders == {"issued": len(names)}
        assert _rows(sandbox, "SELECT count(*) FROM certificate") == [(len(names),)]
        acme = sandbox.folder / "state" / "acme"
        webroot = tmp_path if mode == "webroot" else acme
        assert not list((webroot / "webroot" / ".well-known" / "acme-challenge").iterdir())
        assert not list(acme.glob("answers/*"))
