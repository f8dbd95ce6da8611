"""The page beside a tick: people read it and write notes while the tick renews certificates."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sslctl.store.sql import rows
from tests.bench.issuance import world
from tests.bench.meter import Failed
from tests.bench.mixed_fleet import fill_mixed, list_addresses, shuffled_names
from tests.bench.page_server import Answer, Client, PageServer
from tests.bench.program import Sslctl
from tests.bench.report import Part, Table, number, under
from tests.bench.writer import Writer
from tests.support.suite import Progress

_PREFIX = "beside"
_OK, _SEE_OTHER, _TOO_MANY = 200, 303, 429
# Honest answers: too many requests, and a database that is busy.
_REFUSALS = frozenset({_TOO_MANY, 503})
# A tick also looks at domains that C4 does not know: they are not healthy then.
_TICKED = (0, 5)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Each tick renews `due` domains. `pauses` are the seconds of a person between two pages."""

    repetitions: int = 3
    domains: int = 100_000
    due: int = 200
    people: int = 10
    pauses: tuple[float, ...] = (1.0, 0.0)
    writer_seconds: float = 10


@dataclass(slots=True)
class _Got:
    """What people got: the seconds of each request that was answered, and the number of requests by status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        if answer.status not in {_OK, _SEE_OTHER, *_REFUSALS}:
            raise Failed(f"a page beside a tick: {answer.status}\n{answer.text}")
        self.statuses[answer.status] += 1
        if answer.status not in _REFUSALS:
            self.seconds.append(answer.seconds)


@dataclass(slots=True)
class _Beside:
    """The ticks beside people with one pause: their seconds over those of a tick alone, and what the people got."""

    ratios: list[float] = field(default_factory=list)
    pages: _Got = field(default_factory=_Got)
    notes: _Got = field(default_factory=_Got)
    waits: list[float] = field(default_factory=list)


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure ticks alone and beside people, and the wait of a program that writes while people read."""
    with world() as servers, TemporaryDirectory(dir=folder) as own:
        progress(f"making a store of {sizes.domains:,} domains")
        sslctl = Sslctl(servers.config, Path(own) / "state")
        many = shuffled_names(sizes.domains, _PREFIX)
        renewed = many[: sizes.due * sizes.repetitions * (1 + len(sizes.pauses))]
        fill_mixed(sslctl, many, owed=len(renewed))
        servers.add(renewed)
        servers.set_inventory(exists=False)
        batches = (renewed[start : start + sizes.due] for start in range(0, len(renewed), sizes.due))
        alone = list[float]()
        beside = {pause: _Beside() for pause in sizes.pauses}
        # C4 gets the certificates that are then renewed. The first event also begins the audit chain of the store.
        sslctl.run("daemon-tick", "--quiet", accept=_TICKED)
        for repetition in range(sizes.repetitions):
            progress(f"{repetition + 1} of {sizes.repetitions}: a tick alone")
            alone.append(_renew(sslctl, next(batches)))
            for pause, found in beside.items():
                progress(
                    f"{repetition + 1} of {sizes.repetitions}: a tick beside people, a page each {pause} s"
                )
                batch = next(batches)
                with PageServer(sslctl) as server:
                    *people, noting = server.enter(sizes.people + 1)
                    with (
                        _reading(people, many, pause, found.pages),
                        _noting(noting, batch, found.notes) as noted,
                    ):
                        found.ratios.append(_renew(sslctl, batch) / alone[-1])
                    _require_notes(sslctl, batch, noted)
                    with _reading(people, many, pause, _Got()), Writer(sslctl.state / "sslctl.db") as writer:
                        time.sleep(sizes.writer_seconds)
                    found.waits.append(writer.longest)
        sslctl.run("audit", "verify")
    return _part(sizes, alone, beside)


def _renew(sslctl: Sslctl, batch: Sequence[str]) -> float:
    """Make the domains `batch` due, run a tick, and return its seconds. Raise `Failed` unless all of them are renewed."""
    _make_due(sslctl, batch)
    seconds = sslctl.run("daemon-tick", "--quiet", accept=_TICKED).wall
    sql = """SELECT count(*) FROM domain JOIN certificate ON certificate.id = serving_id
        WHERE name IN (SELECT value FROM json_each(?)) AND version = 2 AND serving_id = wanted_id
        AND finding_code IS NULL AND verified_at IS NOT NULL"""
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection:
        renewed: int = connection.execute(sql, (json.dumps(batch),)).fetchone()[0]
    if renewed != len(batch):
        raise Failed(f"{renewed} of {len(batch)} domains were renewed beside the page")
    return seconds


def _make_due(sslctl: Sslctl, batch: Sequence[str]) -> None:
    """Let the certificates of `batch` be 89 days old, and expire in a day."""
    days = {"not_before": -89, "not_after": 1}
    times = {key: f"{datetime.now(UTC) + timedelta(days):%Y-%m-%dT%H:%M:%SZ}" for key, days in days.items()}
    sql = f"""SELECT certificate.id, {", ".join(f"certificate.{column}" for column in rows.UNCHANGING)} FROM certificate
        JOIN domain ON domain.wanted_id = certificate.id WHERE name IN (SELECT value FROM json_each(?))"""  # noqa: S608 - ours
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection, connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(sql, (json.dumps(batch),)).fetchall():
            changed = {**dict(row), **times}
            digest = rows.digest(changed[column] for column in rows.UNCHANGING)
            connection.execute(
                "UPDATE certificate SET not_before = :not_before, not_after = :not_after, digest = :digest WHERE id = :id",
                {**changed, "digest": digest},
            )


@contextmanager
def _reading(
    people: Sequence[Client], many: Sequence[str], pause_seconds: float, got: _Got
) -> Iterator[None]:
    """Let each of `people` read one page after another for the block: the list in all ways, and domains."""
    addresses = [*list_addresses(many).values(), f"/domains/{many[-1]}", f"/domains/{many[0]}", "/add"]
    ended = threading.Event()

    def read(place: int, person: Client) -> None:
        for address in itertools.islice(itertools.cycle(addresses), 3 * place, None):
            got.add(person.get(address))
            if ended.wait(pause_seconds):
                break

    with ThreadPoolExecutor(len(people)) as pool:
        readers = [pool.submit(read, place, person) for place, person in enumerate(people)]
        try:
            yield
        finally:
            ended.set()
    for reader in readers:
        reader.result()


@contextmanager
def _noting(person: Client, batch: Sequence[str], got: _Got) -> Iterator[list[str]]:
    """Let `person` write a note on each domain of `batch` for the block; the names are added to what is yielded.

    After a refusal it writes the note again when it may. Notes that are left at the end of the block are not written.
    """
    ended, noted = threading.Event(), list[str]()

    def write() -> None:
        person.get("/add")
        for name in batch:
            while not ended.is_set():
                answer = person.post(f"/domains/{name}/note", value=f"a note on {name}", before="")
                got.add(answer)
                if answer.status == _SEE_OTHER:
                    noted.append(name)
                    break
                ended.wait(max(1, answer.retry_after))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            yield noted
        finally:
            ended.set()
    writer.result()


def _require_notes(sslctl: Sslctl, batch: Sequence[str], noted: Sequence[str]) -> None:
    """Raise `Failed` unless exactly the domains `noted` of `batch` have a note, with an event of it."""
    sql = """SELECT name FROM domain WHERE note = 'a note on ' || name AND name IN (SELECT value FROM json_each(?))
        AND EXISTS (SELECT 1 FROM event WHERE event.domain_id = domain.id AND event.kind = 'note')"""
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection:
        recorded = {name for (name,) in connection.execute(sql, (json.dumps(batch),))}
    if recorded != set(noted):
        raise Failed(f"{len(noted)} notes were accepted, and {len(recorded)} are recorded")


def _part(sizes: Sizes, alone: list[float], beside: dict[float, _Beside]) -> Part:
    part = Part()
    table = []
    for pause, found in beside.items():
        who = (
            f"{sizes.people} people, a page each {number(pause)} s"
            if pause
            else f"{sizes.people} people without a pause"
        )
        part.rows += [
            under(f"A tick that renews {sizes.due} beside {who}, against alone", 1.5, "times", found.ratios),
            under(f"The longest wait of a program that writes beside {who}", 1, "s", found.waits),
        ]
        for what, got in (("pages", found.pages), ("notes", found.notes)):
            answered, refused = len(got.seconds), got.statuses.total() - len(got.seconds)
            times = (number(median(got.seconds)), number(max(got.seconds)))
            table.append((f"{what}, {who}", f"{answered:,}", f"{refused:,}", *times))
    head = ("requests", "answered", "refused", "median, s", "most, s")
    title = f"Requests beside ticks; a tick alone takes {number(median(alone))} s"
    part.tables.append(Table(title, head, table))
    part.facts = {"alone_seconds": alone}
    return part
