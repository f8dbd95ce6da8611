"""The page of charts: certificates that expire, orders at the CA, and domains by status, day by day."""

from __future__ import annotations

from datetime import date, timedelta

from flask import Blueprint, render_template
from markupsafe import Markup

from sslctl.app import App
from sslctl.rules.customer_texts import Language
from sslctl.rules.limits import Limit
from sslctl.rules.singapore import SGT
from sslctl.web.access import Role, require
from sslctl.web.charts import figures
from sslctl.web.charts.texts import ENGLISH
from sslctl.web.charts.texts_zh import CHINESE
from sslctl.web.language import request_texts
from sslctl.web.running import request_app

blueprint = Blueprint("charts", __name__)

_LENGTH = timedelta(days=89)
_DAY = timedelta(days=1)


@blueprint.get("/charts")
@require(Role.VIEWER)
def charts() -> str:
    """Return the page with each chart over 90 days: those to come for expiries, those before for the others."""
    app = request_app()
    today = app.clock().astimezone(SGT).date()
    return render_template("charts.html", charts=_draw(app, today))


def _draw(app: App, today: date) -> list[Markup]:
    store, first, last = app.store, today - _LENGTH, today + _LENGTH
    texts = CHINESE if request_texts().language is Language.ZH else ENGLISH
    limit = _per_day(app.config.ca_limits.orders)
    return [
        figures.expiries(store.expiries(today, last), today, last, texts),
        figures.orders(store.orders(first, today), first, today, limit, texts),
        figures.statuses(store.status_counts(first, today), first, today, texts),
    ]


def _per_day(limit: Limit | None) -> int | None:
    """Return how many orders `limit` allows a day, None for any number."""
    return None if limit is None else int(limit.count * (_DAY / limit.window))
