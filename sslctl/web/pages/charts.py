"""The page of charts: certificates that expire, orders at the CA, and domains by status, day by day."""

from __future__ import annotations

from flask import Blueprint, render_template

from sslctl.rules.singapore import SGT
from sslctl.web.access import Role, require
from sslctl.web.charts.fleet import draw_fleet
from sslctl.web.language import request_texts
from sslctl.web.running import recent_answer, request_app

blueprint = Blueprint("charts", __name__)


@blueprint.get("/charts")
@require(Role.VIEWER)
def charts() -> str:
    """Return the page with each chart over 90 days."""
    app = request_app()
    today = app.clock().astimezone(SGT).date()
    orders, language = app.config.ca_limits.orders, request_texts().language
    drawn = recent_answer(("charts", today, language), lambda: draw_fleet(app.store, orders, today, language))
    return render_template("charts.html", charts=drawn)
