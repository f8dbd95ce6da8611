"""Another process keeps the database locked: what commands do, print and record, and what the CA and C4 are asked meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sslctl.app import App
from sslctl.errors import Exit
from sslctl.issuer import Issued
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Order
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.store.sqlite.waiting import Waiting
from tests.support.cdn import Cdn, Result
from tests.support.database_lock import EXCLUSIVE, READ, WRITE, LockHolder, holding
from tests.support.fakes import Clock, FakeIssuer
from tests.support.processes import with_default_signals
from tests.support.store_cases import PATIENCE, dump
from tests.support.webhook import Webhook

NAME = "shop.example.com"
NAMES = [f"d{number:02}.example.com" for number in range(4)]
LOCKS = {
    "a reader": READ,
    "a writer": WRITE,
    "a commit": EXCLUSIVE,
}
SHORT = Waiting(write_seconds=0.3, read_seconds=0.3)
# For commands that find the database locked and never get it.
SHORTEST = Waiting(write_seconds=0.02, read_seconds=0.02)

lock_of_each_kind = pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)


@pytest.fixture
def database(cdn: Cdn) -> Path:
    return cdn.folder / "state" / "sslctl.db"


@pytest.fixture
def pings(cdn: Cdn) -> Iterator[list[str]]:
    """The pings of ticks, received by a real HTTP server."""
    with Webhook() as webhook:
        cdn.config_path.chmod(0o600)
        with cdn.config_path.open("a") as file:
            file.write(f'\n[notify]\nping_url = "http://{webhook.address}/ping"\n')
        yield webhook.pings


class Locker:
    """Locks the database once, in another process, when it is called."""

    def __init__(self, database: Path, lock: str) -> None:
        self._database = database
        self._lock = lock
        self._holder: LockHolder | None = None
        self._calling = threading.Lock()

    def __call__(self) -> None:
        """Lock the database unless that was done before; return when it is locked."""
        with self._calling:
            if self._holder is None:
                self._holder = LockHolder(self._database, self._lock)

    @property
    def pid(self) -> int:
        """The number of the process that holds the lock."""
        assert self._holder is not None
        return self._holder.pid

    def release(self) -> None:
        """Release the lock if it was taken."""
        if self._holder is not None:
            self._holder.release()


@contextmanager
def locking(database: Path, lock: str) -> Iterator[Locker]:
    """Yield a locker, whose lock is released at the end of the block."""
    locker = Locker(database, lock)
    try:
        yield locker
    finally:
        locker.release()


class LockingIssuer(FakeIssuer):
    """A CA: `on_issued` is called after it has issued, before the certificate reaches sslctl."""

    def __init__(self, clock: Clock, on_issued: Callable[[], None]) -> None:
        super().__init__(clock)
        self._on_issued = on_issued

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        issued = super().issue(order, on_url, replaces=replaces)
        self._on_issued()
        return issued


class C4WithHooks:
    """C4; the function `before_<method>` is called before each call of that method."""

    def __init__(self, real: Any, **hooks: Callable[[], None]) -> None:
        self._real = real
        self._hooks = hooks

    def __getattr__(self, method: str) -> Any:
        real, hook = getattr(self._real, method), self._hooks.get(f"before_{method}")
        if hook is None:
            return real

        def call(*arguments: Any) -> Any:
            hook()
            return real(*arguments)

        return call


def app_with(cdn: Cdn, **hooks: Callable[[], None]) -> App:
    """Return sslctl's components with a short wait for the database and with hooks in C4."""
    app = impatient_app(cdn)
    app.control_plane = C4WithHooks(app.control_plane, **hooks)
    return app


def impatient_app(cdn: Cdn, waiting: Waiting = SHORT) -> App:
    """Return sslctl's components with a short wait for the database."""
    app = App(cdn.config_path, cdn.clock, waiting=waiting)
    app.issuer = cdn.issuer
    return app


def impatient(cdn: Cdn, *arguments: str, waiting: Waiting = SHORT) -> Result:
    """Run a command with a short wait for the database."""
    return cdn.sslctl(*arguments, app=impatient_app(cdn, waiting))


def statuses(cdn: Cdn) -> dict[str, str]:
    return {each["domain"]: each["status"] for each in cdn.sslctl("list", "--json").json["domains"]}


def queue(cdn: Cdn, *names: str) -> None:
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names, "--no-wait").exit_code == Exit.OK


def unrecorded(result: Result) -> set[str]:
    """Return the domains that standard error names as not recorded."""
    [line] = [line for line in result.stderr.splitlines() if "not recorded: " in line]
    return set(line.partition("not recorded: ")[2].split(", "))


# The result of a pass cannot be recorded

PASSES = {
    "tick": ["daemon-tick"],
    "recheck": ["recheck"],
    "recheck of one": ["recheck", NAMES[0]],
    "add": ["add", *NAMES],
    "add of one": ["add", NAMES[0]],
}


@lock_of_each_kind
@pytest.mark.parametrize("command", PASSES.values(), ids=PASSES)
def test_command_that_cannot_record_ends_with_75_and_names_the_domains(
    cdn: Cdn, database: Path, lock: str, command: list[str]
) -> None:
    queue(cdn, *NAMES)
    with locking(database, lock) as locker:
        cdn.issuer = LockingIssuer(cdn.clock, locker)
        result = impatient(cdn, *command)
        assert result.exit_code == Exit.TRY_LATER
        assert unrecorded(result) <= set(NAMES)
        assert {names[0] for names in cdn.issuer.orders} <= unrecorded(result)
        assert f"is locked by process {locker.pid} (python" in result.stderr
        assert "bug" not in result.stderr
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert set(statuses(cdn).values()) == {"Success"}
    # An order whose URL could not be recorded is placed again, but no certificate is issued twice.
    assert len(cdn.issuer.issued) == len(NAMES)


@lock_of_each_kind
def test_tick_that_cannot_record_sends_no_ping(cdn: Cdn, database: Path, pings: list[str], lock: str) -> None:
    queue(cdn, NAME)
    with locking(database, lock) as locker:
        cdn.issuer = LockingIssuer(cdn.clock, locker)
        assert impatient(cdn, "daemon-tick").exit_code == Exit.TRY_LATER
    assert pings == []
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert len(pings) == 1


@pytest.mark.parametrize("lock", [READ, WRITE], ids=["a reader", "a writer"])
def test_tick_that_could_not_record_a_pass_sends_no_ping_although_the_lock_ends(
    cdn: Cdn, database: Path, pings: list[str], monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    # Then the daily look at C4 is the first thing that a tick does after its passes.
    monkeypatch.setenv("SSLCTL_RENEWAL_ARI", "off")
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    cdn.clock.move(days=1)
    queue(cdn, *NAMES)
    with locking(database, lock) as locker:

        def release() -> None:
            if not threading.current_thread().name.startswith("pass"):
                locker.release()

        cdn.issuer = LockingIssuer(cdn.clock, locker)
        result = cdn.sslctl("daemon-tick", "--json", app=app_with(cdn, before_domain=release))
    assert (result.exit_code, result.json["pinged"], pings) == (Exit.TRY_LATER, None, [])
    errors = {each["domain"] for each in result.json["domains"] if each["error"] == "STATE_BUSY"}
    assert errors == unrecorded(result) != set()


def test_tick_without_work_that_cannot_record_ends_with_75_and_sends_no_ping(
    cdn: Cdn, database: Path, pings: list[str]
) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    with holding(database) as holder:
        result = impatient(cdn, "daemon-tick")
    assert (result.exit_code, pings) == (Exit.TRY_LATER, [])
    assert f"is locked by process {holder.pid} (python" in result.stderr


@lock_of_each_kind
def test_certificate_that_could_not_be_recorded_is_collected_without_a_second_order(
    cdn: Cdn, database: Path, lock: str
) -> None:
    cdn.add_domain(NAME)
    with locking(database, lock) as locker:
        cdn.issuer = LockingIssuer(cdn.clock, locker)
        assert impatient(cdn, "add", NAME).exit_code == Exit.TRY_LATER
        # The lock lasts.
        assert impatient(cdn, "recheck", NAME).exit_code == Exit.TRY_LATER
        assert impatient(cdn, "daemon-tick").exit_code == Exit.TRY_LATER
    assert cdn.installed(NAME) is None
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert statuses(cdn) == {NAME: "Success"}
    assert cdn.installed(NAME) is not None
    assert cdn.issuer.orders == [(NAME,)]


@lock_of_each_kind
@pytest.mark.parametrize("command", PASSES.values(), ids=PASSES)
def test_no_order_is_placed_if_the_intent_to_order_cannot_be_recorded(
    cdn: Cdn, database: Path, lock: str, command: list[str]
) -> None:
    queue(cdn, *NAMES)
    with locking(database, lock) as locker:
        result = cdn.sslctl(*command, app=app_with(cdn, before_domain=locker))
        assert result.exit_code == Exit.TRY_LATER
        assert unrecorded(result) <= set(NAMES)
    assert cdn.issuer.orders == []
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.issuer.orders_by_name() == dict.fromkeys(NAMES, 1)


@lock_of_each_kind
def test_no_renewal_is_ordered_if_its_intent_cannot_be_recorded_and_what_is_served_stays(
    cdn: Cdn, database: Path, lock: str
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    before = cdn.installed(NAME)
    cdn.clock.move(days=84)
    with locking(database, lock) as locker:
        result = cdn.sslctl("daemon-tick", app=app_with(cdn, before_domain=locker))
    assert (result.exit_code, unrecorded(result)) == (Exit.TRY_LATER, {NAME})
    assert (len(cdn.issuer.orders), cdn.installed(NAME)) == (1, before)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert len(cdn.issuer.orders) == 2
    assert cdn.installed(NAME) != before


# Ctrl-C during the wait


@contextmanager
def waiting_process(cdn: Cdn, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start sslctl as a process, and yield it when it has reported that it waits for the database."""
    with subprocess.Popen(
        with_default_signals(sys.executable, "-m", "sslctl", *arguments),
        env={**os.environ, "SSLCTL_CONFIG": str(cdn.config_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert "waiting for the database, which process" in process.stderr.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("lock", "arguments"),
    [
        (READ, ["add", "new.example.com", "other.example.com", "--no-wait"]),
        (WRITE, ["delete", NAME, "--yes"]),
        (EXCLUSIVE, ["list"]),
        (READ, ["daemon-tick"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_ctrl_c_during_the_wait_ends_the_process_and_nothing_is_recorded(
    cdn: Cdn, database: Path, lock: str, arguments: list[str]
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    before, served = dump(database), cdn.installed(NAME)
    with holding(database, lock), waiting_process(cdn, *arguments) as process:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (Exit.INTERRUPTED, "")
    assert stderr.endswith("sslctl: error: interrupted\n")
    assert "Traceback" not in stderr
    assert (dump(database), cdn.installed(NAME)) == (before, served)
    assert cdn.sslctl("daemon-tick").exit_code == 0


@pytest.mark.parametrize("lock", [READ, WRITE], ids=["a reader", "a writer"])
@pytest.mark.parametrize("is_claimed", [False, True], ids=["before the claim", "after the claim"])
def test_second_ctrl_c_ends_a_pass_that_waits_and_nothing_is_half_recorded(
    cdn: Cdn, database: Path, lock: str, *, is_claimed: bool
) -> None:
    queue(cdn, NAME)
    before = dump(database)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=3, times=1))
    with locking(database, lock) as locker, ThreadPoolExecutor(1) as pool:
        pool.submit(lock_after_claim, cdn, locker) if is_claimed else locker()
        with waiting_process(cdn, "recheck", NAME) as process:
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "finishing the passes under way" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == Exit.INTERRUPTED
    assert dump(database) == before
    cdn.c4.heal()
    # The claim of a process that has ended is void.
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.issuer.orders == [(NAME,)]


def lock_after_claim(cdn: Cdn, locker: Locker) -> None:
    """Wait until a process has claimed a domain, and lock the database."""
    app, until = cdn.app(), time.monotonic() + PATIENCE
    while not app.store.claims() and time.monotonic() < until:
        time.sleep(0.01)
    app.close()
    locker()


# Each command

WRITING = {
    "add": ["add", "new.example.com", "--no-wait"],
    "add of many": ["add", "new.example.com", NAME, "--no-wait"],
    "adopt": ["adopt", NAME],
    "assign": ["assign", NAME, "alice"],
    "adopt of many": ["adopt", NAME, NAMES[0]],
    "claims break": ["claims", "break", f"domain:{NAMES[1]}", "--force"],
    "customer": ["customer", NAME, "acme"],
    "daemon-tick": ["daemon-tick"],
    "delete": ["delete", NAME, "--yes"],
    "delete of many": ["delete", NAME, NAMES[0], "--yes"],
    "download": ["download", NAME, "-o", "OUT"],
    "keys prune": ["keys", "prune"],
    "keys rotate": ["keys", "rotate"],
    "note": ["note", NAME, "mailed"],
    "note of many": ["note", NAME, NAMES[0], "--text", "mailed"],
    "recheck": ["recheck", NAME],
}
READING = {
    "audit list": ["audit", "list"],
    "audit verify": ["audit", "verify"],
    "backup": ["backup", "OUT"],
    "claims": ["claims"],
    "daemon-tick --dry-run": ["daemon-tick", "--dry-run"],
    "forecast": ["forecast"],
    "init": ["init"],
    "keys prune --dry-run": ["keys", "prune", "--dry-run"],
    "list": ["list"],
    "view": ["view", NAME],
}
CASES = [
    *(
        pytest.param(EXCLUSIVE, command, id=f"{name} while another commits")
        for name, command in (WRITING | READING).items()
    ),
    *(pytest.param(READ, command, id=f"{name} while another reads") for name, command in WRITING.items()),
]


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with two domains in Success, and one that is claimed."""
    names = (NAME, NAMES[0])
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0
    app = cdn.app()
    app.store.claim([domain_claim(NAMES[1])], timedelta(hours=1))
    app.close()
    return cdn


@pytest.mark.parametrize(("lock", "command"), CASES)
def test_command_names_the_process_that_locks_the_database_and_ends_with_75(
    shop: Cdn, database: Path, tmp_path: Path, lock: str, command: list[str]
) -> None:
    command = [word.replace("OUT", str(tmp_path / "out")) for word in command]
    before, served = dump(database), shop.installed(NAME)
    with holding(database, lock) as holder:
        text = impatient(shop, *command, waiting=SHORTEST)
        json = impatient(shop, *command, "--json", waiting=SHORTEST)
    for result in (text, json):
        assert result.exit_code == Exit.TRY_LATER, result
        assert f"is locked by process {holder.pid} (python" in result.stderr
        assert "bug" not in result.stderr
        assert "Traceback" not in result.stderr
    assert text.stdout == ""
    code = json.json["error"] if "error" in json.json else json.json["domains"][0]["error"]
    assert code == "STATE_BUSY"
    assert (dump(database), shop.installed(NAME)) == (before, served)
    assert not (tmp_path / "out").exists()


def test_json_error_has_code_message_and_hint(shop: Cdn, database: Path) -> None:
    with holding(database, EXCLUSIVE) as holder:
        error = impatient(shop, "view", NAME, "--json").json
    assert error["schema_version"] == 1
    assert error["error"] == "STATE_BUSY"
    assert f"is locked by process {holder.pid} (python" in error["message"]
    assert "let that process finish" in error["hint"]


def test_delete_of_many_stops_at_the_first_that_cannot_be_recorded_and_names_the_rest(
    shop: Cdn, database: Path
) -> None:
    with locking(database, READ) as locker:
        looks = count(1)
        app = app_with(shop, before_domain=lambda: locker() if next(looks) == 2 else None)
        result = shop.sslctl("delete", NAME, NAMES[0], "--yes", app=app)
    assert (result.exit_code, result.stdout) == (Exit.TRY_LATER, f"{NAME}: deleted\n")
    assert f"sslctl: not deleted: {NAMES[0]}\n" in result.stderr
    assert shop.sslctl("delete", NAMES[0], "--yes").exit_code == 0
    assert statuses(shop) == {}
