"""Filters of templates for times and names. The macros `moment` and `day` make elements of them."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask

from sslctl.rules.readable_names import readable_name
from sslctl.rules.singapore import SGT, format_sgt
from sslctl.text import instant


def install(site: Flask) -> None:
    """Add filters to the templates of `site`.

    `plain` is a time in Singapore to the minute, `plain_day` its day, `both` the time in Singapore and in UTC, `instant` RFC 3339.
    `readable` is a name in Unicode if it cannot be mistaken.
    """
    site.add_template_filter(format_sgt, "plain")
    site.add_template_filter(_day, "plain_day")
    site.add_template_filter(_both, "both")
    site.add_template_filter(instant)
    site.add_template_filter(readable_name, "readable")


def _day(at: datetime) -> str:
    return at.astimezone(SGT).strftime("%Y-%m-%d")


def _both(at: datetime) -> str:
    return f"{format_sgt(at)}, {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
