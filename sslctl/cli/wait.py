"""`--wait`: repeat passes at their retry times until the domains are well, a person must act, or the time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from types import FrameType

import click

from sslctl.app import App
from sslctl.cli.options import duration
from sslctl.cli.output.outcomes import print_error, write_outcome
from sslctl.cli.output.stdout import discard_stdout
from sslctl.cli.signals import handling
from sslctl.errors import Busy, NotManaged
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.report import Report
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.waiting import next_pass_at
from sslctl.text import clean

LONGEST = timedelta(hours=24)
# How often the state and the clock are read: a tick beside this command may do the work, and the clock may jump.
_LOOK_EVERY = timedelta(seconds=5)
# The pause after the first pass over a domain, whatever its retry time is. It doubles, up to the interval of the ticks.
_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=5)
_MOST_NAMED = 3

Run = Callable[[Sequence[str]], None]


def _parse(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    with suppress(click.BadParameter):
        length = duration(value)
        if timedelta(0) < length <= LONGEST:
            return length
    raise click.BadParameter(f"{clean(value)!r} cannot be used; write 10m or 2h: at least 1m, at most 24h")


wait_option = click.option(
    "--wait",
    "length",
    metavar="TIME",
    callback=_parse,
    help="Repeat what fails for now until all domains are in Success or only a person can help, for 10m, 2h, …, 24h at most.",
)


def require_repeatable(length: timedelta | None, **others: bool) -> None:
    """Raise `click.UsageError` if a wait of `length` is asked for with one of the options `others`, such as `dry_run`."""
    for name, is_given in others.items():
        if length is not None and is_given:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"--wait repeats passes; it cannot be combined with {option}")


class Wait:
    """A wait of at most `length`, from now on, for `names`. `report` gets the results, and is complete at the end.

    With `print_each` the result of each domain is written as soon as it is final.
    """

    def __init__(
        self, app: App, names: Sequence[str], report: Report, length: timedelta, *, print_each: bool
    ) -> None:
        self._app = app
        self._report = report
        self._waiting = list(names)
        self._total = len(names)
        self._print_each = print_each
        # The clock may be set, and a laptop may sleep; both must neither end the wait nor make it longer.
        self._deadline = app.monotonic() + length.total_seconds()
        self._began_at = app.clock()
        self._not_before: dict[str, float] = {}
        self._pauses: dict[str, timedelta] = {}
        self._is_busy = False
        self._printed: tuple[int, bool, int] | None = None

    def run(self, run_passes: Run) -> None:
        """Run a pass over each domain with `run_passes`, and repeat it at its retry time.

        Raise `click.Abort` after Ctrl-C, with one line on standard error about what remains.
        """
        try:
            with _interruptible():
                self._repeat(run_passes)
        except click.Abort:
            click.echo(f"sslctl: {self._remaining()}; the next tick goes on with what is due", err=True)
            raise
        self._settle(list(self._waiting))

    def _repeat(self, run_passes: Run) -> None:
        due: Sequence[str] = list(self._waiting)
        while self._waiting:
            if due:
                run_passes(due)
                self._postpone(due)
                if self._report.unrecorded:
                    return
                if self._report.is_stopped:
                    raise click.Abort
            due, next_at = self._look()
            if self._waiting and not due:
                if next_at is None:
                    click.echo(
                        f"sslctl: {self._remaining()}; the next try is after the end of the wait", err=True
                    )
                    return
                self._pause(next_at)

    def _remaining(self) -> str:
        names = ", ".join(self._waiting[:_MOST_NAMED]) + (", …" if len(self._waiting) > _MOST_NAMED else "")
        return f"{len(self._waiting)} of {self._total} domains not well yet: {names}"

    def _postpone(self, names: Sequence[str]) -> None:
        """Allow no further pass over `names` for a while, which gets longer with each pass."""
        for name in names:
            is_busy = isinstance(self._report.errors.get(name), Busy)
            pause = _LOOK_EVERY if is_busy else self._pauses.get(name, _PAUSE)
            self._not_before[name] = self._app.monotonic() + pause.total_seconds()
            if not is_busy:
                self._pauses[name] = min(pause * 2, _LONGEST_PAUSE)

    def _look(self) -> tuple[list[str], float | None]:
        """Read the waiting domains and settle those that are final.

        Return those that are due, and the monotonic time of the next pass that is due before the end, None without one.
        """
        now, at = self._app.clock(), self._app.monotonic()
        paused_until = self._paused_until(now)
        stored = {domain.name: domain for domain in self._app.store.domains_named(self._waiting)}
        due, settled, times = [], [], []
        self._is_busy = False
        for name in self._waiting:
            next_at = self._next_at(stored.get(name), now, at, paused_until)
            if next_at is None:
                settled.append(name)
            elif next_at <= at < self._deadline:
                due.append(name)
            elif next_at < self._deadline:
                times.append(next_at)
        self._settle(settled)
        return due, min(times, default=None)

    def _next_at(
        self, domain: Domain | None, now: datetime, at: float, paused_until: datetime | None
    ) -> float | None:
        """Return the monotonic time of the next pass over `domain`, None if its result is final."""
        if domain is None or domain.deleted_at is not None:
            return None
        error = self._report.errors.get(domain.name)
        if error is not None and not isinstance(error, Busy):
            return None
        not_before = self._not_before.get(domain.name, at)
        # Another process works on it. Its result is as good as one of a pass of this command.
        if error is not None and not self._was_checked(domain):
            self._is_busy = True
            return not_before
        retry_at = next_pass_at(domain, now)
        if retry_at is None:
            return None
        if (
            domain.finding is not None
            and domain.finding.code is Code.MAINTENANCE
            and paused_until is not None
        ):
            retry_at = max(retry_at, paused_until)
        return max(not_before, at + (retry_at - now).total_seconds())

    def _was_checked(self, domain: Domain) -> bool:
        return domain.checked_at is not None and domain.checked_at > self._began_at

    def _paused_until(self, now: datetime) -> datetime | None:
        pause = self._app.store.maintenance_pause(now)
        return None if pause is None else pause.until

    def _pause(self, next_at: float) -> None:
        """Sleep until the monotonic time `next_at`, but not long: the state or the clock may change. Print what is waited for, if new."""
        left = max(0.0, next_at - self._app.monotonic())
        # A time that was computed again may differ by a second.
        announced = (len(self._waiting), self._is_busy, 0 if self._is_busy else round(next_at / 10))
        if announced != self._printed:
            self._printed = announced
            click.echo(
                f"sslctl: waiting for {len(self._waiting)} of {self._total} domains; {self._describe(left)}",
                err=True,
            )
        self._app.sleep(min(left, _LOOK_EVERY.total_seconds()))

    def _describe(self, left: float) -> str:
        if self._is_busy:
            return "another process works on one of them"
        length = timedelta(seconds=round(left))
        return f"next try in {format_duration(length)}, {format_sgt(self._app.clock() + length)}"

    def _settle(self, names: Sequence[str]) -> None:
        """Take `names` out of those waited for: add what is stored of them to the report, and write it."""
        now, gone = self._app.clock(), set(names)
        for domain in self._app.store.domains_named(names):
            error = self._report.errors.get(domain.name)
            if isinstance(error, Busy) and self._was_checked(domain):
                error = None
            if error is None and domain.deleted_at is None:
                self._report.add(Outcome(domain.name, domain), now)
                self._write(domain, now)
            elif error is None or isinstance(error, NotManaged):
                self._fail(domain.name, NotManaged(f"{domain.name} was deleted while it was waited for"))
            elif isinstance(error, Busy):
                self._fail(domain.name, error)
        self._waiting = [name for name in self._waiting if name not in gone]

    def _fail(self, name: str, error: Exception) -> None:
        self._report.add(Outcome(name, error=error), self._app.clock())
        if self._print_each:
            print_error(name, error)

    def _write(self, domain: Domain, now: datetime) -> None:
        if self._print_each:
            try:
                write_outcome(domain, now)
            except BrokenPipeError:
                # The reader of the output has left; the wait goes on for the sake of the exit code and the edge.
                discard_stdout()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise `click.Abort` at SIGINT or SIGTERM in the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise click.Abort

    with handling(interrupt):
        yield
