"""A whole CDN with real certbot and real Pebble, a proxy that injects faults of the CA, and a clock that can be moved."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.rules.model import Domain, Finding
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.torture import invariants
from tests.torture.acme_proxy import AcmeProxy

_NINETY_DAYS = 90 * 86_400
_ISSUED = re.compile(r"Issued certificate serial ([0-9a-f]+) for order")


class FaultyCa:
    """A CDN whose CA can misbehave; use as a context manager. `pebble` are environment variables of Pebble."""

    def __init__(self, folder: Path, **pebble: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.clock = Clock(_soon())
        self.world = SandboxCdn(
            folder / "world", clock=self.clock, certificate_seconds=_NINETY_DAYS, pebble_environment=pebble
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.world)
            self.proxy = starting.enter_context(AcmeProxy(self.folder / "proxy", self.world.pebble))
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def issued(self) -> list[str]:
        """Return the serial numbers of all certificates that Pebble issued."""
        return _ISSUED.findall((self.world.folder / "pebble" / "pebble.log").read_text(errors="replace"))

    @contextmanager
    def scene(self, name: str, **settings: object) -> Iterator[Scene]:
        """Yield a new state with a CA that behaves; `settings` are keys of the section `acme`."""
        self.clock.at = _soon()
        self.proxy.behave()
        yield Scene(self, name, settings)
        self.proxy.behave()


def _soon() -> datetime:
    # Ahead of the machine's clock, so that nothing that Pebble issues begins in the future.
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@dataclass(slots=True)
class Scene:
    """sslctl with a state of its own and the faulty CA."""

    ca: FaultyCa
    name: str
    settings: dict[str, object]
    outside: invariants.Outside = field(init=False)
    state: Path = field(init=False)
    config: Path = field(init=False)
    output: str = field(init=False, default="")
    exit_code: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.state = self.ca.folder / self.name / "state"
        self.config = self.ca.folder / self.name / "config.toml"
        self.config.parent.mkdir()
        self.configure()
        before = set(self.ca.issued())
        self.outside = invariants.Outside(
            issued=lambda: set(self.ca.issued()) - before,
            orders=self.ca.proxy.orders,
            installed=self._installed,
        )

    def configure(self) -> None:
        """Write the configuration."""
        world, proxy = self.ca.world, self.ca.proxy
        text = world.config_path.read_text()
        for old, new in (
            (world.pebble.directory_url, proxy.directory_url),
            (world.pebble.ca_bundle, proxy.ca_bundle),
            (world.folder / "state", self.state),
        ):
            text = text.replace(json.dumps(str(old)), json.dumps(str(new)))
        for key, value in self.settings.items():
            text = re.sub(rf"(?m)^{key} = .*\n", "", text)
            text = text.replace("[acme]\n", f"[acme]\n{key} = {json.dumps(value)}\n")
        self.config.write_text(text)

    @property
    def clock(self) -> Clock:
        return self.ca.clock

    @property
    def proxy(self) -> AcmeProxy:
        return self.ca.proxy

    def names(self, count: int) -> list[str]:
        """Create customers' domains."""
        made = [f"{self.name}-{number}.example.test" for number in range(1, count + 1)]
        for name in made:
            self.ca.world.add_domain(name)
        return made

    def sslctl(self, *arguments: str) -> int:
        """Run a command in this process; store its output in `output` and return its exit code."""
        written = io.StringIO()
        umask = os.umask(0o077)  # as the program has it
        try:
            with redirect_stdout(written), redirect_stderr(written):
                self.exit_code = run(list(arguments), App(self.config, self.clock))
        finally:
            os.umask(umask)
        self.output = written.getvalue()
        return self.exit_code

    def run_program(self, *arguments: str, umask: int) -> int:
        """Run the program as a process, with the machine's clock and `umask`."""
        result = subprocess.run(
            [sys.executable, "-m", "sslctl", *arguments],
            env={**os.environ, "SSLCTL_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            umask=umask,
            check=False,
        )
        self.output, self.exit_code = result.stdout + result.stderr, result.returncode
        return self.exit_code

    def add(self, names: Sequence[str]) -> int:
        """Record `names` and order their certificates; return the exit code."""
        path = self.config.with_name("names.txt")
        path.write_text("\n".join(names))
        return self.sslctl("add", "--from-file", str(path))

    def tick(self, **later: float) -> int:
        """Move the clock forward by `later` and run the tick; return the exit code."""
        self.clock.move(**later)
        return self.sslctl("daemon-tick")

    def domain(self, name: str) -> Domain:
        store = SqliteStore(
            self.state / "sslctl.db",
            Keyring(self.state / "master.key"),
            clock=self.clock,
            actor="checker (torture)",
        )
        with closing(store):
            return store.domain(name)

    def finding(self, name: str) -> Finding | None:
        return self.domain(name).finding

    def code(self, name: str) -> str:
        """Return the code of the finding, or `Success` if there is none."""
        finding = self.finding(name)
        return "Success" if finding is None else finding.code.value

    def retry_at(self, name: str) -> datetime | None:
        finding = self.finding(name)
        return None if finding is None else finding.retry_at

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.state / 'sslctl.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def violations(
        self, *, healthy: Iterable[str] | None = None, most_orders: Callable[[str], int] = lambda _name: 1
    ) -> list[str]:
        """Return which invariants do not hold."""
        return invariants.violations(
            self.state, self.outside, self.clock(), healthy=healthy, most_orders=most_orders
        )

    def _installed(self, name: str) -> str | None:
        placed = self.ca.world.c4.serving(name)
        return None if placed is None else placed.fingerprint


@dataclass(slots=True)
class Expectations:
    """Collects expectations that do not hold."""

    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found}, wanted {wanted}")

    def true(self, what: str, *, holds: bool) -> None:
        if not holds:
            self.wrong.append(what)
