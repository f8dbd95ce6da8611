"""A tick as a process of its own, with a CA that takes its time."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from sslctl.app import App
from sslctl.cli import daemon_tick
from sslctl.cli.main import run
from sslctl.control_plane.c4 import client

# What a tick imports on its way is here before the processes are forked off.
from sslctl.issuance import pipeline
from sslctl.preflight import checks
from sslctl.store.sqlite import store
from tests.support.fakes import Clock, FakeIssuer

IMPORTED = (client, daemon_tick, pipeline, checks, store)
_PATIENCE = 60.0


class WaitingIssuer(FakeIssuer):
    """A CA that issues nothing before `may_issue` is set."""

    def __init__(self, clock: Clock, may_issue: Event) -> None:
        super().__init__(clock)
        self._may_issue = may_issue

    def issue(self, *arguments: Any, **options: Any) -> Any:
        """See `Issuer.issue`."""
        assert self._may_issue.wait(_PATIENCE)
        return super().issue(*arguments, **options)


def tick(config: Path, start: Barrier, may_issue: Event, results: Queue[tuple[int, str, int]]) -> None:
    """Run a tick together with others; tell its exit code, what it complained of, and how many orders it placed."""
    clock = Clock()
    app = App(config, clock)
    app.issuer = issuer = WaitingIssuer(clock, may_issue)
    start.wait(_PATIENCE)
    stderr = StringIO()
    with redirect_stderr(stderr), redirect_stdout(StringIO()):
        code = run(["daemon-tick"], app)
    results.put((code, stderr.getvalue(), len(issuer.orders)))
