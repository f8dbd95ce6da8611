"""What the views run: the `App` of the current request, the jobs of the server, and its queries over all domains.

The `App` is new for each request, so a restored database or a new configuration is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from flask import Flask, Response, current_app, g, request

from sslctl.app import App
from sslctl.web.access import current_person
from sslctl.web.jobs import Job, Jobs
from sslctl.web.recent_answers import RecentAnswers
from sslctl.web.turns import Turns

_KEY, _JOBS, TURNS, RECENT = "sslctl_app", "sslctl_jobs", "sslctl_turns", "sslctl_recent"
_READING = frozenset({"GET", "HEAD"})
_Answer = TypeVar("_Answer")


def install(site: Flask, make_app: Callable[[], App], jobs: Jobs) -> None:
    """Let each request of `site` have an `App` of its own. It only reads unless its view sets `only_reads` to False first."""
    site.extensions[_KEY], site.extensions[_JOBS] = make_app, jobs
    turns = Turns()
    site.extensions[TURNS], site.extensions[RECENT] = turns, RecentAnswers(turns)
    site.after_request(_forget_after_change)
    site.teardown_appcontext(_close)


def request_app() -> App:
    """Return the `App` of the current request; it is made when it is first needed."""
    if _KEY not in g:
        app: App = current_app.extensions[_KEY]()
        app.only_reads = True
        app.person = current_person().name
        setattr(g, _KEY, app)
    found: App = g.get(_KEY)
    return found


def reading_all_domains() -> AbstractContextManager[None]:
    """Return a context manager in which the request may read all domains. Entering raises `TryLater` if others read for too long."""
    turns: Turns = current_app.extensions[TURNS]
    return turns.take()


def recent_answer(key: Hashable, find: Callable[[], _Answer]) -> _Answer:
    """Return what `find` returns about all domains of the state, or its recent answer for `key`; see `RecentAnswers.get`."""
    recent: RecentAnswers = current_app.extensions[RECENT]
    return recent.get((request_app().config.state.dir, key), find)


def forget_recent_answers() -> None:
    """Forget the recent answers, after a change that the current person must see; see `RecentAnswers.forget`."""
    recent: RecentAnswers = current_app.extensions[RECENT]
    recent.forget()


def server_jobs() -> Jobs:
    """Return the jobs of the server."""
    jobs: Jobs = current_app.extensions[_JOBS]
    return jobs


def start_job(action: str, domains: Sequence[str], *options: str, lines: Sequence[str] | None = None) -> Job:
    """Start a job for the person of the current request; see `Jobs.start`."""
    return server_jobs().start(action, domains, *options, person=current_person().name, lines=lines)


def _forget_after_change(response: Response) -> Response:
    if request.method not in _READING:
        forget_recent_answers()
    return response


def _close(_error: BaseException | None) -> None:
    app: App | None = g.pop(_KEY, None)
    if app is not None:
        app.close()
