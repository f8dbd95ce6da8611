"""Claims of processes in other PID namespaces, on other host names, with other clocks; of stopped and killed ones.

Each case runs one tick as a process that waits in the middle of an order, and rivals beside it. While the process lives, every
rival must end with 75 and change nothing; once it is dead, the first tick must take over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sslctl.errors import Exit
from sslctl.rules.reasons import Status
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.lock_holder import has_namespaces, in_container
from tests.support.store_cases import look_into
from tests.torture.case import Case

TITLE = "Namespaces and clocks"
TARGET = "no claim of a living process is taken over, none of a dead one lasts; no certificate lost, no second order"

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60
_DAY = 86_400
_NAME = "shop.claims.test"
_COMMANDS = (("recheck", _NAME), ("add", _NAME), ("delete", _NAME, "--yes"), ("add", _NAME, "--new"))


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Run each case, a few times or many."""
    tries = 1 if small else 20
    for number, (fault, case) in enumerate(_CASES.items()):
        if "namespace" in fault and not has_namespaces():
            continue
        found: list[str] = []
        for attempt in range(tries):
            place = folder / f"{number}-{attempt}"
            place.mkdir()
            with Cdn(place, Clock()) as cdn, _Shop(cdn) as shop:
                case(shop)
                found += shop.violations
        yield Case(fault, tries, found, _FOUND[case])


class _Shop:
    """One domain that waits for its certificate, and the processes that work on it."""

    def __init__(self, cdn: Cdn) -> None:
        self.cdn = cdn
        self.violations: list[str] = []
        self._gate = cdn.folder / "gate"
        self._open = cdn.folder / "open"
        self._open.touch()
        cdn.add_domain(_NAME)
        cdn.sslctl("add", _NAME, "--no-wait")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.touch()

    @contextmanager
    def tick(self, *more: str, prefix: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """Run a tick that waits for the CA; yield its process, and the process id of its child (0: it has none)."""
        with subprocess.Popen(
            self._command(self._gate, 0, *more, prefix=prefix),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ROOT,
        ) as process:
            try:
                assert process.stdout is not None
                word, child = process.stdout.readline().split()
                assert word == "waits"
                yield process, int(child)
            finally:
                process.send_signal(signal.SIGCONT)
                process.kill()

    def _command(self, gate: Path, seconds: float, *more: str, prefix: Sequence[str]) -> list[str]:
        arguments = [str(self.cdn.config_path), str(gate), str(seconds), *more]
        return [*prefix, sys.executable, "-m", "tests.torture.namespace_worker", *arguments]

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, int]:
        """Let the CA answer the waiting tick; return its exit code and the number of its orders."""
        self._gate.touch()
        output, _ = process.communicate(timeout=_PATIENCE)
        _, code, orders = output.split()
        return int(code), int(orders)

    def rival(self, seconds: float = 0, prefix: Sequence[str] = ()) -> int:
        """Run another tick, whose clock is `seconds` ahead, and return its exit code. The CA answers it at once."""
        ended = subprocess.run(
            self._command(self._open, seconds, prefix=prefix),
            capture_output=True, text=True, check=True, cwd=_ROOT, timeout=_PATIENCE,
        )  # fmt: skip
        return int(ended.stdout.splitlines()[-1].split()[1])

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Add a violation unless `found` is `wanted`."""
        if found != wanted:
            self.violations.append(f"{what}: {found} instead of {wanted}")

    def expect_well(self, *, uploads: int = 1) -> None:
        """Add a violation unless the domain is well after one order and one upload."""
        with look_into(self.cdn.folder / "state" / "sslctl.db") as connection:
            orders = connection.execute("SELECT count(*) FROM acme_order").fetchone()[0]
            claims = connection.execute("SELECT count(*) FROM lease").fetchone()[0]
        self.expect("orders", orders, 1)
        self.expect("uploads", len(self.cdn.uploads(_NAME)), uploads)
        self.expect("claims left", claims, 0)
        self.expect("status", self.cdn.sslctl("list", "--json").json["domains"][0]["status"], Status.SUCCESS)
        self.expect("history", self.cdn.sslctl("audit", "verify").exit_code, Exit.OK)


def _other_clocks(shop: _Shop) -> None:
    with shop.tick() as (process, _):
        for days in (2, 400, -2):
            shop.expect(f"tick with a clock {days} days off", shop.rival(days * _DAY), Exit.TRY_LATER)
            shop.cdn.clock.move(days=days)
            _expect_refused(shop, f"{days} days off")
            shop.cdn.clock.move(days=-days)
        shop.expect("the tick's end", shop.finish(process), (Exit.OK, 1))
    shop.expect_well()


def _expect_refused(shop: _Shop, what: str) -> None:
    for command in _COMMANDS:
        shop.expect(f"{' '.join(command)} {what}", shop.cdn.sslctl(*command).exit_code, Exit.TRY_LATER)


def _living_container(shop: _Shop) -> None:
    with shop.tick(prefix=in_container("one.test")) as (process, _):
        # It does nothing beside a tick that is alive. With another clock it cannot know how long that one has been running.
        shop.expect("tick in another container", shop.rival(prefix=in_container("two.test")), Exit.OK)
        shop.expect("the same, clock ahead", shop.rival(2 * _DAY, in_container("two.test")), Exit.TRY_LATER)
        shop.expect("tick on the host", shop.rival(2 * _DAY), Exit.TRY_LATER)
        _expect_refused(shop, "beside a container")
        shop.expect("the tick's end", shop.finish(process), (Exit.OK, 1))
    shop.expect_well()


def _killed_container(shop: _Shop) -> None:
    with shop.tick(prefix=in_container("one.test")) as (process, _):
        process.kill()
        process.communicate(timeout=_PATIENCE)
        shop.expect("tick of the successor", shop.rival(prefix=in_container("two.test")), Exit.OK)
    _recover(shop)


def _killed_with_a_child(shop: _Shop) -> None:
    with shop.tick("fork") as (process, child):
        try:
            process.kill()
            process.wait(_PATIENCE)
            os.kill(child, 0)
            shop.expect("tick beside the child", shop.rival(), Exit.OK)
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    _recover(shop)


def _recover(shop: _Shop) -> None:
    """Check that a second tick finds nothing left to do. The killed tick's order, unknown to the CA, was dropped."""
    shop.expect("second tick", shop.cdn.sslctl("daemon-tick").exit_code, Exit.OK)
    domain = shop.cdn.sslctl("list", "--json").json["domains"][0]
    shop.expect("status", domain["status"], Status.SUCCESS)
    shop.expect("uploads", len(shop.cdn.uploads(_NAME)), 1)
    shop.expect("claims left", shop.cdn.sslctl("claims", "--json").json["claims"], [])


def _stopped(shop: _Shop) -> None:
    with shop.tick() as (process, _):
        process.send_signal(signal.SIGSTOP)
        shop.cdn.clock.move(days=2)
        late = shop.cdn.sslctl("daemon-tick")
        shop.expect("later tick", late.exit_code, Exit.TRY_LATER)
        shop.expect("its report", f"still runs: process {process.pid} on " in late.stderr, True)  # noqa: FBT003
        _expect_refused(shop, "beside a stopped tick")
        shop.expect("break", shop.cdn.sslctl("claims", "break", "tick").exit_code, Exit.TRY_LATER)
        shop.expect("break --force", shop.cdn.sslctl("claims", "break", "tick", "--force").exit_code, Exit.OK)
        shop.expect("next tick", shop.cdn.sslctl("daemon-tick").exit_code, Exit.OK)
        shop.cdn.clock.move(days=-2)
        process.send_signal(signal.SIGCONT)
        shop.expect("end of the stopped tick", shop.finish(process), (Exit.TRY_LATER, 1))
    shop.expect_well()


def _broken(shop: _Shop) -> None:
    with shop.tick() as (process, _):
        broken = shop.cdn.sslctl("claims", "break", _NAME, "--force")
        shop.expect("break --force", broken.exit_code, Exit.OK)
        shop.expect("the tick's end", shop.finish(process)[0], Exit.SOME_NOT_WELL)
        shop.expect("uploads of the process that lost its claim", shop.cdn.uploads(_NAME), [])
    _recover_after_next(shop)


def _recover_after_next(shop: _Shop) -> None:
    shop.expect("next tick", shop.cdn.sslctl("daemon-tick").exit_code, Exit.OK)
    _recover(shop)


_CASES: dict[str, Callable[[_Shop], None]] = {
    "rivals whose clocks are 2 and 400 days ahead and 2 days behind": _other_clocks,
    "rivals in another PID namespace, with another host name": _living_container,
    "kill -9 of a container; its successor, in a PID namespace of its own, has another host name": _killed_container,
    "kill -9 of a tick whose forked child lives on": _killed_with_a_child,
    "a tick that is stopped for 2 days, and whose claim is then broken": _stopped,
    "a claim on a domain that is broken in the middle of its order": _broken,
}
_FOUND: dict[Callable[[_Shop], None], str] = {
    _other_clocks: "3 ticks and 12 commands refused with 75; 1 order, 1 upload",
    _living_container: "1 tick ended with 0 and did nothing; 2 ticks and 4 commands refused with 75; 1 order, 1 upload",
    _killed_container: "recovered after 1 tick",
    _killed_with_a_child: "recovered after 1 tick",
    _stopped: "reported with its process; stopped when it went on; 1 order, 1 upload",
    _broken: "0 uploads without the claim; recovered after 1 tick",
}
