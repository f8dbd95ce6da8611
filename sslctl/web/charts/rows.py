"""A chart of several rows below each other, one for each series, each with a scale of its own.

Numbers of very different size can be read in it: 99,000 domains in Success beside 12 in Failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from markupsafe import Markup

from sslctl.web.charts import drawing
from sslctl.web.charts.drawing import NARROW, TEXT_HEIGHT, WIDE, Box, Series, Size, Words
from sslctl.web.charts.markup import decimal, element
from sslctl.web.charts.texts import ChartTexts
from sslctl.web.charts.ticks import day_ticks

_PLOT, _SPACE, _BELOW = 30.0, 12.0, 26.0
# Of more days, the areas that a mouse finds would be smaller than its pointer.
_MOST_TOOLTIPS = 200
_LINE = 1.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Numbers for consecutive `days`, None for a day without a number; one row for each of `series`."""

    days: Sequence[date]
    series: Sequence[Series]


def draw_rows(rows: Rows, words: Words, size: Size, texts: ChartTexts) -> Markup:
    """Return the chart as SVG. The label of each row has its last number."""
    labels = [(each.label, f"{each.last:,}") for each in rows.series]
    most = [texts.at_most.format(most=_highest(each)) for each in rows.series]
    is_beside = size is not NARROW
    names = max(drawing.text_width(label) + 14 for label, _ in labels)
    left = names + max(drawing.text_width(number) for _, number in labels) + 16 if is_beside else 0.0
    right = size.width - (max(map(drawing.text_width, most)) + 10 if is_beside else 0.0)
    above = 0.0 if is_beside else TEXT_HEIGHT + 8
    pitch = above + _PLOT + _SPACE
    content: list[Markup] = []
    for place, (series, (label, number), highest) in enumerate(zip(rows.series, labels, most, strict=True)):
        top = 4 + place * pitch + above
        box = Box(left, top, right, top + _PLOT)
        y = top - 8 if not is_beside else box.bottom - 9
        content += [
            element("rect", x=0, y=y - 9, width=9, height=9, rx=2, class_=series.style),
            drawing.text(label, 14, y),
            drawing.text(
                number,
                left - 10 if is_beside else names + 8,
                y,
                anchor="end" if is_beside else "start",
                style="chart-strong",
            ),
            drawing.text(highest, size.width, y, anchor="end", style="chart-small"),
            *_row(series, rows.days, box),
        ]
    bottom = 4 + len(labels) * pitch - _SPACE
    whole = Box(left, 4 + above, right, bottom)
    content += drawing.date_axis(
        whole, rows.days, day_ticks(rows.days, size.dates - (1 if is_beside else 0)), texts
    )
    if size is WIDE and len(rows.days) <= _MOST_TOOLTIPS:
        content += drawing.tooltips(whole, rows.days, _tooltip_labels(rows, texts))
    return drawing.frame(words, size, bottom + _BELOW, content, rows.series)


def _highest(series: Series) -> int:
    return max(value or 0 for value in series.values)


def _row(series: Series, days: Sequence[date], box: Box) -> Iterator[Markup]:
    """Yield the base line of a row, and the area and the line of each run of days that have numbers."""
    slot, highest = box.width / len(days), max(1, _highest(series))
    yield drawing.path(
        [f"M{decimal(box.left)} {decimal(box.bottom)}H{decimal(box.right)}"], class_="chart-axis"
    )
    line: list[str] = []
    area: list[str] = []
    for is_known, run in groupby(enumerate(series.values), lambda each: each[1] is not None):
        if not is_known:
            continue
        steps = list(run)
        begin = box.left + slot * steps[0][0]
        outline = [
            f"V{box.bottom - (box.height - _LINE) * (value or 0) / highest:.2f}h{slot:.2f}"
            for _, value in steps
        ]
        line.append(f"M{begin:.2f} {outline[0][1:].partition('h')[0]}{''.join(outline)}")
        area.append(f"M{begin:.2f} {box.bottom:.2f}{''.join(outline)}V{box.bottom:.2f}z")
    yield drawing.path(area, class_=f"{series.style} chart-area")
    yield drawing.path(line, class_=f"{series.style}-line chart-line")


def _tooltip_labels(rows: Rows, texts: ChartTexts) -> Iterator[str]:
    for place, day in enumerate(rows.days):
        numbers = [
            f"{each.label} {value:,}" for each in rows.series if (value := each.values[place]) is not None
        ]
        yield f"{texts.full_day(day)}: {', '.join(numbers) or '-'}"
