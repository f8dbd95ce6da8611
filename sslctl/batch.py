"""Many domains: what is due, in what order, and how many at once; one domain's trouble stays that domain's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl import lifecycle
from sslctl.errors import Busy, NotManaged, StateError
from sslctl.lifecycle import RECHECKED, Due, Work
from sslctl.model import Domain, Source
from sslctl.pipeline import Pipeline
from sslctl.store import Query, Store

# Uploads cost no order and cure an Emergency; then what expires first; then what is new; then what failed before.
_LANES = (Work.UPLOAD, Work.RENEW, Work.ISSUE, Work.RECHECK)


@dataclass(frozen=True, slots=True)
class Task:
    """A domain and why it is its turn."""

    domain: Domain
    due: Due


@dataclass(frozen=True, slots=True)
class Outcome:
    """A domain after its pass. `error` is set when there was none: somebody else works on it, or we have a bug."""

    domain: Domain
    error: Exception | None = None


def plan(store: Store, now: datetime, renew_before: timedelta, *, force: bool = False) -> list[Task]:
    """Give what a tick at `now` owes, most urgent first.

    Every finding carries the time at which it is taken up again, for Failure the next midnight in Singapore: so the
    daily recheck needs no memory of its own, and a missed midnight is made up by the next run. `force` adds what
    the recheck covers and is not due again yet.
    """
    tasks = []
    for domain in store.candidates(now, renew_before):
        due = lifecycle.due(domain, now, renew_before)
        if due is not None:
            tasks.append(Task(domain, due))
    if force:
        planned = {task.domain.id for task in tasks}
        tasks += [
            Task(domain, Due(Work.RECHECK, "the daily recheck is forced"))
            for domain in rechecked(store, now)
            if domain.id not in planned
        ]
    # The sort is stable, and candidates come by expiry.
    return sorted(tasks, key=lambda task: _LANES.index(task.due.work))


def rechecked(store: Store, now: datetime) -> list[Domain]:
    """Give the domains that the daily recheck covers: source c4, in Failure, Pending or Expired."""
    return store.domains(Query(statuses=RECHECKED, source=Source.C4), now)


class Batch:
    """Runs passes over many domains, at most `workers` at once.

    After `stop` no new pass begins; those under way are finished.
    """

    def __init__(self, pipeline: Pipeline, workers: int) -> None:
        self._pipeline = pipeline
        self._workers = workers
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Say whether `stop` was called."""
        return self._stopped.is_set()

    def run(
        self,
        domains: Iterable[Domain],
        *,
        renew: bool = False,
        on_done: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> list[Outcome]:
        """Make a pass over each of `domains`; give the outcomes in the order of `domains`.

        `on_done` hears of each as it ends, in this thread. Domains that `stop` left out are not in the result.
        Raises `StateError`, which no other domain would escape either.
        """
        order = list(domains)
        outcomes: dict[int, Outcome] = {}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="pass") as pool:
            futures = [pool.submit(self._pass, domain, renew) for domain in order]
            try:
                for outcome in _ended(futures):
                    outcomes[outcome.domain.id] = outcome
                    on_done(outcome)
            except BaseException:
                self.stop()
                raise
        return [outcomes[domain.id] for domain in order if domain.id in outcomes]

    def _pass(self, domain: Domain, renew: bool) -> Outcome | None:  # noqa: FBT001 - ThreadPoolExecutor.submit is positional
        if self.stopped:
            return None
        try:
            return Outcome(self._pipeline.run(domain.name, renew=renew))
        except StateError:
            raise
        except (Busy, NotManaged) as error:
            return Outcome(domain, error)
        except Exception as error:  # noqa: BLE001 - a bug met by one domain must not end the night for the others
            return Outcome(domain, error)


def _ended(futures: list[Future[Outcome | None]]) -> Iterable[Outcome]:
    for future in as_completed(futures):
        outcome = future.result()
        if outcome is not None:
            yield outcome
