"""A CDN for the simulation of two years: the real program with a real database, and all others in memory."""

from __future__ import annotations

import heapq
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Self

from sslctl.app import App
from sslctl.certificates.x509 import read_leaf
from sslctl.cli.main import run
from sslctl.control_plane import Installed, State
from sslctl.errors import Exit
from sslctl.preflight import PreflightError, Publisher
from sslctl.rules.model import Bundle, Source
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import next_midnight
from sslctl.store.sqlite.waiting import Waiting
from tests.support.cdn import Result
from tests.support.dying_store import Killed
from tests.support.fake_c4 import FakeC4
from tests.support.fakes import Clock, FakeIssuer, FakeNotifier
from tests.support.webhook import Webhook
from tests.torture.years_ca import FaultyCa
from tests.torture.years_edge import Edge
from tests.torture.years_heard import Heard

SUFFIX = "cdn.test"
_WELL = {Exit.OK, Exit.SOME_NOT_WELL, Exit.EMERGENCY, Exit.TRY_LATER}


class Dns:
    """A prober: `troubles` has the code of each name that is not ready; `faults` return the code of a name, or None."""

    def __init__(self) -> None:
        self.troubles: dict[str, Code] = {}
        self.faults: list[Callable[[str], Code | None]] = []

    def check(
        self,
        names: tuple[str, ...],
        cname_target: str,
        *,
        http_expected: bool,
        publisher: Publisher | None = None,  # noqa: ARG002 - no token is fetched here
    ) -> None:
        """See `Prober.check`."""
        assert http_expected
        self.check_pointing(names, cname_target)

    def check_before_cutover(
        self,
        names: tuple[str, ...],
        cname_target: str,
        *,
        publisher: Publisher | None = None,  # noqa: ARG002 - no token is fetched here
    ) -> None:
        """See `Prober.check_before_cutover`. No domain here is before its cutover."""
        self.check_pointing(names, cname_target)

    def check_caa(self, names: tuple[str, ...], cname_target: str, ca: str) -> None:
        """See `Prober.check_caa`. There is one CA."""

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """See `Prober.check_pointing`. Each code counts as one of DNS."""
        for name in names:
            for code in (*(fault(name) for fault in self.faults), self.troubles.get(name)):
                if code is not None:
                    raise PreflightError(code, f"what DNS has for {name}", cname_target)


class World:
    """A CDN for the simulation; use as a context manager. It begins at `start`, 00:00 in Singapore.

    `clock` is the right time; that of sslctl is ahead by `skew`. While a fault
    lasts, a tick runs after each `step`. `settings` are lines of the configuration by section. The
    store of each tick goes through `wrap_store`, if that is set.
    """

    def __init__(self, folder: Path, start: datetime, step: timedelta) -> None:
        self.folder = folder
        self._start = start
        self._step = step
        self.clock = Clock(start)
        self.skew = timedelta(0)
        self.ca = FaultyCa(self.clock)
        self.issuer: FakeIssuer = self.ca
        self.text_ca = FakeIssuer(self.clock)
        self.dns = Dns()
        self.chat = FakeNotifier("chat")
        self.pings = Webhook()
        self.edge = Edge(self.clock)
        self.heard = Heard(self.edge)
        self.c4 = FakeC4(self.clock)
        self.c4.on_change = self.edge.change
        self.waiting: Waiting | None = None
        self.settings: dict[str, str] = {}
        self.wrap_store: Callable[[Any], Any] | None = None
        self.violations: list[str] = []
        self.codes = Counter[int]()
        self._often_until = start
        self._events: list[tuple[datetime, int, Callable[[], object]]] = []
        self._numbers = count()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.pings)
        (self.folder / "roots.pem").write_text(self.ca.chain + self.text_ca.chain)
        self.configure()
        self.sslctl("init", expected={Exit.OK})
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # Time

    def at(self, when: datetime, action: Callable[[], object]) -> None:
        """Let `action` happen at `when`."""
        # The precision of everything that is stored.
        heapq.heappush(self._events, (when.replace(microsecond=0), next(self._numbers), action))

    def run_often(self, until: datetime) -> None:
        """Run a tick after each `step` until `until`; on other days there is one at midnight."""
        self._often_until = max(self._often_until, until)

    def live(self, until: datetime) -> Iterator[datetime]:
        """Let time pass until `until`; yield after each tick."""
        while self.clock() < until:
            tick_at = self._next_tick()
            if self._events and self._events[0][0] < tick_at:
                at, _, action = heapq.heappop(self._events)
                self._move(at)
                action()
                continue
            self._move(tick_at)
            self._tick()
            yield tick_at

    def _next_tick(self) -> datetime:
        now = self.clock()
        if now < self._often_until:
            return self._start + ((now - self._start) // self._step + 1) * self._step
        return next_midnight(now)

    def _move(self, at: datetime) -> None:
        self.clock.at = max(at, self.clock.at)
        self.edge.let_expire()

    # sslctl

    def _tick(self) -> None:
        pinged, sent = len(self.pings.pings), len(self.chat.sent)
        try:
            result = self.sslctl("daemon-tick", "--json", wrap_store=self.wrap_store)
        except Killed:
            result = None
        self.edge.note_empty()
        is_alarm = len(self.pings.pings) == pinged or self.pings.status != HTTPStatus.OK
        code = Exit.BUG if result is None else result.exit_code
        self.codes[code] += 1
        if code not in _WELL and self.wrap_store is None:
            self.violations.append(
                f"I8: the tick at {self.clock()} ended with {code}: {result.stderr[-500:] if result else 'killed'}"
            )
        output = json.loads(result.stdout) if result is not None and code in _WELL and result.stdout else {}
        messages = [message for message, _ in self.chat.sent[sent:]]
        self.chat.sent.clear()
        self.heard.end_tick(
            self.clock(),
            messages=() if self.chat.deaf else messages,
            is_usable="domains" in output and not (self.chat.deaf and messages),
            has_pinged=not is_alarm,
        )

    def sslctl(
        self,
        *arguments: str,
        expected: Collection[int] | None = None,
        wrap_store: Callable[[Any], Any] | None = None,
    ) -> Result:
        """Run a command. Note a violation unless its exit code is in `expected`, if that is given."""
        app = App(self.folder / "config.toml", lambda: self.clock() + self.skew, waiting=self.waiting)
        app.issuers = {app.config.acme.directory_url: self.issuer}
        app.control_plane, app.prober, app.notifier = self.c4, self.dns, self.chat
        if wrap_store is not None:
            app.store = wrap_store(app.store)
        stdout, stderr = io.StringIO(), io.StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = run(list(arguments), app)
        result = Result(code, stdout.getvalue(), stderr.getvalue())
        if expected is not None and code not in expected:
            self.violations.append(
                f"I8: {' '.join(arguments)} at {self.clock()} ended with {code}: {result.stderr[-500:]}"
            )
        return result

    @property
    def backup(self) -> Path:
        """The last backup."""
        return self.folder / "backup.db"

    def back_up(self) -> None:
        """Make a backup."""
        self.sslctl("backup", str(self.backup), "--force", expected={Exit.OK})

    def configure(self) -> None:
        """Write the configuration, with `settings`."""
        sections = {
            "state": f'dir = "{self.folder}/state"',
            "acme": 'directory_url = "https://ca.test/directory"\nworkers = 1\ncaa_identities = ["ca.test"]',
            "c4": 'base_url = "https://c4.test"',
            "cdn": f'cname_suffixes = ["{SUFFIX}"]',
            "limits": 'orders = "300/3h"',
            "notify": f'ping_url = "http://{self.pings.address}/ping"',
            "safety": f'trusted_roots = "{self.folder}/roots.pem"',
        } | self.settings
        text = "\n".join(f"[{section}]\n{lines}" for section, lines in sections.items())
        path = self.folder / "config.toml"
        path.write_text(text + "\n")
        path.chmod(0o600)

    @contextmanager
    def file(self, text: str) -> Iterator[Path]:
        """Yield a file with `text`."""
        path = self.folder / f"input-{next(self._numbers)}"
        path.write_text(text)
        path.chmod(0o600)
        try:
            yield path
        finally:
            path.unlink()

    # Certificates of customers

    def pair(self, name: str, days: float) -> Bundle:
        """Return a customer's own pair for `name`, valid from now on for `days`."""
        self.text_ca.lifetime = timedelta(days=days)
        pair = self.text_ca.pair(name)
        self.text_ca.issued.clear()
        return pair

    def place(self, name: str, source: Source, days: float) -> None:
        """Let somebody else install a certificate for `name` on C4."""
        leaf = read_leaf(self.pair(name, days).certificate)
        self.c4.place(name, Installed(source, leaf.fingerprint, leaf.not_after, State.ACTIVE))
