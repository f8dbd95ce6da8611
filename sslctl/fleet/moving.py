"""Move the state from SQLite into PostgreSQL, or back (`sslctl state migrate`).

The order keeps the state in at most one place: the copy is marked as not complete from its first row on, it is compared with
the source, then the source is marked as moved, and only then may commands use the copy. Each step can be repeated.
The history of the copy records the move in the transaction from which on commands may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sslctl.config.settings import Config
from sslctl.config.state import StateSection, read_url
from sslctl.errors import BadInput, Busy, StateError
from sslctl.rules.audit_chain import Audit
from sslctl.store import moves
from sslctl.store.configured import inspect
from sslctl.store.keyring import Keyring
from sslctl.store.sql.moved import MOVED, MOVING
from sslctl.store.sql.moving import ChainOf, Side, Table, compare, copy
from sslctl.system.locks import locked
from sslctl.text import clean, instant

_LONGEST = 4096
_HISTORY = "event"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: from where to where, the rows of all tables, and how many of them were written by this run."""

    source: str
    target: str
    domains: int
    certificates: int
    rows: int
    written: int
    audit: Audit


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the state of `state` to another place, by `actor`.

    `on_block` is called with the step, a table, and how many of how many rows of all tables are done. `count_claims` returns the number of claims that living processes have in a state.
    """

    state: StateSection
    keyring: Keyring
    clock: Callable[[], datetime]
    count_claims: Callable[[StateSection], int]
    on_block: Callable[[str, str, int, int], None]
    actor: str = ""

    def run(self, to: StateSection) -> Moved:
        """Move the state to the place of `to`. Raise `StateError`, `Busy` or `BadInput`; the state is where it was then."""
        with ExitStack() as stack:
            source = stack.enter_context(closing(moves.open_source(self.state)))
            self._require_another_place(source, to)
            stack.enter_context(_without_ticks(self.state))
            mark = source.mark()
            if mark is not None and mark != (MOVED, to.shown_database):
                moves.require_here(source)
            target = stack.enter_context(closing(moves.open_target(to)))
            if mark is not None:
                return self._finish(source, target, to)
            with source.freeze():
                self._require_unclaimed(self.state)
                self._begin(source, target)
                tables = moves.find_tables()
                again = [table for table in tables if table.late]
                written = copy(source, target, tables, self._count("copied", source, [*tables, *again]))
                moved = self._verified(source, target, written)
                source.set_mark(MOVED, to.shown_database, instant(self.clock()))
            moves.publish(target, to, self.clock(), self._record(moved))
            return moved

    def _require_another_place(self, source: Side, to: StateSection) -> None:
        if self.state.is_on_server == to.is_on_server:
            raise BadInput(
                f"the state is in {clean(source.shown_as, _LONGEST)} already, which is no other kind of database",
                hint="a state in SQLite moves to the URL of a PostgreSQL database, one in PostgreSQL to a folder",
            )

    def _require_unclaimed(self, state: StateSection) -> None:
        if self.count_claims(state):
            raise Busy(
                "another sslctl works on the state",
                hint="try again when it has ended; `sslctl claims` lists the processes",
            )

    def _begin(self, source: Side, target: Side) -> None:
        """Prove that the key file is that of the source, and take the target, or the copy in it that was interrupted."""
        self.keyring.load()
        for (token,) in source.run("SELECT sealed FROM key_check").fetchall():
            self.keyring.decrypt(bytes(token))
        identity = source.identity()
        if not identity:
            raise StateError(
                "the state is not complete: its creation was interrupted", hint="`sslctl init` completes it"
            )
        target.make()
        mark = target.mark()
        if mark is not None and mark != (MOVING, identity):
            raise StateError(
                f"{clean(target.shown_as, _LONGEST)} holds a copy of another state, or one that was moved away",
                hint="name an empty database",
            )
        if mark is None:
            if target.is_used():
                raise StateError(
                    f"{clean(target.shown_as, _LONGEST)} holds a state already, which was not changed",
                    hint="name an empty database",
                )
            with target.step():
                target.set_mark(MOVING, identity, instant(self.clock()))

    def _verified(self, source: Side, target: Side, written: int) -> Moved:
        """Compare every row, and verify the history in the target."""
        tables = moves.find_tables()
        hint = "run the command again: it copies the rows that differ"
        rows = compare(source, target, tables, self._count("compared", source, tables), hint)
        target.complete()
        history = [table for table in tables if table.name == _HISTORY]
        audit = self._chain(target, self._count("verified", target, history)).verify_history()
        if audit.broken:
            raise StateError(
                f"the history was edited before the move: {audit.broken}",
                hint="nothing was moved; `sslctl audit verify` shows the same of the state as it is",
            )
        counts = "SELECT (SELECT count(*) FROM domain), (SELECT count(*) FROM certificate)"
        domains, certificates = target.run(counts).fetchone()
        return Moved(source.shown_as, target.shown_as, domains, certificates, rows, written, audit)

    def _finish(self, source: Side, target: Side, to: StateSection) -> Moved:
        """Let commands use the copy, if an earlier run was interrupted between the two marks."""
        if target.mark() != (MOVING, source.identity()):
            moves.require_here(source)
        moved = self._verified(source, target, 0)
        moves.publish(target, to, self.clock(), self._record(moved))
        return moved

    def _count(self, step: str, side: Side, tables: Sequence[Table]) -> Callable[[str, int], None]:
        """Return a function that is called with a table and some rows of it, and calls `on_block` with those of `tables` so far."""
        total, done = sum(map(side.count, tables)), 0

        def add(table: str, rows: int) -> None:
            nonlocal done
            done += rows
            self.on_block(step, table, done, total)

        return add

    def _chain(
        self, side: Side, on_block: Callable[[str, int], None] = lambda _table, _rows: None
    ) -> ChainOf:
        return ChainOf(side, self.keyring, clock=self.clock, actor=self.actor, on_block=on_block)

    def _record(self, moved: Moved) -> Callable[[Side], None]:
        """Return the function that records the move in the history of the copy."""
        places = f"from {clean(moved.source, _LONGEST)} to {clean(moved.target, _LONGEST)}"
        head = f", head {moved.audit.head}" if moved.audit.head else ""
        return lambda side: self._chain(side).record(f"{places}: {moved.rows:,} rows, each compared{head}")

    def undo(self, to: StateSection) -> str:
        """Take the move to `to` back: let commands use the state where it was. Return where that is.

        Raise `StateError` if the state was changed in its new place.
        """
        with ExitStack() as stack:
            source = stack.enter_context(closing(moves.open_source(self.state)))
            self._require_another_place(source, to)
            stack.enter_context(_without_ticks(self.state))
            if source.mark() != (MOVED, to.shown_database):
                raise StateError(
                    f"the state was not moved from {clean(source.shown_as, _LONGEST)} to {to.shown_database}",
                    hint="nothing was changed",
                )
            # The target is marked first, so that never both are in use.
            with source.step():
                if moves.has_state(to):
                    self._leave(source, to)
                self._chain(source).record(f"back from {to.shown_database}: the move was undone")
                source.remove_mark()
        return source.shown_as

    def _leave(self, source: Side, to: StateSection) -> None:
        """Prove that nothing but the move was recorded in the place `to`, take that over, and mark that place as left."""
        with closing(moves.open_source(to)) as target, target.freeze():
            if target.mark() is None:
                self._require_unclaimed(to)
            tables = moves.find_tables()
            history = next(table for table in tables if table.name == _HISTORY)
            self._chain(source).take_over_move(target, history)
            hint = "the state was changed there, so the move cannot be taken back: move the state back from there (docs/postgres.md)"
            compare(source, target, tables, self._count("compared", source, tables), hint)
            target.set_mark(MOVED, self.state.shown_database, instant(self.clock()))


def make_move(
    config: Config,
    keyring: Keyring,
    clock: Callable[[], datetime],
    on_block: Callable[[str, str, int, int], None],
    actor: str,
) -> Move:
    """Return a move of the configured state."""

    def count_claims(state: StateSection) -> int:
        with closing(inspect(state, config.ca_urls, waiting=None)) as found:
            return sum(claim.is_valid for claim in found.claims())

    return Move(config.state, keyring, clock, count_claims, on_block, actor)


@contextmanager
def _without_ticks(state: StateSection) -> Iterator[None]:
    with locked(state.tick_lock_path) as is_ours:
        if not is_ours:
            raise Busy("a tick or a restore is running", hint="try again when it has ended")
        yield


def find_place(state: StateSection, text: str, url_file: Path | None) -> StateSection:
    """Return the place that `text` names: the URL of a PostgreSQL database, or a folder; or `url_file`, which has a URL.

    The key file and what else is in files stay where they are for `state`.
    """
    if url_file is not None:
        return replace(state, url="", url_file=url_file)
    if text.startswith(("postgresql://", "postgres://")):
        try:
            return replace(state, url=read_url(text), url_file=None)
        except ValueError as error:
            raise BadInput(
                f"--to {error}", hint="--to-file FILE takes a URL with a password from a file"
            ) from error
    folder = Path(text.removeprefix("sqlite:")).absolute()
    return StateSection(folder, state.master_key_path)
