"""Power cuts: the real store opens the states that one could leave on the disk, and nothing may be missing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from random import Random

from sslctl.config.state import StateSection
from sslctl.errors import SslctlError
from sslctl.rules.claim_names import TICK
from sslctl.store.interface.domains import Query
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite import presence
from sslctl.store.sqlite.store import SqliteStore
from tests.support import fast_folder, module_command
from tests.support.fakes import Clock
from tests.torture.case import Case
from tests.torture.disk_trace import Call, record
from tests.torture.simulated_disk import Content, SimulatedDisk

TITLE = "Power loss"
TARGET = "0 lost, 0 corrupt"

_WORKER = module_command("tests.torture.power_worker")
_DATABASE, _KEY = "state/sslctl.db", "state/master.key"
_JOURNAL = f"{_DATABASE}-journal"
_MAGIC = bytes.fromhex("d9d505f920a163d7")
_SEED = 20261123
# How often a state that was already seen is drawn again.
_DRAWS = 4
# Settings with which SQLite does lose commits.
_CONTROLS = (("synchronous=OFF",), ("synchronous=FULL",), ("journal_mode=WAL", "synchronous=NORMAL"))

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Found:
    """The content of a database: `mark` identifies it, `facts` are what can be acknowledged of it."""

    mark: str
    facts: frozenset[Fact]


@dataclass(slots=True)
class _Toll:
    """The results of the power cuts in one recording."""

    states: int = 0
    commits: int = 0
    rolled_back: int = 0
    lost: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    def case(self, fault: str) -> Case:
        """Return the results as a case in which nothing may be lost."""
        found = f"0 lost, 0 corrupt; {self.commits} commits, {self.rolled_back} states with a hot journal"
        if self.lost or self.corrupt:
            found = f"{len(self.lost)} lost, {len(self.corrupt)} corrupt"
        return Case(fault, self.states, [*self.lost, *self.corrupt], found)

    def control(self, fault: str) -> Case:
        """Return the results as a control, in which something must be lost: otherwise the harness detects nothing."""
        found = f"{len(self.lost)} lost, {len(self.corrupt)} corrupt, as expected"
        blind = (
            []
            if self.lost or self.corrupt
            else ["I3: the control lost nothing, so the harness detects nothing"]
        )
        return Case(fault, self.states, blind, found)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Cut the power during single passes, shared commits of threads, a large commit, and a recovery."""
    most = 60 if small else 4300
    # The states are many, and this is the fastest disk there is.
    with fast_folder("power", folder) as fast:
        bench = _Bench(fast)
        alone = bench.record("alone", 2 if small else 6)
        yield bench.cut(alone, most).case("power cut while passes write, from the creation of the state on")
        together = bench.record("transaction", 4 if small else 24)
        yield bench.cut(together, most).case("power cut while 8 threads share commits")
        many = bench.record("many", 50 if small else 300)
        yield bench.cut(many, most // 4).case("power cut while many domains are added in one commit")
        toll = _Toll()
        for recovery in bench.recoveries(alone, 1 if small else 50):
            bench.cut(recovery, 20, toll)
        yield toll.case("power cut again while the next run recovers from a power cut")
        for pragmas in _CONTROLS[: 1 if small else None]:
            control = bench.record("alone", 2, *pragmas)
            toll = bench.cut(control, min(most, 500), exact="WAL" not in pragmas[0])
            yield toll.control(f"control, must lose: {', '.join(pragmas)}")


@dataclass(frozen=True, slots=True)
class _Recording:
    """What a process did to the disk, starting from `before`; `commits` has (call, content) after each commit."""

    before: Content
    calls: Sequence[Call]
    commits: Sequence[tuple[int, _Found]]


class _Bench:
    """Recordings and power cuts in the folder `fast`."""

    def __init__(self, fast: Path) -> None:
        self._box = fast / "box"
        self._log = fast / "strace.log"
        self._looked: dict[bytes, _Found | str] = {}

    def record(self, work: str, number: int, *pragmas: str, before: Content | None = None) -> _Recording:
        """Record the worker at `work`, starting from the files `before`."""
        before = before or {}
        _lay_out(self._box, before)
        arguments = (str(self._box / "state"), work, str(number), *pragmas)
        calls = record([*_WORKER, *arguments], self._box, self._log)
        platter, commits = SimulatedDisk(before), [(0, self._require(before))]
        for index, call in enumerate(calls, 1):
            platter.take(call)
            # A new database gets its name with its schema in it.
            if (call.what, call.path) in (("remove", _JOURNAL), ("link", _DATABASE)):
                commits.append((index, self._require(platter.now)))
        return _Recording(before, calls, commits)

    def recoveries(self, recording: _Recording, number: int) -> list[_Recording]:
        """Cut the power in `recording` so that a hot journal is left, and record the recovery by the next run."""
        random = Random(_SEED)
        found: list[_Recording] = []
        while len(found) < number:
            platter = SimulatedDisk(recording.before)
            for call in recording.calls[: random.randrange(len(recording.calls))]:
                platter.take(call)
            content = platter.after_cut(random)
            if _is_hot(content):
                found.append(self.record("reopen", 0, before=content))
        return found

    def cut(
        self, recording: _Recording, states: int, toll: _Toll | None = None, *, exact: bool = True
    ) -> _Toll:
        """Cut the power at every call of `recording`, and check `states` different states that may be left.

        With `exact` each must be the database's content after a commit: the last one before the latest acknowledgement,
        or a later one that had begun.
        """
        toll = toll or _Toll()
        toll.commits += len(recording.commits) - 1
        platter, acknowledged, sure = SimulatedDisk(recording.before), set[Fact](), 0
        seen, looked, moments = set[tuple[bytes, int]](), 0, len(recording.calls) + 1
        for index in range(moments):
            if index:
                call = recording.calls[index - 1]
                platter.take(call)
                if call.what == "done":
                    name, what = json.loads(call.data)
                    acknowledged.add((name, what))
                    sure = index
            possible = _possible(recording.commits, sure, index) if exact else None
            # Spread over all moments; if one has too few states, the next one takes the rest.
            wanted = states * (index + 1) // moments - looked
            for draw in range(wanted * _DRAWS):
                seed = f"{_SEED}/{index}/{draw}"
                content = platter.after_cut(Random(seed))
                state = (_digest(content), len(acknowledged))
                if state in seen:
                    continue
                seen.add(state)
                self._judge(content, acknowledged, possible, toll, f"cut after call {index}, seed {seed}")
                looked, wanted = looked + 1, wanted - 1
                if not wanted:
                    break
        return toll

    def _judge(
        self, content: Content, acknowledged: set[Fact], possible: set[str] | None, toll: _Toll, moment: str
    ) -> None:
        toll.states += 1
        toll.rolled_back += _is_hot(content)
        found = self._look(content)
        if isinstance(found, str):
            toll.corrupt.append(f"I3: {found} ({moment})")
            return
        missing = acknowledged - found.facts
        if missing:
            toll.lost.append(f"I3: {len(missing)} acknowledged and missing: {min(missing)} ({moment})")
        elif possible is not None and found.mark not in possible:
            toll.corrupt.append(f"I3: a partial or an older commit was found ({moment})")

    def _require(self, content: Content) -> _Found:
        found = self._look(content)
        if isinstance(found, str):
            raise TypeError(f"without a power cut: {found}")
        return found

    def _look(self, content: Content) -> _Found | str:
        """Return what the next run finds in `content`, or the error message if it cannot use it."""
        digest = _digest(content)
        if digest not in self._looked:
            _lay_out(self._box, content)
            try:
                self._looked[digest] = _read(self._box)
            except (sqlite3.Error, SslctlError) as error:
                self._looked[digest] = f"{error}"
        return self._looked[digest]


def _possible(commits: Sequence[tuple[int, _Found]], sure: int, index: int) -> set[str]:
    """Return the marks that may be found if the power is cut after call `index`, and `sure` is the latest acknowledgement."""
    first = max(place for place, (at, _) in enumerate(commits) if at <= sure)
    # A commit in progress is complete as soon as its journal is removed.
    last = max(place for place, (at, _) in enumerate(commits) if at <= index)
    return {found.mark for _, found in commits[first : last + 1]}


def _lay_out(box: Path, content: Content) -> None:
    shutil.rmtree(box, ignore_errors=True)
    box.mkdir()
    for path, data in content.items():
        if data is None:
            (box / path).mkdir(0o700)
        else:
            (box / path).write_bytes(data)
            (box / path).chmod(0o600)


def _digest(content: Content) -> bytes:
    digest = sha256()
    for path, data in content.items():
        digest.update(f"{path} {-1 if data is None else len(data)}\n".encode() + (data or b""))
    return digest.digest()


def _is_hot(content: Content) -> bool:
    return (content.get(_JOURNAL) or b"").startswith(_MAGIC)


def _read(box: Path) -> _Found:
    """Let SQLite recover the database, check and read all of it, then use it through the real store."""
    # A command must not take what the cut left for the rest of a lost state.
    presence.require_creatable(StateSection(box / "state"), with_key=False)
    (box / "state").mkdir(0o700, exist_ok=True)
    with closing(sqlite3.connect(box / _DATABASE)) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        mark, facts = _mark(connection), _facts(connection)
    (box / _DATABASE).chmod(0o600)
    clock = Clock()
    store = SqliteStore(
        box / _DATABASE, Keyring(box / _KEY), clock=clock, actor="checker (torture)", create=True
    )
    try:
        for domain in store.domains(Query(), clock()):
            if domain.wanted is not None:
                store.bundle(domain.wanted)
            elif (order := store.find_open_order(domain)) is not None:
                store.order_key(order)
        with store.transaction():
            store.claim([TICK], timedelta(hours=1))
    finally:
        store.close()
    return _Found(mark, facts)


def _mark(connection: sqlite3.Connection) -> str:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    content = [
        connection.execute(f"PRAGMA {pragma}").fetchone() for pragma in ("user_version", "application_id")
    ]
    content += connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    for table in sorted(tables):
        content += [table, *sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)]  # noqa: S608 - a table's name
    return sha256(repr(content).encode()).hexdigest()


def _facts(connection: sqlite3.Connection) -> frozenset[Fact]:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'acme_order'").fetchall():
        return frozenset()
    return frozenset(
        connection.execute(
            "SELECT name, kind FROM event JOIN domain ON domain.id = domain_id"
            " UNION SELECT name, 'order' FROM acme_order JOIN domain ON domain.id = domain_id"
            " UNION SELECT name, 'well' FROM domain WHERE finding_code IS NULL"
        )
    )
