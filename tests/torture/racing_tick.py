"""A tick in a process of its own, on one of several hosts that race, with a fake CA that all of them seem to share."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from urllib.parse import quote

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.issuer import Issued, OrderPending
from sslctl.rules.model import Order
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
    """A CA of which each process has a part. Its orders and certificates are in `folder`, where every process finds them.

    Each order waits at most `delay` seconds before the CA has it, and as long before its URL arrives.
    """

    def __init__(self, clock: Clock, folder: Path, place: str, delay: float = 0) -> None:
        super().__init__(clock)
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._place = place
        self._chance = Random(place)
        self._delay = delay

    def new_url(self) -> str:
        """See `FakeIssuer.new_url`. No other process has this URL."""
        url = f"{super().new_url()}/{self._place}"
        self._file(url).touch()
        return url

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`. Every process can collect the certificate from then on."""
        urls = [order.url] if order.url else []

        def keep(url: str) -> None:
            urls.append(url)
            self._wait()
            on_url(url)

        self._wait()
        issued = super().issue(order, keep, replaces=replaces)
        (url,) = urls
        new = self._file(f"{url}/new")
        new.write_text(json.dumps([issued.certificate, issued.chain]))
        new.replace(self._file(url))
        return issued

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        if order.url is None or not self._file(order.url).exists():
            return None
        text = self._file(order.url).read_text()
        if not text:
            raise OrderPending
        return Issued(*json.loads(text))

    def _file(self, url: str) -> Path:
        return self._folder / quote(url, safe="")

    def _wait(self) -> None:
        if self._delay:
            time.sleep(self._chance.uniform(0, self._delay))


def race(
    config: Path, at: datetime, delay: float, start: Barrier, results: Queue[Raced], slowness: float = 0
) -> None:
    """Run a tick at the time `at`, with the file `config`; put what came of it into `results`. It starts `delay` seconds after `start`.

    An order takes at most twice `slowness` seconds at the CA.
    """
    clock = Clock(at)
    place = f"{config.stem}/{at:%d-%H-%M}"
    app, notifier = App(config, clock), FakeNotifier("chat")
    issuer = _SharedIssuer(clock, config.parent / "ca", place, slowness)
    app.issuer, app.issuers, app.notifier = issuer, {FIRST_CA: issuer}, notifier
    stderr = StringIO()
    start.wait(_PATIENCE)
    time.sleep(delay)
    with redirect_stderr(stderr), redirect_stdout(StringIO()):
        code = run(["daemon-tick"], app)
    messages = [f"{message.title}\n{message.body}" for message, _ in notifier.sent]
    results.put(Raced(code, stderr.getvalue(), issuer.orders_by_name(), issuer.serials(), messages))
