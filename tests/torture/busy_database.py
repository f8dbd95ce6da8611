"""Slow readers, writers and backups of the database while a tick works: it waits, and orders nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from sslctl.errors import Exit
from tests.support.cdn import Cdn
from tests.support.database_lock import EXCLUSIVE, READ, WRITE, holding
from tests.support.fakes import Clock
from tests.torture.case import Case, describe_exit_codes

TITLE = "Slow readers and backups"
TARGET = "every result is recorded, one order a domain, no edge left empty"

_TRIES = {True: 1, False: 6}
_LOCKS = {"a reader": READ, "a writer": WRITE, "a commit": EXCLUSIVE}
_NAMES = [f"d{number:02}.example.com" for number in range(11)]
_LONGEST_START = 0.6
# Longer than the 15 seconds for which sslctl once waited.
_LONGEST_HOLD = {True: 2.0, False: 25.0}


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Hold each lock at random moments of a tick, and make backups one after another during ticks."""
    random = Random(12)
    for what, lock in _LOCKS.items():

        def hold(database: Path, _cdn: Cdn, lock: str = lock) -> None:
            time.sleep(random.uniform(0, _LONGEST_START))
            with holding(database, lock):
                time.sleep(random.uniform(0.5, _LONGEST_HOLD[small]))

        yield _case(folder, f"{what} holds the database during a tick", _TRIES[small], hold)
    yield _case(folder, "backups, one after another, during a tick", _TRIES[small], _back_up)


def _back_up(_database: Path, cdn: Cdn) -> None:
    environment = {**os.environ, "SSLCTL_CONFIG": str(cdn.config_path)}
    for number in range(4):
        target = cdn.folder / f"backup-{number}"
        command = [sys.executable, "-m", "sslctl", "backup", str(target)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"a backup ended with {done.returncode}: {done.stderr}")


def _case(folder: Path, fault: str, tries: int, disturb: Callable[[Path, Cdn], None]) -> Case:
    violations, codes = list[str](), Counter[int]()
    for number in range(tries):
        place = folder / f"busy-{len(list(folder.iterdir()))}-{number}"
        place.mkdir()
        with Cdn(place, Clock()) as cdn:
            violations += _try(cdn, codes, disturb)
    return Case(fault, tries, violations, describe_exit_codes(codes))


def _try(cdn: Cdn, codes: Counter[int], disturb: Callable[[Path, Cdn], None]) -> Iterator[str]:
    """Let a tick issue certificates of which one replaces a text certificate; yield what went wrong."""
    for name in _NAMES:
        cdn.add_domain(name)
    cdn.sslctl("add", _NAMES[0], *cdn.paste(cdn.text_pair(_NAMES[0], days=60)))
    cdn.sslctl("add", *_NAMES, "--no-wait")
    problems = list[str]()

    def work() -> None:
        try:
            disturb(cdn.folder / "state" / "sslctl.db", cdn)
        except Exception as error:  # noqa: BLE001 - told by the case
            problems.append(str(error))

    disturber = threading.Thread(target=work)
    disturber.start()
    result = cdn.sslctl("daemon-tick")
    disturber.join()
    codes[result.exit_code] += 1
    yield from problems
    if result.exit_code != Exit.OK:
        yield f"I8: the tick ended with {result.exit_code}: {result.stdout}{result.stderr}"
    listed = cdn.sslctl("list", "--json").json["domains"]
    yield from (f"I3: {each['domain']} is {each['status']}" for each in listed if each["status"] != "Success")
    yield from (f"I6: nothing is served for {name}" for name in _NAMES if cdn.installed(name) is None)
    if len(cdn.issuer.orders) != len(_NAMES):
        yield f"I2: {len(cdn.issuer.orders)} orders for {len(_NAMES)} domains"
