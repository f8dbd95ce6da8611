"""The environment of real sslctl processes under test: a CDN with real Pebble, and in it one state after another."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from acme.client import ClientNetwork
from acme.errors import ClientError
from acme.messages import Error, Order, RegistrationResource
from josepy.jwa import ES256
from josepy.jwk import JWK

from sslctl.app import utc_now
from sslctl.fleet import enrolment
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.sandbox.pebble import Pebble
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from tests.support import environment_without_settings, module_command
from tests.torture import invariants
from tests.torture.acme_proxy import AcmeProxy

SSLCTL = (sys.executable, "-m", "sslctl")
DYING_PROCESS = module_command("tests.torture.dying_process")
SYNCHRONIZED = module_command("tests.torture.synchronized_start")

_NINETY_DAYS = 90 * 86_400
_ORDERED = re.compile(r'Added order "(\S+)" to the db')
_ISSUED = re.compile(r"Issued certificate serial (\S+) for order")
# Marks a process and its children; sslctl's own settings do not reach certbot.
_MARK = "TORTURE_STATE"
_LONGEST_SECONDS = 240
# A child notices the end of its parent at once, but a busy machine may delay that.
_END_SECONDS = 10
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code of a command, and what it wrote to standard error."""

    code: int
    stderr: str


class Process:
    """A running command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, gate: int | None) -> None:
        self._stderr = TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._began = time.monotonic()
        self.seconds = 0.0
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL if gate is None else gate,
            stdout=subprocess.DEVNULL if gate is None else subprocess.PIPE,
            stderr=self._stderr,
        )

    def await_gate(self) -> None:
        """Wait until it is ready to start."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill_after(self, seconds: float) -> bool:
        """Kill it after `seconds`; return False if it ended before."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self.end().code < 0

    def end(self) -> Ended:
        """Wait for its end and return the result."""
        try:
            # Reads the pipe while it waits, so that a full pipe does not block the command.
            self._process.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self.seconds = time.monotonic() - self._began
        with self._stderr:
            self._stderr.seek(0)
            return Ended(self._process.returncode, self._stderr.read().decode(errors="replace").strip())


class Environment:
    """A CDN in `folder`; use as a context manager. Only one thread at a time may work in its states.

    `validation_seconds` is the longest time that the CA waits before each validation, which takes no time otherwise. With `has_other_ca` there
    is a fallback CA, and `first_ca` stands before the first one.
    """

    first_ca: AcmeProxy

    def __init__(self, folder: Path, *, validation_seconds: int = 0, has_other_ca: bool = False) -> None:
        self._folder = folder
        slow = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": str(validation_seconds)}
        self._world = SandboxCdn(
            folder,
            clock=utc_now,
            certificate_seconds=_NINETY_DAYS,
            pebble_environment=slow if validation_seconds else None,
            has_other_ca=has_other_ca,
        )
        self._numbers = count(1)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self._world)
            if self._world.other_pebble is not None:
                proxy = AcmeProxy(self._folder / "proxy", self._world.pebble)
                self.first_ca = starting.enter_context(proxy)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def state(self) -> State:
        """Return an empty state. Its view of the CA's log begins now, since the entries so far belong to other states."""
        return State(self._world, self._next_folder(), getattr(self, "first_ca", self._world.pebble))

    def _next_folder(self) -> Path:
        return self._folder / "states" / str(next(self._numbers))


class State:
    """A state folder of sslctl, with what CA and C4 know of its domains.

    `most_orders` limits the orders of each name, `settings` are variables of the environment for sslctl. `places` are the values of
    `state.dir`, one of each host that shares the state; `place` is that of the host which commands are started on.
    """

    def __init__(self, world: SandboxCdn, folder: Path, first_ca: Pebble | AcmeProxy) -> None:
        self.folder = folder
        self.most_orders = Counter[str]()
        self.settings: dict[str, str] = {}
        self._world = world
        self._cas = [ca for ca in (first_ca, world.other_pebble) if ca is not None]
        logs = [ca.log for ca in (world.pebble, world.other_pebble) if ca is not None]
        self._begins = {log: log.stat().st_size for log in logs}
        self._names = count(1)
        self._ordered_by: dict[str, str] = {}
        self._outside = invariants.Outside(self.issued, self.orders, self.installed)
        self.place = folder
        self.places = [folder]
        folder.parent.mkdir(mode=0o700, exist_ok=True)

    # Actions

    def customers(self, number: int) -> list[str]:
        """Create healthy domains."""
        made = [
            f"{next(self._names)}.state-{self.folder.name}.world-{self._world.folder.name}.test"
            for _ in range(number)
        ]
        for name in made:
            self._world.add_domain(name)
        return made

    def record(self, names: Sequence[str]) -> None:
        """Record domains, as `add --no-wait` does."""
        with closing(self.open()) as store:
            enrolment.enrol_many(store, names, utc_now())

    def open(self) -> Store:
        """Open the store; create it if there is none."""
        return SqliteStore(
            self.folder / "sslctl.db",
            Keyring(self.folder / "master.key"),
            clock=utc_now,
            actor="torture",
            create=True,
        )

    def start(self, *arguments: str, through: Sequence[str] = SSLCTL, gate: int | None = None) -> Process:
        """Start sslctl with `arguments`. `gate` is the standard input of a process that waits for it to be closed."""
        environment = environment_without_settings(
            SSLCTL_CONFIG=str(self._world.config_path),
            SSLCTL_STATE_DIR=str(self.place),
            SSLCTL_ACME_DIRECTORY_URL=self._cas[0].directory_url,
            SSLCTL_ACME_CA_BUNDLE=str(self._cas[0].ca_bundle),
            **{_MARK: str(self.folder), **self.settings},
        )
        return Process([*through, *arguments], environment, gate=gate)

    def run(self, *arguments: str) -> Ended:
        """Run sslctl to its end."""
        return self.start(*arguments).end()

    def lose_runs(self) -> None:
        """Delete what certbot wrote, as if it had been killed right before writing it."""
        for place in self.places:
            for path in (place / "acme" / "runs").glob("*/*.pem"):
                path.unlink()

    # Results

    def violations(
        self, *, acknowledged: Iterable[str] = (), healthy: Iterable[str] | None = None
    ) -> list[str]:
        """Return which invariants do not hold. No process may be working on the state."""
        return invariants.violations(
            self.folder,
            self._outside,
            utc_now(),
            most_orders=lambda name: self.most_orders[name],
            acknowledged=acknowledged,
            healthy=healthy,
        )

    def unfinished(self) -> list[str]:
        """Return the orders that are not issued although the CA had them and all domains are wanted."""
        lost = self.rows("SELECT url, outcome FROM acme_order WHERE url IS NOT NULL AND outcome <> 'issued'")
        still_open = self.rows("SELECT names FROM acme_order WHERE closed_at IS NULL")
        return [
            *(f"I2: the order {url} was known, and {outcome}" for url, outcome in lost),
            *(f"I1: an order for {names} is still open" for (names,) in still_open),
        ]

    def issued(self) -> list[str]:
        """Return the serial numbers of all certificates that the CA issued."""
        return _ISSUED.findall(self._ca_log)

    def orders(self) -> Mapping[str, int]:
        """Return how many orders the CA accepted, by name."""
        known = {
            str(url).rpartition("/")[2]: json.loads(str(names))[0]
            for url, names in self.rows("SELECT url, names FROM acme_order WHERE url IS NOT NULL")
        }
        for order in _ORDERED.findall(self._ca_log):
            if order not in self._ordered_by:
                self._ordered_by[order] = known.get(order) or self._name_of(order)
        return Counter(self._ordered_by.values())

    @property
    def cas(self) -> list[str]:
        """The URLs of the directories of the CAs, the first CA first."""
        return [ca.directory_url for ca in self._cas]

    def installed(self, name: str) -> str | None:
        """Return the fingerprint of the certificate that C4 serves for `name`, or None."""
        placed = self._world.c4.serving(name)
        return None if placed is None else placed.fingerprint

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the database read-only; return no rows if it does not exist yet."""
        if not (self.folder / "sslctl.db").exists():
            return []
        with closing(sqlite3.connect(f"file:{self.folder / 'sslctl.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def sweep(self) -> Counter[str]:
        """Delete the files and folders that ended runs left behind; return how many of each kind."""
        webroot = self._world.folder / "webroot"
        found = Counter[str]()
        for what, places, pattern in (
            ("challenge files", [webroot], ".well-known/acme-challenge/*"),
            ("notes about answers", self.places, "acme/answers/*"),
            ("run folders", self.places, "acme/runs/*"),
            ("scratch folders", self.places, "acme/child-*"),
            ("scratch folders", self.places, "acme/register-*"),
        ):
            for path in chain.from_iterable(place.glob(pattern) for place in places):
                found[what] += 1
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        return found

    def processes(self) -> int:
        """Return how many processes are still running after a grace of some seconds."""
        deadline = time.monotonic() + _END_SECONDS
        while (left := self._living()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _living(self) -> int:
        mark = f"{_MARK}={self.folder}\0".encode()
        left = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                left += mark in path.read_bytes()
            except OSError:
                continue  # it has ended, or belongs to another user
        return left

    @property
    def _ca_log(self) -> str:
        texts = []
        for log, begins in self._begins.items():
            with log.open("rb") as file:
                file.seek(begins)
                texts.append(file.read().decode(errors="replace"))
        return "\n".join(texts)

    # Orders whose URL was not recorded

    def _name_of(self, order: str) -> str:
        """Ask the CAs, with the accounts' keys, which name an unrecorded order is for."""
        for ca, network in self._accounts:
            url = ca.directory_url.replace("/dir", f"/my-order/{order}")
            for _ in range(_TRIES):
                try:
                    answer = network.post(
                        url, None, new_nonce_url=url.partition("/my-order")[0] + "/nonce-plz"
                    )
                except Error as error:
                    if error.code == "badNonce":
                        continue
                    break  # it is another account's
                except ClientError:
                    break  # it is another CA's
                return str(Order.from_json(answer.json()).identifiers[0].value)
        return f"unknown order {order}"

    @cached_property
    def _accounts(self) -> list[tuple[Pebble | AcmeProxy, ClientNetwork]]:
        return [
            (ca, _connect(ca, path))
            for ca in self._cas
            for place in self.places
            for path in place.glob(f"acme/accounts/{ca.directory_url.partition('://')[2]}/*/regr.json")
        ]


def _connect(ca: Pebble | AcmeProxy, registration: Path) -> ClientNetwork:
    """Return a client of `ca` with the account of certbot whose `registration` is given."""
    return ClientNetwork(
        JWK.json_loads((registration.parent / "private_key.json").read_text()),
        account=RegistrationResource.json_loads(registration.read_text()),
        alg=ES256,
        # `requests` takes a path as well.
        verify_ssl=str(ca.ca_bundle),  # type: ignore[arg-type]
    )
