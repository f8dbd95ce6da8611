"""A tick in a process of its own, on one of several hosts that race, with a fake CA that all of them seem to share."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.cdn import FIRST_CA
from tests.support.fakes import Clock, FakeIssuer, FakeNotifier

_PATIENCE = 60.0


@dataclass(frozen=True)
class Raced:
    """What a tick ended with. `orders` are those that it placed, by name; `serials` were issued to it, `messages` were sent by it."""

    code: int
    stderr: str
    orders: Counter[str]
    serials: list[str]
    messages: list[str]


class _SharedIssuer(FakeIssuer):
    """A CA whose orders have URLs that no CA of another process has."""

    place = ""

    def new_url(self) -> str:
        """See `FakeIssuer.new_url`."""
        return f"{super().new_url()}/{self.place}"


def race(config: Path, at: datetime, delay: float, start: Barrier, results: Queue[Raced]) -> None:
    """Run a tick at the time `at`, with the file `config`; put what came of it into `results`. It starts `delay` seconds after `start`."""
    clock = Clock(at)
    app, issuer, notifier = App(config, clock), _SharedIssuer(clock), FakeNotifier("chat")
    issuer.place = f"{config.stem}/{at:%d-%H}"
    app.issuer, app.issuers, app.notifier = issuer, {FIRST_CA: issuer}, notifier
    stderr = StringIO()
    start.wait(_PATIENCE)
    time.sleep(delay)
    with redirect_stderr(stderr), redirect_stdout(StringIO()):
        code = run(["daemon-tick"], app)
    messages = [f"{message.title}\n{message.body}" for message, _ in notifier.sent]
    results.put(Raced(code, stderr.getvalue(), issuer.orders_by_name(), issuer.serials(), messages))
