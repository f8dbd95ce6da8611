"""The report: one static HTML file to mail or archive, without keys, links and actions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from flask import Flask, render_template
from markupsafe import Markup

from sslctl.app import App
from sslctl.rules.customer_texts import Language
from sslctl.rules.reasons import Owner, Status
from sslctl.rules.singapore import SGT
from sslctl.store.interface.domains import EVERYTHING, Query, Sort
from sslctl.web import times
from sslctl.web.cards import Kind
from sslctl.web.charts.fleet import draw_fleet
from sslctl.web.facets import find_facets
from sslctl.web.language import Texts
from sslctl.web.notices import standing_notices
from sslctl.web.rows import Row, make_row

MOST_ROWS = 2000
"""The most domains that a report lists: more would be a file that mail programs do not show."""


@dataclass(frozen=True, slots=True)
class FleetReport:
    """A report as HTML, the number of managed domains, and of those that are not well or have a warning."""

    html: str
    managed: int
    unwell: int


def make_report(app: App, language: Language, now: datetime) -> FleetReport:
    """Return the report on the fleet at `now`. Raise `StateError` if the state cannot be used."""
    store, texts = app.store, Texts(language)
    rows: list[Row] = []
    unwell = 0
    for domain in store.listing(Query(sort=Sort.URGENCY), now).domains:
        row = make_row(domain, now)
        if row.reasons and row.kind != Kind.SUSPECTED:
            unwell += 1
            if len(rows) < MOST_ROWS:
                rows.append(row)
    managed = store.count_managed()
    site = Flask("sslctl.web")
    site.jinja_env.trim_blocks = site.jinja_env.lstrip_blocks = True
    times.install(site)
    site.context_processor(lambda: {"t": texts})
    with site.app_context():
        html = render_template(
            "report.html",
            now=now,
            css=Markup(_read_styles()),  # noqa: S704 - our own files
            managed=managed,
            unwell=unwell,
            rows=rows,
            notices=standing_notices(store, now, texts),
            facets=find_facets(EVERYTHING, lambda query: store.count_by_codes(now, query)),
            statuses=list(Status),
            owners=list(Owner),
            charts=draw_fleet(store, app.config.ca_limits.orders, now.astimezone(SGT).date(), language),
        )
    return FleetReport(html, managed, unwell)


def _read_styles() -> str:
    static = files("sslctl.web") / "static"
    return "\n".join((static / name).read_text() for name in ("page.css", "charts.css"))
