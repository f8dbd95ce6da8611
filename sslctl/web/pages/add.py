"""The form that adds domains."""

from __future__ import annotations

import re

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from sslctl.errors import BadInput, SslctlError
from sslctl.rules import names
from sslctl.rules.model import Source
from sslctl.rules.remarks import read_customer
from sslctl.web.access import Role, require
from sslctl.web.errors import status_of
from sslctl.web.language import make_error, plural_key
from sslctl.web.running import request_app, start_job

blueprint = Blueprint("add", __name__)

MOST_DOMAINS = 1000
"""The most domains in one form. `sslctl add --from-file` takes longer lists."""

_MOST_SANS = 99
_MOST_REASONS = 20
_SEPARATORS = re.compile(r"[\s,;]+")


@blueprint.get("/add")
@require(Role.OPERATOR)
def form() -> str:
    """Return the empty form."""
    try:
        name = names.normalise(request.args.get("domains", ""))
    except BadInput:
        name = ""
    # A link may propose one name, and choose nothing else.
    return _render(MultiDict({"domains": name}))


@blueprint.post("/add")
@require(Role.OPERATOR)
def add() -> Response | tuple[str, int]:
    """Start a job that adds the domains of the form, and lead to it."""
    try:
        domains = _read_names(request.form.get("domains", ""), MOST_DOMAINS)
        sans = _read_names(request.form.get("sans", ""), _MOST_SANS)
        customer = read_customer(request.form.get("customer", ""))
        if not domains:
            raise make_error(BadInput, "add.no_domain")
        if sans and len(domains) > 1:
            raise make_error(BadInput, "add.sans_of_one")
        if request.form.get("replace") and len(domains) > 1:
            raise make_error(BadInput, "add.replace_one")
        names.require_few((*domains, *sans) if sans else (), request_app().config.acme.profile)
        options = ("--customer", customer) if customer else ()
        if request.form.get("replace"):
            job = start_job("add", domains, *options, *(f"--san={san}" for san in sans))
        else:
            _require_no_text(domains)
            # A name out of a list is no consent to replace the certificate that C4 has now (`sslctl add --help`).
            job = start_job("add", domains, *options, lines=[" ".join((name, *sans)) for name in domains])
    except SslctlError as error:
        return _render(request.form, error), status_of(error)
    return redirect(url_for("job.job", job_id=job.id), 303)


class _Refused(BadInput):
    """Names that cannot be used: `reasons` has the error of each."""

    reasons: list[BadInput]


def _read_names(text: str, most: int) -> list[str]:
    """Return the normalised names in `text`, each once, in order.

    Raise `_Refused` if some are no names of domains, `BadInput` if there are more than `most`.
    """
    words = list(dict.fromkeys(filter(None, _SEPARATORS.split(text))))
    if len(words) > most:
        raise make_error(BadInput, "add.too_many", most=f"{most:,}")
    found, reasons = dict[str, None](), list[BadInput]()
    for word in words:
        try:
            found[names.normalise(word)] = None
        except BadInput as error:
            reasons.append(error)
    if reasons:
        refused = make_error(_Refused, plural_key("add.refused", len(reasons)), number=f"{len(reasons):,}")
        refused.reasons = reasons
        raise refused
    return list(found)


def _require_no_text(domains: list[str]) -> None:
    """Raise `BadInput` if one of `domains` is managed with a text certificate: to add it would replace that."""
    for domain in request_app().store.domains_named(domains):
        if domain.deleted_at is None and domain.source is Source.TEXT:
            raise make_error(BadInput, "add.has_text", name=domain.name)


def _render(form: MultiDict[str, str], problem: SslctlError | None = None) -> str:
    reasons = problem.reasons if isinstance(problem, _Refused) else []
    return render_template(
        "add.html",
        problem=problem,
        reasons=reasons[:_MOST_REASONS],
        more=max(0, len(reasons) - _MOST_REASONS),
        most=MOST_DOMAINS,
        form=form,
    )
