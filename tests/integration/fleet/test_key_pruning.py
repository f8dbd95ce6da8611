"""`keys prune` claims the same names as passes do, so neither works on a domain that the other one holds."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sslctl.fleet import key_pruning
from tests.support import environment
from tests.support.cdn import Cdn
from tests.support.store_cases import PATIENCE, look_into, processes
from tests.support.tick_cases import tick

NAME, OTHER = "shop.example.com", "www.example.com"


@pytest.fixture
def renewed(cdn: Cdn) -> Cdn:
    """A domain with two versions; the key of the first is spare."""
    for name in (NAME, OTHER):
        cdn.add_domain(name)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == 0
    return cdn


def prune(cdn: Cdn) -> tuple[int, list[int], int]:
    """Run `keys prune`; return its exit code, the versions whose keys it destroyed, and how many domains were busy."""
    result = cdn.sslctl("keys", "prune", "--older-than", "0", "--json")
    return result.exit_code, [key["version"] for key in result.json["keys"]], result.json["busy"]


def test_prune_leaves_out_a_domain_on_which_a_pass_of_another_process_works(renewed: Cdn) -> None:
    assert renewed.sslctl("add", NAME, "--san", OTHER, "--no-wait").exit_code == 0
    context = processes()
    start, may_issue, results = context.Barrier(1), context.Event(), context.Queue()
    running = context.Process(target=tick, args=(renewed.config_path, start, may_issue, results))
    running.start()
    try:
        wait_for_order(renewed)
        assert prune(renewed) == (75, [], 1)
    finally:
        may_issue.set()
    assert results.get(timeout=PATIENCE) == (0, "", 1)
    running.join(PATIENCE)
    assert prune(renewed) == (0, [1, 2], 0)


def wait_for_order(cdn: Cdn) -> None:
    """Wait until the tick has an order open at the CA, that is, until its pass holds the domain."""
    deadline = time.monotonic() + PATIENCE
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        while not connection.execute("SELECT 1 FROM acme_order WHERE closed_at IS NULL").fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_pass_of_another_process_is_refused_while_prune_holds_the_domain(renewed: Cdn) -> None:
    rechecks: list[subprocess.CompletedProcess[str]] = []

    class Paused:
        """The store, in which a command of another process runs once prune has claimed its domains."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, method: str) -> Any:
            return getattr(self._store, method)

        def transaction(self) -> AbstractContextManager[object]:
            rechecks.append(recheck(renewed))
            transaction: AbstractContextManager[object] = self._store.transaction()
            return transaction

    # The other process goes by the real time, so the claim must be one of today.
    renewed.clock.at = max(datetime.now(UTC).replace(microsecond=0), renewed.clock.at)
    app = renewed.app()
    store: Any = Paused(app.store)
    pruned = list(key_pruning.Pruning(store, renewed.clock(), timedelta()))
    assert [key.certificate.version for key in pruned] == [1]
    (refused,) = rechecks
    assert (refused.returncode, refused.stdout) == (75, "")
    assert f"another sslctl works on {NAME}\n" in refused.stderr
    app.close()
    # The claim is released: the same command is not refused any more.
    assert recheck(renewed).returncode != 75


def recheck(cdn: Cdn) -> subprocess.CompletedProcess[str]:
    """Run `sslctl recheck` in a process of its own."""
    command = [sys.executable, "-m", "sslctl", "--config", str(cdn.config_path), "recheck", NAME]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
