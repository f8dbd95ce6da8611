"""A tick as a process of its own, with a slow CA."""

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

# A tick imports these late; here they are imported before the fork.
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
    """Run a tick at the same time as others; put its exit code, standard error and number of orders into `results`."""
    clock = Clock()
    app = App(config, clock)
    app.issuer = issuer = WaitingIssuer(clock, may_issue)
    start.wait(_PATIENCE)
    stderr = StringIO()
    with redirect_stderr(stderr), redirect_stdout(StringIO()):
        code = run(["daemon-tick"], app)
    results.put((code, stderr.getvalue(), len(issuer.orders)))
