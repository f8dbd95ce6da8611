"""Which names of a batch its threads get, beside other processes that take some."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from sslctl.issuance.work import Alone, Sharing, Work

PATIENCE = 60


class Taken:
    """A share of names of which other processes have `elsewhere`; `ordering` wait for the CA."""

    def __init__(self, ordering: Sequence[str] = (), elsewhere: Sequence[str] = ()) -> None:
        self.ordering = frozenset(ordering)
        self._elsewhere = elsewhere
        self.blocks: list[list[str]] = []

    def take(self, names: Sequence[str]) -> Sequence[str]:
        """See `Sharing`."""
        self.blocks.append(list(names))
        return [name for name in names if name not in self._elsewhere]

    def give_back(self, names: Sequence[str]) -> None:
        """See `Sharing`."""


def numbered(number: int) -> list[str]:
    return [str(each) for each in range(number)]


def work_on(names: Sequence[str], sharing: Sharing, *, most_orders: int = 3, workers: int = 1) -> Work:
    return Work(names, workers, lambda: False, sharing, most_orders)


def test_names_that_other_processes_took_are_left_out_and_counted() -> None:
    work = work_on(["a", "b", "c"], Taken(elsewhere=["a", "c"]))
    assert [work.take(), work.take()] == ["b", None]
    assert work.left_out == 2


def test_no_more_is_taken_from_others_than_can_be_ordered_soon() -> None:
    names = numbered(40)
    sharing = Taken(ordering=names)
    work = work_on(names, sharing)
    assert [work.take() for _ in range(3)] == ["0", "1", "2"]
    assert sharing.blocks == [names[:8]]
    assert work.not_begun == names[3:8]


def test_names_that_do_not_order_are_taken_while_others_wait_for_the_ca() -> None:
    work = work_on(["a", "b", "c"], Taken(ordering=["a", "b"]), most_orders=1)
    assert [work.take(), work.take()] == ["a", "c"]
    work.end("c")
    work.end("a")
    assert work.take() == "b"


def test_worker_that_waits_for_the_end_of_an_order_gets_the_next_one() -> None:
    work = work_on(["a", "b"], Taken(ordering=["a", "b"]), most_orders=1, workers=2)
    assert work.take() == "a"
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(work.take()))
    waiting.start()
    waiting.join(0.05)
    assert found == []
    work.end("a")
    waiting.join(PATIENCE)
    assert found == ["b"]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]], ids=["nothing is left", "the batch stops"])
def test_workers_that_wait_leave_when(names: list[str]) -> None:
    stopped = threading.Event()
    work = Work(names, 4, stopped.is_set, Taken(ordering=names), 1)
    assert work.take() == "a"
    waiting = [threading.Thread(target=work.take) for _ in range(3)]
    for thread in waiting:
        thread.start()
    if len(names) > 1:
        stopped.set()
    work.end("a")
    assert work.take() is None
    for thread in waiting:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert list(work.ended()) == []


def test_name_that_is_given_back_is_taken_again() -> None:
    work = work_on(["a", "b"], Taken(ordering=["a"]), workers=2)
    assert work.take() == "a"
    assert work.give_back("a") == 1
    work.end("a")
    assert work.take() == "a"


def test_alone_everything_is_taken_at_once_in_order() -> None:
    work = work_on(numbered(100), Alone(), most_orders=0)
    assert [work.take() for _ in range(100)] == numbered(100)
    assert (work.left_out, work.not_begun) == (0, [])
