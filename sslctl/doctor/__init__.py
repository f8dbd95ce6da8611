"""Whether all is there that sslctl needs: one check after the other, none of which changes anything.

A check catches its own trouble and none ends the others. `machine` looks at this machine's files and ports, `state` at
the database, `outside` asks those whom a pass would ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue

from sslctl.errors import Exit, SslctlError
from sslctl.text import clean


class Grade(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and what was found; `hint` says what to do. With `is_outside` somebody else did not answer."""

    name: str
    grade: Grade
    detail: str
    hint: str = ""
    is_outside: bool = False


Probe = Callable[[], Iterable[Check]]


def ok(name: str, detail: str) -> Check:
    """Give a check that went well."""
    return Check(name, Grade.OK, detail)


def warn(name: str, detail: str, hint: str) -> Check:
    """Give a check that found what should be looked at, and stops nobody."""
    return Check(name, Grade.WARN, detail, hint)


def bad(name: str, detail: str, hint: str) -> Check:
    """Give a check that found what keeps sslctl from its work."""
    return Check(name, Grade.BAD, detail, hint)


def examine(name: str, probe: Probe) -> Iterator[Check]:
    """Give what `probe` finds; what it raises is a finding too, of the check `name`."""
    try:
        yield from probe()
    except SslctlError as error:
        yield bad(name, clean(error.message), clean(error.hint or ""))
    except Exception as error:  # noqa: BLE001 - whatever is broken is to be told, and the other checks to be made
        yield bad(name, f"could not be looked at: {clean(error) or type(error).__name__}", "")


def examine_together(probes: Sequence[tuple[str, Probe]], seconds: float) -> Iterator[Check]:
    """Give what `probes` find, all at once; of one that takes more than `seconds`, that it did."""
    begun = [(name, _begin(name, probe)) for name, probe in probes]
    for name, found in begun:
        try:
            yield from found.get(timeout=seconds)
        except Empty:
            yield unanswered(name, f"no answer within {seconds:g} seconds", "")


def unanswered(name: str, detail: str, hint: str) -> Check:
    """Give a check that could not be made, since somebody outside could not be asked."""
    return Check(name, Grade.BAD, detail, hint, is_outside=True)


def _begin(name: str, probe: Probe) -> SimpleQueue[list[Check]]:
    found = SimpleQueue[list[Check]]()
    # A daemon: one that hangs does not keep the process.
    threading.Thread(target=lambda: found.put(list(examine(name, probe))), name=name, daemon=True).start()
    return found


def exit_code(checks: Iterable[Check]) -> Exit:
    """Give the worst: 8 where something of ours is bad, 75 where only somebody outside could not be asked, else 0."""
    troubles = [check for check in checks if check.grade is Grade.BAD]
    if any(not check.is_outside for check in troubles):
        return Exit.UNUSABLE
    return Exit.TRY_LATER if troubles else Exit.OK
