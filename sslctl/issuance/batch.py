"""Run passes over many domains in parallel; an error with one domain does not stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from sslctl.errors import MachineLimit, StateBusy, StateError
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.slots import Slots, SlotsClosed
from sslctl.issuance.work import Alone, Sharing, Work
from sslctl.system.limits import explain, require_memory
from sslctl.system.threads import start_threads

if TYPE_CHECKING:
    from sslctl.issuance.pipeline import Pipeline

# A pass mostly waits: for C4, for DNS and for a slot at the CA. With this many passes in flight, there is always one
# that is ready for the CA, even if some of them hang.
IN_FLIGHT = 128
# How often the last pass in flight is tried if the machine does not allow it, and the pause in between, in seconds.
_LAST_TRIES = 5
_PAUSE_SECONDS = 0.2


class Batch:
    """Passes over many domains, at most `in_flight` at once. `slots` must be those of `pipeline`.

    After `stop` no pass starts, and no pass under way places an order; passes that are at the CA are finished. `on_notice` is
    called once, from any thread, if the machine allows fewer passes at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        slots: Slots,
        in_flight: int = IN_FLIGHT,
        *,
        on_notice: Callable[[str], None] = lambda _notice: None,
    ) -> None:
        self._pipeline = pipeline
        self._slots = slots
        self._in_flight = in_flight
        self._on_notice = on_notice
        self._work: Work | None = None

    def stop(self) -> None:
        """Start no further pass and place no further order."""
        self._slots.close()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._slots.closed

    @property
    def left_out(self) -> int:
        """How many names were left to other processes."""
        return 0 if self._work is None else self._work.left_out

    def run(
        self,
        names: Sequence[str],
        *,
        sharing: Sharing | None = None,
        renew: Container[str] = (),
        consent: Consent = NO_CONSENT,
        check_dns: bool = False,
        on_done: Callable[[Outcome], None],
    ) -> None:
        """Run a pass over each of `names`, started in that order; call `on_done` in this thread as each one ends.

        Domains in `renew` get a new certificate even if none is due; `consent` and `check_dns` hold for all of them, as in
        `Pipeline.run`. `on_done` is not called for domains that were not reached before `stop`, nor for those that by `sharing` were left
        to other processes. Raise `StateError`, because it would hit every other domain
        too. `StateBusy` stops the batch: nothing more can be recorded, so nothing more may be ordered.

        If the machine starts fewer threads, or a pass meets a limit of it (`MachineLimit`), the batch goes on with fewer
        passes at once, and repeats that pass later. Raise `MachineLimit` if not even one pass at a time succeeds.
        """
        require_memory()
        sharing = sharing or Alone()
        # While some are at the CA, others must be ready for it.
        most_orders = self._slots.count + max(2, self._slots.count // 2)
        workers = min(self._in_flight, len(names))
        work = self._work = Work(names, workers, lambda: self.stopped, sharing, most_orders)

        def run_pass(name: str) -> None:
            work.outcomes.put(self._pass(name, consent, renew=name in renew, check_dns=check_dns))

        threads = self._start(work, run_pass)
        try:
            while True:
                for outcome in work.ended():
                    on_done(outcome)
                if not work.begin_again():
                    break
                # All threads have left, or none was started.
                self._run_passes(work, run_pass)
        except BaseException:
            self.stop()
            raise
        finally:
            for thread in threads:
                thread.join()
            sharing.give_back(work.not_begun)
        if work.error is not None:
            raise work.error

    def _start(self, work: Work, run_pass: Callable[[str], None]) -> list[threading.Thread]:
        """Start the threads that work on `work`, as many as the machine allows."""
        wanted = work.workers
        threads, limit = start_threads(lambda: self._run_passes(work, run_pass), wanted, "pass")
        if limit is not None:
            self._notify_once(work, limit, max(1, len(threads)))
            work.leave(wanted - len(threads))
        return threads

    def _run_passes(self, work: Work, run_pass: Callable[[str], None]) -> None:
        """Run passes until no name is left, or until the machine allows only fewer at once."""
        failures = 0
        try:
            while (name := work.take()) is not None:
                try:
                    run_pass(name)
                    failures = 0
                except MachineLimit as limit:
                    left = work.give_back(name)
                    if left:
                        self._notify_once(work, limit, left)
                        return
                    failures += 1
                    if failures == _LAST_TRIES:
                        raise
                    # What the other passes used becomes free in a moment.
                    time.sleep(_PAUSE_SECONDS)
                finally:
                    work.end(name)
        except SlotsClosed:
            work.leave()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
            self.stop()
            work.error = work.error or error
            work.leave()

    def _notify_once(self, work: Work, limit: MachineLimit, left: int) -> None:
        if not work.is_notified:
            work.is_notified = True
            passes = "1 pass" if left == 1 else f"{left} passes"
            self._on_notice(f"{limit.message}; going on with {passes} at a time")

    def _pass(self, name: str, consent: Consent, *, renew: bool, check_dns: bool) -> Outcome:
        """Run one pass. Raise `MachineLimit` if the machine did not allow it."""
        try:
            domain = self._pipeline.run(name, renew=renew, consent=consent, check_dns=check_dns)
            return Outcome(name, domain)
        except (StateError, SlotsClosed):
            raise
        except StateBusy as error:
            self.stop()
            return Outcome(name, error=error)
        except Exception as error:
            limit = explain(error)
            if limit is not None:
                raise limit from error
            return Outcome(name, error=error)
