"""Checks of everything that sslctl needs. No check changes anything, and no check's failure ends the others.

`machine` checks the files and ports of this machine, `state` the database, and `outside` DNS, the CA and C4.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue

from sslctl.errors import Exit, SslctlError, StateBusy
from sslctl.text import clean


class Grade(StrEnum):
    """The grade of a check."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked and the result; `hint` is what to do. `is_outside`: DNS, the CA or C4 did not answer."""

    name: str
    grade: Grade
    detail: str
    hint: str = ""
    is_outside: bool = False


Probe = Callable[[], Iterable[Check]]


def ok(name: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(name, Grade.OK, detail)


def warn(name: str, detail: str, hint: str) -> Check:
    """Return a check that found a problem which does not stop sslctl."""
    return Check(name, Grade.WARN, detail, hint)


def bad(name: str, detail: str, hint: str) -> Check:
    """Return a check that found a problem which stops sslctl."""
    return Check(name, Grade.BAD, detail, hint)


def examine(name: str, probe: Probe) -> Iterator[Check]:
    """Yield the checks of `probe`; an exception that it raises becomes a bad check `name`."""
    try:
        yield from probe()
    except StateBusy as error:
        yield unanswered(name, clean(error.message), clean(error.hint or ""))
    except SslctlError as error:
        yield bad(name, clean(error.message), clean(error.hint or ""))
    except Exception as error:  # noqa: BLE001 - any failure is reported, and the other checks are made
        yield bad(name, f"cannot be checked: {clean(error) or type(error).__name__}", "")


def examine_together(probes: Sequence[tuple[str, Probe]], seconds: float) -> Iterator[Check]:
    """Run `probes` concurrently and yield their checks; one that takes more than `seconds` is unanswered."""
    begun = [(name, _begin(name, probe)) for name, probe in probes]
    for name, found in begun:
        try:
            yield from found.get(timeout=seconds)
        except Empty:
            yield unanswered(name, f"no answer within {seconds:g} seconds", "")


def unanswered(name: str, detail: str, hint: str) -> Check:
    """Return a check that could not be made: DNS, the CA or C4 did not answer, or the database is locked."""
    return Check(name, Grade.BAD, detail, hint, is_outside=True)


def _begin(name: str, probe: Probe) -> SimpleQueue[list[Check]]:
    """Run `probe` in a thread, and return the queue of its checks."""
    found = SimpleQueue[list[Check]]()
    try:
        # A daemon thread, because one that hangs must not keep the process from ending.
        threading.Thread(target=lambda: found.put(list(examine(name, probe))), name=name, daemon=True).start()
    except RuntimeError:
        found.put([unanswered(name, "not checked: the system starts no further thread", "")])
    return found


def exit_code(checks: Iterable[Check]) -> Exit:
    """Return 8 if something of ours is bad, 75 if only checks could not be made (`unanswered`), otherwise 0."""
    problems = [check for check in checks if check.grade is Grade.BAD]
    if any(not check.is_outside for check in problems):
        return Exit.UNUSABLE
    return Exit.TRY_LATER if problems else Exit.OK
