"""What the views run: the `App` of the current request, and the jobs of the server.

The `App` is new for each request, so a restored database or a new configuration is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from flask import Flask, current_app, g

from sslctl.app import App
from sslctl.web.access import current_person
from sslctl.web.jobs import Job, Jobs
from sslctl.web.turns import Turns

_KEY, _JOBS, TURNS = "sslctl_app", "sslctl_jobs", "sslctl_turns"


def install(site: Flask, make_app: Callable[[], App], jobs: Jobs) -> None:
    """Let each request of `site` have an `App` of its own. It only reads unless its view sets `only_reads` to False first."""
    site.extensions[_KEY], site.extensions[_JOBS] = make_app, jobs
    site.extensions[TURNS] = Turns()
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


def server_jobs() -> Jobs:
    """Return the jobs of the server."""
    jobs: Jobs = current_app.extensions[_JOBS]
    return jobs


def start_job(action: str, domains: Sequence[str], *options: str, lines: Sequence[str] | None = None) -> Job:
    """Start a job for the person of the current request; see `Jobs.start`."""
    return server_jobs().start(action, domains, *options, person=current_person().name, lines=lines)


def _close(_error: BaseException | None) -> None:
    app: App | None = g.pop(_KEY, None)
    if app is not None:
        app.close()
