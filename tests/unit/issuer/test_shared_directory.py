"""The shared directory: fetched once for all threads, and again when it may be wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sslctl.issuer import IssueError
from sslctl.issuer.certbot.shared_directory import Directory, SharedDirectory
from sslctl.rules.reasons import Code


class Ca:
    """A CA that counts how often its directory is fetched; it answers once `open` is set."""

    def __init__(self) -> None:
        self.fetched = 0
        self.now = 0.0
        self.error: IssueError | None = None
        self.content: Directory | None = {"newOrder": "https://ca.test/1"}
        self.open = threading.Event()
        self.open.set()

    def fetch(self) -> Directory | None:
        self.fetched += 1
        self.open.wait(20)
        if self.error is not None:
            raise self.error
        return self.content

    def shared(self) -> SharedDirectory:
        return SharedDirectory(self.fetch, lambda: self.now)


def test_directory_is_fetched_once_within_fifteen_minutes() -> None:
    ca = Ca()
    shared = ca.shared()
    for ca.now in (0, 1, 899):
        assert shared.get() == ca.content
    assert ca.fetched == 1
    ca.now = 900
    assert shared.get() == ca.content
    assert ca.fetched == 2


def test_directory_is_fetched_again_after_trouble() -> None:
    ca = Ca()
    shared = ca.shared()
    shared.get()
    ca.content = {"newOrder": "https://ca.test/2"}
    shared.forget()
    assert shared.get() == ca.content
    assert ca.fetched == 2


@pytest.mark.parametrize("fails", [False, True])
def test_threads_that_ask_together_share_one_fetch_and_its_error(*, fails: bool) -> None:
    ca = Ca()
    ca.open.clear()
    if fails:
        ca.error = IssueError(Code.CA_UNAVAILABLE, "no connection")
    shared, started = ca.shared(), threading.Barrier(21)

    def ask() -> object:
        started.wait()
        try:
            return shared.get()
        except IssueError as error:
            return error.found

    with ThreadPoolExecutor(20) as pool:
        asking = [pool.submit(ask) for _ in range(20)]
        started.wait()
        # All are there once 19 of them wait for the result of the first.
        ca.open.set()
        found = [each.result() for each in asking]
    assert found == ["no connection" if fails else ca.content] * 20
    if not fails:
        assert ca.fetched == 1


def test_failed_fetch_is_tried_again_by_the_next() -> None:
    ca = Ca()
    ca.error = IssueError(Code.CA_UNAVAILABLE, "no connection")
    shared = ca.shared()
    with pytest.raises(IssueError):
        shared.get()
    ca.error = None
    assert shared.get() == ca.content


def test_directory_that_cannot_be_shared_is_none() -> None:
    ca = Ca()
    ca.content = None
    shared = ca.shared()
    assert shared.get() is None
    assert shared.get() is None
    assert ca.fetched == 2
