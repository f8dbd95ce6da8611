"""What a person does with one domain: recheck, delete, note, assign, snooze, and record the customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any, Literal

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
from sslctl.web.errors import status_of
from sslctl.web.language import make_error, request_texts
from sslctl.web.pages.domain import RefusedForm, render_refused
from sslctl.web.running import request_app, start_job

blueprint = Blueprint("actions", __name__, url_prefix="/domains/<name>")

_Answer = Response | tuple[str, int]


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
def note(name: str) -> _Answer:
    """Record the note of the form; an empty one removes it."""
    return _record_text(name, "note", "note", read_note)


@blueprint.post("/assign")
@require(Role.OPERATOR)
def assign(name: str) -> _Answer:
    """Record who takes care of the domain; an empty name is nobody."""
    return _record_text(name, "assign", "assignee", read_assignee)


@blueprint.post("/customer")
@require(Role.OPERATOR)
def customer(name: str) -> _Answer:
    """Record whose domain it is; an empty name removes what was recorded."""
    return _record_text(name, "customer", "customer", read_customer)


@blueprint.post("/snooze")
@require(Role.OPERATOR)
def snooze(name: str) -> _Answer:
    """Snooze the domain until midnight in Singapore at the start of the chosen day; with `clear`, end its snooze."""
    now = request_app().clock()
    if request.form.get("clear"):
        return _record(name, "snooze", "", lambda domain: replace(domain.remarks, snooze=None))
    value = request.form.get("until", "")

    def change(domain: Domain) -> Remarks:
        until = _read_day(value)
        require_end(until, now)
        return replace(domain.remarks, snooze=make_snooze(domain, until, now))

    return _record(name, "snooze", value, change)


def _read_day(text: str) -> datetime:
    """Return midnight in Singapore at the start of the day `text` (ISO 8601). Raise `BadInput` if it is none."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), SGT)
    except ValueError as error:
        raise make_error(BadInput, "snooze.no_day") from error


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
        raise make_error(Busy, "remark.changed", value=shown)
    return wanted


def _record_text(
    name: str, form: str, field: Literal["note", "assignee", "customer"], read: Callable[[str], str]
) -> _Answer:
    """Record the text of the form `form`, checked by `read`, in `field` of the remarks; see `_record`."""
    value = _sent("value")

    def change(domain: Domain) -> Remarks:
        recorded: dict[str, Any] = {field: _if_unchanged(getattr(domain.remarks, field), read(value))}
        return replace(domain.remarks, **recorded)

    return _record(name, form, value, change)


def _record(name: str, form: str, value: str, change: Callable[[Domain], Remarks]) -> _Answer:
    """Record the remarks that `change` returns, and lead back to the domain.

    If they are refused, return the page of the domain with the reason and the `value` that was typed in its form `form`.
    """
    app = request_app()
    app.only_reads = False
    domain = _managed(name)
    try:
        errors = remarks.record(app.store, [domain], change, is_about_customer=form == "customer")
        if errors:
            raise errors[domain.name]
    except (BadInput, Busy) as error:
        return render_refused(app, _managed(name), RefusedForm(form, value, error)), status_of(error)
    return redirect(url_for("domain.domain", name=domain.name, saved=form), 303)


def _lead_to_job(action: str, domain: Domain, *options: str) -> Response:
    job = start_job(action, [domain.name], *options)
    return redirect(url_for("job.job", job_id=job.id), 303)


def _render_delete(domain: Domain, problem: str = "") -> str:
    return render_template("delete.html", domain=domain, problem=problem)
