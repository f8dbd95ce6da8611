"""The bar chart of `sslctl forecast`: one bar for each day; for long forecasts, for the busiest day of each week or month."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from sslctl.cli.output.table import table
from sslctl.rules.forecast import Forecast
from sslctl.rules.renewal_days import Day

_MOST_DAYS = 31
_MOST_WEEKS = 53
_NARROW = 60
_SHORTEST_BAR = 8
_USUAL_WIDTH = 80


@dataclass(frozen=True, slots=True)
class _Ink:
    """The characters that bars are drawn with."""

    renewals: str
    new: str
    budget: str


_BLOCKS, _ASCII = _Ink("█", "▒", "│"), _Ink("#", "+", "|")


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar, for the busiest day of the day, week or month `label`."""

    label: str
    total: int
    busiest: Day
    is_over: bool


def draw(forecast: Forecast, width: int | None) -> list[str]:
    """Return the chart and its key, in lines of at most `width` columns (at least 40), or 80 if `width` is None.

    Bars consist of block characters if the encoding of standard output has them, otherwise of ASCII.
    """
    ink = _BLOCKS if _can_write(_BLOCKS) else _ASCII
    head, rows = _rows(forecast)
    columns = [[row.label, f"{row.total:,}", f"{row.busiest.orders:,}"] for row in rows]
    heads = [head, "ORDERS", "BUSIEST DAY"]
    width = width or _USUAL_WIDTH
    if head == "DAY":
        kept = [0, 1]
    else:
        kept = [0, 2] if width < _NARROW else [0, 1, 2]
        heads[2] = "MOST" if width < _NARROW else heads[2]
    shown_heads, *shown = ([line[place] for place in kept] for line in [heads, *columns])
    lines = table(shown, shown_heads, right=shown_heads[1:], wrap=False).split("\n")
    # Two blanks stand before the bar; the budget and the mark stand after it.
    room = max(_SHORTEST_BAR, width - len(lines[0]) - 5)
    budget = forecast.scenario.budget
    scale = max(row.busiest.orders for row in rows) or 1
    if budget is not None and budget <= 2 * scale:
        scale = max(scale, budget)
    bars = [_bar(row.busiest, budget, scale, room, ink) + (" !" if row.is_over else "") for row in rows]
    body = [f"{line}  {bar}".rstrip() for line, bar in zip(lines[1:], bars, strict=True)]
    return [lines[0], *body, *_key(forecast, ink, rows, width)]


def _rows(forecast: Forecast) -> tuple[str, list[_Row]]:
    """Return the name of the first column, and the rows."""
    days, first = forecast.days, forecast.scenario.today
    if len(days) <= _MOST_DAYS:
        head, start = "DAY", {day.day: str(date.fromordinal(day.day)) for day in days}
    elif len(days) <= _MOST_WEEKS * 7:
        head = "WEEK FROM"
        start = {day.day: str(date.fromordinal(day.day - (day.day - first) % 7)) for day in days}
    else:
        head, start = "MONTH", {day.day: f"{date.fromordinal(day.day):%Y-%m}" for day in days}
    groups = [(label, list(members)) for label, members in groupby(days, lambda day: start[day.day])]
    return head, [
        _Row(
            label,
            sum(day.orders for day in members),
            max(members, key=lambda day: day.orders),
            any(forecast.scenario.beyond_budget(day) for day in members),
        )
        for label, members in groups
    ]


def _bar(day: Day, budget: int | None, scale: int, room: int, ink: _Ink) -> str:
    renewals = _cells(day.renewals, scale, room)
    cells = list(ink.renewals * renewals + ink.new * (_cells(day.orders, scale, room) - renewals))
    if budget is not None and budget <= scale:
        place = _cells(budget, scale, room)
        cells += " " * (place + 1 - len(cells))
        cells[place] = ink.budget
    return "".join(cells)


def _cells(count: int, scale: int, room: int) -> int:
    """Return the length of the bar for `count`, rounded up so that even one order is visible."""
    return -(-count * room // scale)


def _key(forecast: Forecast, ink: _Ink, rows: Iterable[_Row], width: int) -> list[str]:
    parts = [f"{ink.renewals} renewals"]
    if any(day.new for day in forecast.days):
        parts.append(f"{ink.new} new domains")
    if forecast.scenario.budget is not None:
        parts.append(f"{ink.budget} renewal.max_per_day")
    if any(row.is_over for row in rows):
        parts.append("! over it")
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) + 3 > width:
            lines.append("")
        lines[-1] += f"   {part}" if lines[-1] else part
    return lines


def _can_write(ink: _Ink) -> bool:
    try:
        f"{ink.renewals}{ink.new}{ink.budget}".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
