"""The page of a job: its steps while it runs, and how it ended."""

from __future__ import annotations

from flask import Blueprint, render_template

from sslctl.errors import Exit
from sslctl.rules.status import derive_status
from sslctl.web.access import Role, require
from sslctl.web.errors import error_page
from sslctl.web.language import request_texts
from sslctl.web.running import forget_recent_answers, request_app, server_jobs

blueprint = Blueprint("job", __name__)

_MOST_DOMAINS = 20
_NOT_FOUND = 404


@blueprint.get("/jobs/<job_id>")
@require(Role.VIEWER)
def job(job_id: str) -> str | tuple[str, int]:
    """Return the page of a job; while it runs, the page is loaded again every 2 seconds."""
    found = server_jobs().find(job_id)
    if found is None:
        return error_page(_NOT_FOUND, request_texts()("job.unknown"))
    app = request_app()
    now = app.clock()
    # The exit code first: everything that a process prints is there once it has ended.
    exit_code = found.exit_code
    if exit_code is not None:
        forget_recent_answers()
    shown = app.store.domains_named(found.domains[:_MOST_DOMAINS])
    domains = [(each, derive_status(each, now).status) for each in shown]
    return render_template(
        "job.html",
        job=found,
        exit_code=exit_code,
        has_done=exit_code == Exit.OK,
        lines=found.lines(),
        domains=domains,
        left=len(found.domains) - _MOST_DOMAINS,
        now=now,
    )
