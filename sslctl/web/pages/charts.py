"""The page of charts: certificates that expire, orders at the CA, and domains by status, day by day."""

from __future__ import annotations

from flask import Blueprint, render_template

from sslctl.rules.singapore import SGT
from sslctl.web.access import Role, require
from sslctl.web.charts.fleet import draw_fleet
from sslctl.web.language import request_texts
from sslctl.web.running import reading_all_domains, request_app

blueprint = Blueprint("charts", __name__)


@blueprint.get("/charts")
@require(Role.VIEWER)
def charts() -> str:
    """Return the page with each chart over 90 days."""
    app = request_app()
    today = app.clock().astimezone(SGT).date()
    with reading_all_domains():
        drawn = draw_fleet(app.store, app.config.ca_limits.orders, today, request_texts().language)
    return render_template("charts.html", charts=drawn)
