"""A maintenance pause that another process sets while a batch runs, with real certbot and Pebble."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.sandbox.cdn import SandboxCdn

pytestmark = pytest.mark.pebble

SSLCTL = [sys.executable, "-m", "sslctl"]
NAMES = [f"d{number:02}.example.test" for number in range(24)]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxCdn]:
    """A CDN with a slow CA, so that there is time for a pause."""
    slow = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "2"}
    with SandboxCdn(tmp_path, clock=lambda: datetime.now(UTC), pebble_environment=slow) as running:
        yield running


def test_pause_of_another_process_stops_a_batch_and_no_certificate_is_ordered_twice(
    sandbox: SandboxCdn,
) -> None:
    for name in NAMES:
        sandbox.add_domain(name)
    environment = {**os.environ, "SSLCTL_CONFIG": str(sandbox.config_path), "SSLCTL_ACME_WORKERS": "2"}

    def rows(sql: str) -> list[tuple[int, ...]]:
        database = sandbox.folder / "state" / "sslctl.db"
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []  # not created yet

    def sslctl(*arguments: str) -> int:
        return subprocess.run(
            [*SSLCTL, *arguments], env=environment, capture_output=True, check=False
        ).returncode

    with subprocess.Popen([*SSLCTL, "add", *NAMES], env=environment, stdout=subprocess.DEVNULL) as process:
        for _ in range(3000):
            if rows("SELECT 1 FROM acme_order WHERE url IS NOT NULL"):
                break
            time.sleep(0.005)
        assert sslctl("pause", "--until", "1h", "--reason", "C4 is upgraded") == 0
        [(uploads,)] = rows("SELECT count(*) FROM certificate WHERE uploading_at IS NOT NULL")
        process.wait(120)
    assert process.returncode == 5
    [(placed,)] = rows("SELECT count(*) FROM acme_order WHERE url IS NOT NULL")
    assert 1 <= placed < len(NAMES)
    assert rows("SELECT count(*) FROM certificate") == [(placed,)], "what the CA had was finished"
    assert rows("SELECT count(*) FROM certificate WHERE uploading_at IS NOT NULL") == [(uploads,)]
    assert sslctl("daemon-tick") == 5
    assert rows("SELECT count(*) FROM acme_order WHERE url IS NOT NULL") == [(placed,)]
    assert sslctl("resume") == 0
    assert sslctl("daemon-tick") == 0
    assert rows("SELECT count(*) FROM acme_order WHERE outcome = 'issued'") == [(len(NAMES),)]
    assert rows("SELECT count(*) FROM acme_order WHERE url IS NOT NULL") == [(len(NAMES),)]
    assert rows("SELECT count(*) FROM domain WHERE serving_id IS NOT NULL") == [(len(NAMES),)]
