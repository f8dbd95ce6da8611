"""Disks that fail, are full, cannot be written, or give back other bits than were written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import fast_folder
from tests.torture import bit_flips, full_disks
from tests.torture.case import Case, describe_exit_codes
from tests.torture.faulty_process import InjectedFault
from tests.torture.sample_fleet import SampleFleet

TITLE = "Disk"
TARGET = "no CA call with unwritable state; a corrupt file is refused, never overwritten"


@dataclass(frozen=True, slots=True)
class _Failure:
    """System calls that fail: the n-th of each thread, for n = 1, 1 + `step`, ... until none is left to fail."""

    calls: str
    error: str
    all_later: bool
    step: int

    @property
    def fault(self) -> str:
        """Say what happens."""
        later = " and all later ones" if self.all_later else ""
        return f"{self.error} at the n-th {self.calls.replace('?', '')} of each thread{later}"


_FAILURES = (
    _Failure("pwrite64", "ENOSPC", all_later=True, step=2),
    _Failure("pwrite64", "EIO", all_later=False, step=2),
    _Failure("fsync,fdatasync", "EIO", all_later=False, step=2),
    _Failure("openat", "ENOSPC", all_later=True, step=2),
    _Failure("?unlink,?unlinkat", "EIO", all_later=False, step=1),
    _Failure("pread64", "EIO", all_later=False, step=5),
)
# In the small slice the first one is tried, and one in the midst.
_SMALL = (1, 14)
_NO_MORE = 400


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Have the disk fail under a tick that renews, issues, uploads and rechecks."""
    with (
        fast_folder("disk", folder) as fast,
        SampleFleet(fast) as fleet,
    ):
        for failure in _FAILURES:
            yield _fail(fleet, failure, _SMALL if small else range(1, _NO_MORE, failure.step))
        yield _limit(fleet, 50_000 if small else 8192)
        if not small:
            yield from _mounts(fleet, folder)
        yield from bit_flips.run(fleet, 20 if small else 500)


def _fail(fleet: SampleFleet, failure: _Failure, places: Iterable[int]) -> Case:
    found, codes, tried, extra = [], Counter[int](), list[int](), 0
    database = fleet.database
    files = (
        database,
        database.with_name(f"{database.name}-journal"),
        fleet.state,
        fleet.state / "master.key",
    )
    for place in places:
        fleet.put_back()
        ended = fleet.tick(InjectedFault(failure.calls, failure.error, place, failure.all_later, files))
        if not ended.injected:
            break
        tried.append(place)
        codes[ended.exit_code] += 1
        none_can_be_written = failure.all_later and place == 1
        found += [
            f"n = {place}: {each}"
            for each in fleet.judge(ended, most_orders=0 if none_can_be_written else None)
        ]
        extra += fleet.extra_orders
    places_told = f"n = {', '.join(map(str, tried[:3]))} ... {tried[-1]}" if tried else "none"
    return Case(
        failure.fault, len(tried), found, f"{places_told}; {extra} extra orders; {describe_exit_codes(codes)}"
    )


def _limit(fleet: SampleFleet, step: int) -> Case:
    """Run ticks whose files may not grow beyond a bound (RLIMIT_FSIZE): up to the database's size and beyond."""
    found, codes = [], Counter[int]()
    fleet.put_back()
    bounds = range(0, fleet.database.stat().st_size + 5 * 8192, step)
    for largest in bounds:
        fleet.put_back()
        ended = fleet.tick(InjectedFault(largest=largest))
        codes[ended.exit_code] += 1
        found += [
            f"at most {largest} bytes: {each}"
            for each in fleet.judge(ended, most_orders=None if largest else 0)
        ]
    return Case("tick with bounded files (RLIMIT_FSIZE)", len(bounds), found, describe_exit_codes(codes))


def _mounts(fleet: SampleFleet, folder: Path) -> Iterator[Case]:
    if os.geteuid():
        yield Case("full and read-only disks", 0, ["not tried: only root may mount one"])
        return
    yield full_disks.full(fleet)
    yield full_disks.without_inodes(fleet)
    yield full_disks.read_only(fleet)
    yield full_disks.new_state(fleet)
    yield full_disks.certbot(folder / "certbot")
