"""Recent answers: for how long one is given, and what ends that."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from sslctl.errors import TryLater
from sslctl.web.recent_answers import RecentAnswers
from sslctl.web.turns import Turns


class Query:
    """A query that takes `seconds` of the clock `now` and returns how often it ran."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.runs = seconds, 100.0, 0

    def __call__(self) -> int:
        self.now += self.seconds
        self.runs += 1
        return self.runs


def of(query: Query) -> RecentAnswers:
    return RecentAnswers(Turns(), lambda: query.now)


@pytest.mark.parametrize(("seconds", "kept"), [(0.2, 2), (0.001, 0.01), (5, 10)])
def test_answer_is_given_again_for_ten_times_as_long_as_it_took_at_most_10_seconds(
    seconds: float, kept: float
) -> None:
    query = Query(seconds)
    recent = of(query)
    assert recent.get("all", query) == 1
    query.now += kept * 0.99
    assert recent.get("all", query) == 1
    query.now += kept * 0.02
    assert recent.get("all", query) == 2


def test_each_key_has_its_own_answer() -> None:
    recent = of(query := Query(1))
    assert (recent.get("a", query), recent.get("b", query), recent.get("a", query)) == (1, 2, 1)


def test_forget_lets_the_next_request_find_anew() -> None:
    recent = of(query := Query(1))
    recent.get("all", query)
    recent.forget()
    assert recent.get("all", query) == 2


def test_answer_that_was_begun_before_a_change_is_not_given_after_it() -> None:
    recent = of(query := Query(1))

    def find_beside_change() -> int:
        found = query()
        recent.forget()
        return found

    assert recent.get("all", find_beside_change) == 1
    assert recent.get("all", query) == 2


def test_failed_query_is_not_remembered() -> None:
    recent = of(query := Query(1))

    def fail() -> int:
        raise TryLater("busy", hint="later")

    with pytest.raises(TryLater):
        recent.get("all", fail)
    assert recent.get("all", query) == 1


def test_requests_at_once_for_one_answer_run_one_query() -> None:
    now = [0.0]
    recent, started, go_on = RecentAnswers(Turns(), lambda: now[0]), threading.Event(), threading.Event()
    runs: list[int] = []

    def find() -> int:
        runs.append(1)
        # So the answer is given again for 10 seconds, in which the clock stands still.
        now[0] += 1
        started.set()
        assert go_on.wait(10)
        return 7

    answers: list[int] = []
    ask: Callable[[], None] = lambda: answers.append(recent.get("all", find))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(5)]
    threads[0].start()
    assert started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert (answers, len(runs)) == ([7] * 5, 1)


def test_oldest_answer_is_dropped_when_there_are_too_many() -> None:
    recent = of(query := Query(0.1))
    for number in range(64):
        recent.get(number, query)
        query.seconds = 0
    assert recent.get(0, query) == 1
    recent.get("one more", query)
    assert recent.get(0, query) == 66
