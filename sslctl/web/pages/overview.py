"""The list of all domains: search, filters, counts and pages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, render_template, request

from sslctl.app import App
from sslctl.errors import BadInput
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.store.interface.domains import EVERYTHING, Query, Sort
from sslctl.web.access import Role, require
from sslctl.web.facets import Facets, find_facets
from sslctl.web.language import Texts, request_texts
from sslctl.web.notices import standing_notices
from sslctl.web.rows import Row, make_row
from sslctl.web.running import recent_answer, request_app
from sslctl.web.url_query import FILTERS, PAGE_SIZE, Selection, read_selection

blueprint = Blueprint("overview", __name__)

_WITHIN = ("1d", "7d", "30d", "90d")
# The parameters whose values have a text of their own.
_NAMED: dict[str, Collection[str]] = {
    "status": set(Status),
    "owner": set(Owner),
    "source": set(Source),
    "within": set(_WITHIN),
}
_NOT_FOUND, _BAD_REQUEST = 404, 400


@dataclass(frozen=True, slots=True)
class _Results:
    """The domains of a page, and how many match in all. `number` is that of the page, from 1."""

    facets: Facets
    rows: list[Row] = field(default_factory=list)
    number: int = 1
    managed: int = 0

    @property
    def first(self) -> int:
        """The position of the first row among all that match, from 1."""
        return (self.number - 1) * PAGE_SIZE + 1

    @property
    def last(self) -> int:
        """The position of the last row."""
        return self.first + len(self.rows) - 1

    @property
    def last_number(self) -> int:
        """The number of the last page."""
        return max(1, -(-self.facets.matching // PAGE_SIZE))


@blueprint.get("/")
@require(Role.VIEWER)
def overview() -> tuple[str, int]:
    """Return the page of the domains that the parameters select, by urgency unless they say otherwise."""
    app = request_app()
    now = app.clock()
    try:
        selection, problem = read_selection(request.args), None
        results = _find(app, selection, now)
    except BadInput as error:
        # Such as a pattern of which only the beginning is typed.
        selection, problem, results = Selection(EVERYTHING, 1), error, _Results(Facets(0))
    page = render_template(
        "overview.html",
        now=now,
        query=selection.query,
        results=results,
        problem=problem,
        place=app.config.state.shown_place,
        notices=standing_notices(app.store, now, request_texts()),
        active=_active_filters(request_texts()),
        choices=_choices(results.facets, selection.query),
        statuses=list(Status),
        owners=list(Owner),
        sorts=list(Sort),
        withins=_WITHIN,
        is_filtered=any(request.args.get(key) for key in FILTERS),
    )
    if problem is not None:
        return page, _BAD_REQUEST
    is_beyond = results.number > results.last_number
    return page, _NOT_FOUND if is_beyond else 200


def _find(app: App, selection: Selection, now: datetime) -> _Results:
    store, query = app.store, selection.query
    facets = find_facets(query, lambda base: recent_answer(base, lambda: store.count_by_codes(now, base)))
    listed = recent_answer(("listing", query), lambda: list(store.listing(query, now).domains))
    managed = recent_answer("managed", store.count_managed)
    return _Results(facets, [make_row(domain, now) for domain in listed], selection.number, managed)


def _choices(facets: Facets, query: Query) -> dict[str, list[tuple[Code, int]]]:
    """Return the reasons and warnings to choose from: those that occur, the most frequent first, and those that are chosen."""
    return {
        "reason": [(code, facets.reasons[code]) for code in query.reasons if not facets.reasons[code]]
        + facets.reasons.most_common(),
        "warning": [(code, facets.warnings[code]) for code in query.warnings if not facets.warnings[code]]
        + facets.warnings.most_common(),
    }


def _active_filters(texts: Texts) -> list[tuple[str, str, str]]:
    """Return the filters in the address: parameter, value, and how they are shown."""
    return [
        (key, value, _show_filter(key, value, texts))
        for key in FILTERS
        for value in dict.fromkeys(request.args.getlist(key))
        if value
    ]


def _show_filter(key: str, value: str, texts: Texts) -> str:
    if key in ("no_customer", "no_assignee"):
        return texts(f"filter.{key}")
    shown = value
    if value in _NAMED.get(key, ()):
        shown = texts(f"{key}.{value}")
    elif key in ("reason", "warning") and value in set(Code):
        shown = texts.label(Code(value))
    return texts("site.colon", label=texts(f"filter.{key}"), text=shown)
