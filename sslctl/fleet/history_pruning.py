"""Move old history from the database into archives.

An archive is made in steps, each committed before the next: the file, durable; its seal in the database; the deletion in blocks. If
it is killed between two of them, the history is whole, and the next run goes on. An archive has a bounded number of rows, so a run over
years of history makes many, and needs the memory of one block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from sslctl.errors import Busy, StateBusy, StateError
from sslctl.fleet import archive_files
from sslctl.fleet.archive_files import ArchiveWriter
from sslctl.issuance.claims import claim_domains, release_domains, require_claim
from sslctl.rules.audit_chain import Walk
from sslctl.rules.claim_names import HISTORY_PRUNING
from sslctl.rules.history_seal import Seal
from sslctl.store.interface.archives import FIRST_ORDER, Archives
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.history import History
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.transactions import Transactions
from sslctl.text import instant

_CLAIM_TIME = timedelta(hours=12)
# Read or deleted together: other processes wait for a fraction of a second.
_ROWS = 500
_EVENTS = 5000
_LONGEST_PAUSE = 0.1
_FUTURE = timedelta(days=1)

_Place = TypeVar("_Place")


class _Store(Archives, Claims, History, Maintenance, Transactions, Protocol):
    """What pruning reads and writes."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much one archive has at most; a killed run repeats the work of one."""

    events: int = 200_000
    certificates: int = 20_000
    orders: int = 20_000


@dataclass(frozen=True, slots=True)
class Old:
    """How many events, certificates and orders are older than a time."""

    events: int
    certificates: int
    orders: int

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return any((self.events, self.certificates, self.orders))


class Pruning:
    """The archiving of all that is older than `until`, into `folder`. Iterate over it once, to the end; it yields each seal made.

    `busy` counts the certificates that were archived and not deleted because another process works on their domain; the next run deletes
    them. `on_step` is called with what is being done, in words.
    """

    def __init__(
        self,
        store: _Store,
        folder: Path,
        until: datetime,
        *,
        clock: Callable[[], datetime],
        sizes: Sizes | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._until = until
        self._clock = clock
        self._sizes = sizes or Sizes()
        self._sleep = sleep
        self._on_step = on_step
        self._certificate = 0
        self._order = FIRST_ORDER
        self._deleted_event = 0
        self.busy = 0

    def __iter__(self) -> Iterator[Seal]:
        """Raise `Busy` if the clock is wrong: young history would be taken for old."""
        self._require_right_clock()
        with _claimed(self._store):
            archive_files.make_folder(self._folder)
            archive_files.remove_leftovers(self._folder)
            # What an earlier run archived, and was killed before it deleted.
            self._delete()
            while (seal := self._archive()) is not None:
                self._delete()
                yield seal

    def _require_right_clock(self) -> None:
        self._store.require_right_clock()
        # Single events of the future are those of a clock that was wrong once, and the next tick adds one of the right time.
        newest = next(
            (event.at for _, event in self._store.audit_trail(after=self._store.last_event() - 1)), None
        )
        if newest is not None and newest > self._clock() + _FUTURE:
            raise Busy(
                f"the newest event of the history is of {instant(newest)}, which is in the future, so nothing was archived: by a clock that is"
                " behind, all of the history would be old",
                hint="set the clock of this machine (NTP); if it is right, wait for the next event, such as that of a tick",
            )

    def _archive(self) -> Seal | None:
        """Write the next archive, and seal it; return None if nothing is old."""
        store, seals = self._store, self._store.seals()
        last = seals[-1] if seals else None
        number, after = len(seals) + 1, last.cut if last else 0
        certificates = self._next_certificates()
        orders = self._next_orders()
        end = _find_end(store, after, after + self._sizes.events, self._until)
        if not (certificates or orders or end > after):
            return None
        name = archive_files.free_name(self._folder, number, instant(self._clock()))
        self._on_step(f"writing {name}")
        with archive_files.writing(self._folder / name) as writer:
            walk = store.walk_after(last)
            writer.begin(
                number=number, after=after, until=instant(self._until), mac=walk.head and walk.head.mac
            )
            self._write_events(writer, walk, after, end)
            for ids in _blocks(certificates):
                writer.rows("certificate", store.certificates_to_archive(ids))
            for ids in _blocks(orders):
                writer.rows("order", store.orders_to_archive(ids))
            writer.end()
        seal = Seal(
            number=number,
            after=after,
            cut=walk.head.id if walk.head else after,
            state=walk.state.hex(),
            until=instant(self._until),
            file=name,
            sha256=writer.sha256,
            size=writer.size,
            events=walk.taken,
            certificates=len(certificates),
            orders=len(orders),
        )
        with store.transaction():
            store.require_claims([HISTORY_PRUNING])
            store.seal_history(seal, certificates, orders)
        return seal

    def _write_events(self, writer: ArchiveWriter, walk: Walk, after: int, end: int) -> None:
        for record, mac in self._store.chained_events(after, end) if end > after else ():
            broken = walk.take(record, mac)
            if broken:
                raise StateError(
                    f"the history was edited: {broken}; nothing from there on was archived",
                    hint="`sslctl audit verify` says more; find out who could write to the database",
                )
            writer.event(record, mac)

    def _next_certificates(self) -> list[int]:
        """Return the ids of the next certificates to archive."""
        find = partial(self._store.old_certificates, self._until)
        found, self._certificate = _find_next(find, self._certificate, self._sizes.certificates)
        return found

    def _next_orders(self) -> list[int]:
        """Return the ids of the next orders to archive."""
        find = partial(self._store.old_orders, self._until)
        found, self._order = _find_next(find, self._order, self._sizes.orders)
        return found

    def _delete(self) -> None:
        """Delete what is in sealed archives, in short transactions."""
        store = self._store
        self._on_step("deleting what is in archives")
        while self._unhurried(self._delete_events):
            pass
        while self._unhurried(lambda: store.delete_archived_orders(_ROWS)):
            pass
        after, self.busy = 0, 0
        while block := store.archived_certificates(after, _ROWS):
            after = block[-1][0]
            self._unhurried(lambda block=block: self._delete_certificates(block))  # type: ignore[misc]

    def _delete_events(self) -> bool:
        """Delete the next events; return whether there were any."""
        last = self._store.delete_archived_events(self._deleted_event, _EVENTS)
        self._deleted_event = self._deleted_event if last is None else last
        return last is not None

    def _delete_certificates(self, block: Sequence[tuple[int, str]]) -> int:
        store, names = self._store, sorted({name for _, name in block})
        # Without the claim, a pass running now could find that one of them is served again.
        ours = claim_domains(store, names)
        try:
            claimed = set(ours)
            free = [number for number, name in block if name in claimed]
            with store.transaction():
                require_claim(store, *ours)
                store.delete_archived_certificates(free)
        finally:
            release_domains(store, ours)
        self.busy += len(block) - len(free)
        return len(free)

    def _unhurried(self, work: Callable[[], int]) -> int:
        """Do `work`, and leave the database to other processes for as long."""
        began = time.monotonic()
        done = work()
        if done:
            self._sleep(min(_LONGEST_PAUSE, time.monotonic() - began))
        return done


def find_old(store: _Store, until: datetime) -> Old:
    """Count what is older than `until`. Nothing is changed."""
    cut = store.history_cut()
    events, after, last = 0, cut.id if cut else 0, store.last_event()
    while after < last:
        number, young = store.find_young_event(after, after + _EVENTS, until)
        events += number
        if young is not None:
            break
        after += _EVENTS
    certificates, following = 0, 0
    while True:
        ids, at = store.old_certificates(until, following, _EVENTS)
        certificates += len(ids)
        if at is None:
            break
        following = at
    return Old(events, certificates, store.count_old_orders(until))


def _find_next(
    find: Callable[[_Place, int], tuple[Sequence[int], _Place | None]], place: _Place, most: int
) -> tuple[list[int], _Place]:
    """Return at most `most` ids that `find` finds from `place` on, and the place to go on from."""
    found: list[int] = []
    while len(found) < most:
        ids, following = find(place, min(_ROWS, most - len(found)))
        found += ids
        if following is None:
            break
        place = following
    return found, place


def _find_end(store: Archives, after: int, last: int, until: datetime) -> int:
    """Return the id of the last event above `after`, up to `last`, that precedes every young one; `after` if there is none."""
    end = after
    while end < last:
        upper = min(end + _EVENTS, last)
        number, young = store.find_young_event(end, upper, until)
        if young is not None:
            return young - 1
        if number == 0:
            return end
        end = upper
    return end


@contextmanager
def _claimed(store: Claims) -> Iterator[None]:
    if not store.claim([HISTORY_PRUNING], _CLAIM_TIME):
        raise Busy("another sslctl prunes the history", hint="try again when it has ended")
    try:
        yield
    finally:
        with suppress(StateBusy):
            store.release([HISTORY_PRUNING])


def _blocks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _ROWS):
        yield ids[start : start + _ROWS]
