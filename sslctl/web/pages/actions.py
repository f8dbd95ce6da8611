"""What a person does with one domain: recheck, delete, note, assign, snooze, and record the customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from sslctl.errors import BadInput, Busy
from sslctl.fleet import remarks
from sslctl.rules import names
from sslctl.rules.model import Domain
from sslctl.rules.remarks import Remarks, read_assignee, read_customer, read_note
from sslctl.rules.singapore import SGT
from sslctl.rules.snoozing import make_snooze, require_end
from sslctl.web.access import Role, require
from sslctl.web.language import request_texts
from sslctl.web.running import request_app, start_job

blueprint = Blueprint("actions", __name__, url_prefix="/domains/<name>")


@blueprint.post("/recheck")
@require(Role.OPERATOR)
def recheck(name: str) -> Response:
    """Start a job that checks the domain, and lead to it."""
    return _lead_to_job("recheck", _managed(name))


@blueprint.get("/delete")
@require(Role.OPERATOR)
def ask_delete(name: str) -> str:
    """Return the page on which a deletion is confirmed."""
    return _render_delete(_managed(name))


@blueprint.post("/delete")
@require(Role.OPERATOR)
def delete(name: str) -> Response | tuple[str, int]:
    """Start a job that deletes the domain if its name was typed, and lead to it."""
    domain = _managed(name)
    try:
        typed = names.normalise(request.form.get("typed", "").strip())
    except BadInput:
        typed = ""
    if typed != domain.name:
        return _render_delete(domain, request_texts()("delete.mistyped", name=domain.name)), 400
    options = ("--yes", "--keep-on-c4") if request.form.get("keep") else ("--yes",)
    return _lead_to_job("delete", domain, *options)


@blueprint.post("/note")
@require(Role.OPERATOR)
def note(name: str) -> Response:
    """Record the note of the form; an empty one removes it."""
    text = read_note(_sent("value"))
    return _record(
        name, lambda domain: replace(domain.remarks, note=_if_unchanged(domain.remarks.note, text))
    )


@blueprint.post("/assign")
@require(Role.OPERATOR)
def assign(name: str) -> Response:
    """Record who takes care of the domain; an empty name is nobody."""
    assignee = read_assignee(_sent("value"))
    return _record(
        name,
        lambda domain: replace(domain.remarks, assignee=_if_unchanged(domain.remarks.assignee, assignee)),
    )


@blueprint.post("/customer")
@require(Role.OPERATOR)
def customer(name: str) -> Response:
    """Record whose domain it is; an empty name removes what was recorded."""
    recorded = read_customer(_sent("value"))
    return _record(
        name,
        lambda domain: replace(domain.remarks, customer=_if_unchanged(domain.remarks.customer, recorded)),
        is_about_customer=True,
    )


@blueprint.post("/snooze")
@require(Role.OPERATOR)
def snooze(name: str) -> Response:
    """Snooze the domain until midnight in Singapore at the start of the chosen day; with `clear`, end its snooze."""
    now = request_app().clock()
    if request.form.get("clear"):
        return _record(name, lambda domain: replace(domain.remarks, snooze=None))
    until = _read_day(request.form.get("until", ""))
    require_end(until, now)
    return _record(name, lambda domain: replace(domain.remarks, snooze=make_snooze(domain, until, now)))


def _read_day(text: str) -> datetime:
    """Return midnight in Singapore at the start of the day `text` (ISO 8601). Raise `BadInput` if it is none."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), SGT)
    except ValueError as error:
        raise BadInput(request_texts()("snooze.no_day")) from error


def _managed(name: str) -> Domain:
    return request_app().store.domain(names.normalise(name))


def _sent(field: str) -> str:
    """Return the text of `field` in the form. End the request with 400 if it is missing: nothing may be removed by accident."""
    if field not in request.form:
        abort(400)
    return request.form[field]


def _if_unchanged(present: str, wanted: str) -> str:
    """Return `wanted`. Raise `Busy` if the value was not `present` any more when the form was made."""
    if present not in (_sent("before"), wanted):
        shown = present or request_texts()("remark.none")
        raise Busy(request_texts()("remark.changed", value=shown))
    return wanted


def _record(name: str, change: Callable[[Domain], Remarks], *, is_about_customer: bool = False) -> Response:
    """Record the remarks that `change` returns, and lead back to the domain. Raise the error if they are refused."""
    app = request_app()
    app.only_reads = False
    domain = _managed(name)
    errors = remarks.record(app.store, [domain], change, is_about_customer=is_about_customer)
    if errors:
        raise errors[domain.name]
    return redirect(url_for("domain.domain", name=domain.name), 303)


def _lead_to_job(action: str, domain: Domain, *options: str) -> Response:
    job = start_job(action, [domain.name], *options)
    return redirect(url_for("job.job", job_id=job.id), 303)


def _render_delete(domain: Domain, problem: str = "") -> str:
    return render_template("delete.html", domain=domain, problem=problem)
