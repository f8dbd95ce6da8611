"""Run passes over many domains in parallel; an error with one domain does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from sslctl.errors import StateBusy, StateError
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.pipeline import Pipeline
from sslctl.issuance.slots import Slots, SlotsClosed
from sslctl.rules.model import Domain

# A pass mostly waits: for C4, for DNS and for a slot at the CA. With this many passes in flight, there is always one
# that is ready for the CA, even if some of them hang.
IN_FLIGHT = 128


@dataclass(frozen=True, slots=True)
class Outcome:
    """The domain after its pass, or the `error` that prevented it: `Busy`, `NotManaged`, `StateBusy`, or a bug."""

    name: str
    domain: Domain | None = None
    error: Exception | None = None


class Batch:
    """Passes over many domains, at most `in_flight` at once. `slots` must be those of `pipeline`.

    After `stop` no pass starts, and no pass under way places an order; passes that are at the CA are finished.
    """

    def __init__(self, pipeline: Pipeline, slots: Slots, in_flight: int = IN_FLIGHT) -> None:
        self._pipeline = pipeline
        self._slots = slots
        self._in_flight = in_flight

    def stop(self) -> None:
        """Start no further pass and place no further order."""
        self._slots.close()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._slots.closed

    def run(
        self,
        names: Sequence[str],
        *,
        renew: Container[str] = (),
        consent: Consent = NO_CONSENT,
        check_dns: bool = False,
        on_done: Callable[[Outcome], None],
    ) -> None:
        """Run a pass over each of `names`, started in that order; call `on_done` in this thread as each one ends.

        Domains in `renew` get a new certificate even if none is due; `consent` and `check_dns` hold for all of them, as in
        `Pipeline.run`. `on_done` is not called for domains that were not reached before `stop`. Raise `StateError`, because it would hit every other domain
        too. `StateBusy` stops the batch: nothing more can be recorded, so nothing more may be ordered.
        """
        remaining, ended = iter(names), SimpleQueue[Outcome | None]()
        lock = threading.Lock()

        def take() -> str | None:
            with lock:
                return None if self.stopped else next(remaining, None)

        def work() -> None:
            try:
                while (name := take()) is not None:
                    ended.put(self._pass(name, consent, renew=name in renew, check_dns=check_dns))
            except SlotsClosed:
                pass
            except BaseException:
                self.stop()
                raise
            finally:
                ended.put(None)

        count = min(self._in_flight, len(names))
        with ThreadPoolExecutor(max(1, count), thread_name_prefix="pass") as pool:
            workers = [pool.submit(work) for _ in range(count)]
            try:
                for outcome in _outcomes(ended, count):
                    on_done(outcome)
            except BaseException:
                self.stop()
                raise
        for worker in workers:
            worker.result()

    def _pass(self, name: str, consent: Consent, *, renew: bool, check_dns: bool) -> Outcome:
        try:
            domain = self._pipeline.run(name, renew=renew, consent=consent, check_dns=check_dns)
            return Outcome(name, domain)
        except (StateError, SlotsClosed):
            raise
        except StateBusy as error:
            self.stop()
            return Outcome(name, error=error)
        except Exception as error:  # noqa: BLE001 - a bug with one domain must not stop the others
            return Outcome(name, error=error)


def _outcomes(ended: SimpleQueue[Outcome | None], workers: int) -> Iterator[Outcome]:
    """Yield the outcomes in the queue `ended` until each of the `workers` has put None into it."""
    while workers:
        outcome = ended.get()
        if outcome is None:
            workers -= 1
        else:
            yield outcome
