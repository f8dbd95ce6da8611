"""Many domains: what is due, in what order, and how many at once; one domain's trouble stays that domain's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from sslctl.errors import StateError
from sslctl.issuance.pipeline import Pipeline
from sslctl.issuance.slots import Slots, SlotsClosed
from sslctl.rules.model import Domain

# A pass mostly waits: for C4, DNS, and its turn at the CA, where the issuer's own bound counts. So many are far enough
# ahead that issuance never waits for a look-up, and that some that hang delay nobody.
IN_FLIGHT = 128


@dataclass(frozen=True, slots=True)
class Outcome:
    """A domain after its pass; or `error` where there was none: somebody else works on it, or we have a bug."""

    name: str
    domain: Domain | None = None
    error: Exception | None = None


class Batch:
    """Runs passes over many domains, at most `in_flight` at once. `slots` are those of `pipeline`, at the CA.

    After `stop` no new pass begins, and none that is under way begins to ask the CA; the others are finished.
    """

    def __init__(self, pipeline: Pipeline, slots: Slots, in_flight: int = IN_FLIGHT) -> None:
        self._pipeline = pipeline
        self._slots = slots
        self._in_flight = in_flight

    def stop(self) -> None:
        """Begin nothing more."""
        self._slots.close()

    @property
    def stopped(self) -> bool:
        """Say whether `stop` was called."""
        return self._slots.closed

    def run(
        self,
        names: Sequence[str],
        *,
        renew: Container[str] = (),
        on_done: Callable[[Outcome], None],
    ) -> None:
        """Make a pass over each of `names`, begun in that order; `on_done` hears of each as it ends, in this thread.

        `renew` has those for which a new certificate is ordered even when none is due. Of domains that `stop` left out
        nothing is heard. Raises `StateError`, which no other domain would escape either.
        """
        following, ended = iter(names), SimpleQueue[Outcome | None]()
        taking = threading.Lock()

        def take() -> str | None:
            with taking:
                return None if self.stopped else next(following, None)

        def work() -> None:
            try:
                while (name := take()) is not None:
                    ended.put(self._pass(name, renew=name in renew))
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
                for outcome in _until_all_left(ended, count):
                    on_done(outcome)
            except BaseException:
                self.stop()
                raise
        for worker in workers:
            worker.result()

    def _pass(self, name: str, *, renew: bool) -> Outcome:
        try:
            return Outcome(name, self._pipeline.run(name, renew=renew))
        except (StateError, SlotsClosed):
            raise
        except Exception as error:  # noqa: BLE001 - a bug met by one domain must not end the night for the others
            return Outcome(name, error=error)


def _until_all_left(ended: SimpleQueue[Outcome | None], workers: int) -> Iterator[Outcome]:
    """Give what comes out of `ended` until each of the `workers` said that it has left."""
    while workers:
        outcome = ended.get()
        if outcome is None:
            workers -= 1
        else:
            yield outcome
