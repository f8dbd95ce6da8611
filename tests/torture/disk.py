"""Disks that fail, are full or read-only, or return corrupt data."""

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
    """System calls that fail: the n-th of each thread, for n = 1, 1 + `step`, ... until a run has fewer calls."""

    calls: str
    error: str
    all_later: bool
    step: int

    @property
    def fault(self) -> str:
        """The fault in words."""
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
# The values of n in the small slice.
_SMALL = (1, 14)
_NO_MORE = 400


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Run a tick that renews, issues, uploads and rechecks, with a faulty disk."""
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
        fleet.restore()
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
    """Run ticks with a limit on file sizes (RLIMIT_FSIZE), from 0 to beyond the database's size."""
    found, codes = [], Counter[int]()
    fleet.restore()
    bounds = range(0, fleet.database.stat().st_size + 5 * 8192, step)
    for largest in bounds:
        fleet.restore()
        ended = fleet.tick(InjectedFault(largest=largest))
        codes[ended.exit_code] += 1
        found += [
            f"at most {largest} bytes: {each}"
            for each in fleet.judge(ended, most_orders=None if largest else 0)
        ]
    return Case("tick with limited file sizes (RLIMIT_FSIZE)", len(bounds), found, describe_exit_codes(codes))


def _mounts(fleet: SampleFleet, folder: Path) -> Iterator[Case]:
    if os.geteuid():
        yield Case("full and read-only disks", 0, ["not tried: only root can mount one"])
        return
    yield full_disks.full(fleet)
    yield full_disks.without_inodes(fleet)
    yield full_disks.read_only(fleet)
    yield full_disks.new_state(fleet)
    yield full_disks.certbot(folder / "certbot")
