"""certbot is imported while the checks before an order run, and nothing of that is left behind or waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sslctl.issuer.certbot.worker_pool import WorkerPool
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal, await_true, run

NAME = "shop.example.com"


class Certbot:
    """A package in the place of certbot, with `code`, for processes with `PYTHONPATH=folder`. It leaves a file when it is imported."""

    def __init__(self, folder: Path, code: str) -> None:
        self.folder = str(folder)
        package = folder / "certbot"
        package.mkdir()
        self._imported = package / "imported"
        (package / "__init__.py").write_text(
            f"import pathlib, time\npathlib.Path({str(self._imported)!r}).touch()\n{code}\n"
        )

    @property
    def is_imported(self) -> bool:
        return self._imported.exists()

    def processes(self) -> list[int]:
        """Return the processes that would import it."""
        return list(self._find())

    def _find(self) -> Iterator[int]:
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"PYTHONPATH={self.folder}\0" in path.read_text(errors="replace"):
                    yield int(path.parent.name)


@pytest.fixture
def slow(tmp_path: Path) -> Certbot:
    """Return a certbot whose import takes longer than any test."""
    folder = tmp_path / "slow"
    folder.mkdir()
    return Certbot(folder, "time.sleep(600)")


def test_pass_without_an_order_does_not_wait_for_certbot(cdn: Cdn, slow: Certbot) -> None:
    cdn.add_domain(NAME, points_at="old.host.test")
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=1.5))
    result = run(cdn, "add", NAME, PYTHONPATH=slow.folder)
    assert result.returncode == 4, result.stderr
    assert slow.is_imported
    assert slow.processes() == []


def test_interrupt_during_the_checks_leaves_no_process_behind(cdn: Cdn, slow: Certbot) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=1.5))
    with Terminal(cdn, "add", NAME, PYTHONPATH=slow.folder, SSLCTL_CDN_PROBE_CHALLENGE="false") as terminal:
        terminal.await_text("querying C4")
        await_true(lambda: slow.is_imported)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130, terminal.screen
    assert "finishing the passes under way" in terminal.screen
    assert slow.processes() == []


@pytest.mark.parametrize("is_expected", [False, True])
def test_order_reports_why_certbot_cannot_be_imported(tmp_path: Path, *, is_expected: bool) -> None:
    broken = Certbot(tmp_path, "raise ImportError('no such luck')")
    pool = WorkerPool(1, environment={**os.environ, "PYTHONPATH": broken.folder}, deadline_seconds=60)
    with closing(pool):
        if is_expected:
            pool.warm_up()
            await_true(lambda: broken.is_imported and not broken.processes())
        with pool.job() as channel:
            assert list(channel) == []
            assert channel.last_error_line() == "ImportError: no such luck"


def test_orders_are_expected_only_where_one_is_likely(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    for arguments in (["add", NAME, "--dry-run"], ["add", NAME, "--no-wait"], ["list"], ["view", NAME]):
        cdn.sslctl(*arguments)
    assert cdn.issuer.expectations == 0
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.issuer.expectations == 1
    # It is well: no order is due.
    cdn.sslctl("recheck", NAME)
    cdn.sslctl("daemon-tick")
    assert cdn.issuer.expectations == 1
    cdn.sslctl("add", NAME)
    assert cdn.issuer.expectations == 2
