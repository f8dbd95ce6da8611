"""The texts of the charts, in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from sslctl.rules.reasons import Status

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class ChartTexts:
    """What the charts show beside numbers. Texts with `{}` are formatted with the fields that they name.

    `day` and `month` label an axis; `month` is for the first day of a month. `full_day` is for tables.
    """

    day: Callable[[date], str]
    month: Callable[[date], str]
    full_day: Callable[[date], str]
    show_table: str
    day_column: str
    only_days_with: str
    summary: str
    expiries: str
    no_expiries: str
    source_c4: str
    source_text: str
    orders: str
    no_orders: str
    new: str
    new_failed: str
    renewals: str
    renewals_failed: str
    limit: str
    limit_above: str
    statuses: str
    no_statuses: str
    status_summary: str
    at_most: str
    status: Mapping[Status, str]


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _full_day(day: date) -> str:
    return f"{_day(day)} {day.year}"


def _month(day: date) -> str:
    return str(day.year) if day.month == 1 else _MONTHS[day.month - 1]


ENGLISH = ChartTexts(
    day=_day,
    month=_month,
    full_day=_full_day,
    show_table="Numbers as a table",
    day_column="Day",
    only_days_with="Days that are not listed have none.",
    summary="{first} to {last}: {total:,} in total, at most {most:,} a day ({day})",
    expiries="Certificates that expire",
    no_expiries="No certificate expires from {first} to {last}.",
    source_c4="C4",
    source_text="Text",
    orders="Orders at the CA",
    no_orders="There were no orders from {first} to {last}.",
    new="New names",
    new_failed="New names, failed",
    renewals="Renewals",
    renewals_failed="Renewals, failed",
    limit="Limit of the CA for new names {limit:,} a day",
    limit_above="Limit of the CA for new names {limit:,} a day, above the chart",
    statuses="Domains by status",
    no_statuses="There are no numbers from {first} to {last}. The first tick of each day records them.",
    status_summary="{first} to {last}. Each row has a scale of its own, from 0 to its highest number. A gap is a day without a tick.",
    at_most="max {most:,}",
    status={status: str(status) for status in Status},
)
