"""The page of one domain: facts, reasons, records to set, the message for the customer, versions and history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from sslctl.app import App
from sslctl.errors import BadInput, SslctlError
from sslctl.fleet.similar_names import find_similar
from sslctl.rules import customer_message, names
from sslctl.rules.customer_message import CustomerMessage
from sslctl.rules.customer_texts import Language
from sslctl.rules.model import Domain
from sslctl.rules.onboarding import is_abandoned, is_looked_at
from sslctl.rules.status import derive_status
from sslctl.web.access import Role, require
from sslctl.web.cards import make_cards
from sslctl.web.errors import core_error_page, error_page
from sslctl.web.facts import certificate_facts, describe_version, domain_facts
from sslctl.web.language import request_texts
from sslctl.web.running import reading_all_domains, request_app, server_jobs
from sslctl.web.url_query import read_number

blueprint = Blueprint("domain", __name__)

# The forms of the page by name, each with the key of its label.
_LABELS = {
    "note": "actions.note",
    "assign": "actions.assignee",
    "customer": "actions.customer",
    "snooze": "actions.snooze",
}
_EVENTS = 50
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class RefusedForm:
    """A form of the page that could not be used: its name, the `value` that was typed, and why it was refused."""

    name: str
    value: str
    problem: SslctlError


@blueprint.get("/domains/<name>")
@require(Role.VIEWER)
def domain(name: str) -> str | tuple[str, int] | Response:
    """Return the page of the domain `name`, deleted or not. Another name of a certificate leads to its domain."""
    app = request_app()
    try:
        normalised = names.normalise(name)
    except BadInput as error:
        return core_error_page(_NOT_FOUND, error)
    if normalised != name:
        return redirect(url_for("domain.domain", name=normalised), 301)
    found = app.store.find(name)
    if found is None or found.deleted_at is not None:
        holder = app.store.holders([name]).get(name)
        if holder is not None:
            return redirect(url_for("domain.domain", name=holder, alias=name))
    if found is None:
        return _not_found(app, name)
    page, is_beyond = _render(app, found, None)
    return (page, _NOT_FOUND) if is_beyond else page


def _not_found(app: App, name: str) -> tuple[str, int]:
    with reading_all_domains():
        similar = find_similar(app.store, name, app.clock())
    return error_page(
        _NOT_FOUND, request_texts()("error.not_managed", name=name), similar=similar, unmanaged=name
    )


def render_refused(app: App, found: Domain, refused: RefusedForm) -> str:
    """Return the page of `found` with what was typed into the form, and why that was refused."""
    return _render(app, found, refused)[0]


def _render(app: App, found: Domain, refused: RefusedForm | None) -> tuple[str, bool]:
    """Return the page of `found`, and whether the wanted page of its history is beyond the last one."""
    now, store = app.clock(), app.store
    certificates, events = store.certificates(found), store.events(found)[::-1]
    for certificate in certificates:
        store.require_unchanged(certificate)
    number = read_number(request.args.get("page", ""))
    last = max(1, -(-len(events) // _EVENTS))
    current = found.serving or found.wanted
    alias, saved = request.args.get("alias", ""), request.args.get("saved", "")
    page = render_template(
        "domain.html",
        now=now,
        domain=found,
        refused=refused,
        saved=request_texts()(_LABELS[saved]) if saved in _LABELS and refused is None else "",
        job=server_jobs().running_for(found.name),
        status=derive_status(found, now).status,
        alias=alias if alias in found.sans else "",
        cards=make_cards(found, now, request_texts()),
        is_abandoned=is_abandoned(found, now),
        is_looked_at=is_looked_at(found, now),
        messages=_messages(found, now),
        facts=domain_facts(found, now, app.renewal, request_texts()),
        certificate=certificate_facts(current, request_texts()) if current else [],
        versions=[(each, describe_version(each, found, now, request_texts())) for each in certificates[::-1]],
        cut=store.history_cut(),
        events=events[(number - 1) * _EVENTS : number * _EVENTS],
        number=number,
        last=last,
    )
    return page, number > last


def _messages(found: Domain, now: datetime) -> list[CustomerMessage]:
    """Return the message to the customer in each language; nothing if the customer has nothing to do."""
    needs = [] if found.deleted_at is not None else customer_message.find_needs(found, now)
    return [each for language in Language for each in customer_message.write_messages(needs, language, now)]
