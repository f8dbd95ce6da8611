"""A chart of stacked bars, one for each day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from sslctl.web.charts import drawing
from sslctl.web.charts.drawing import WIDE, Box, Series, Size, Words
from sslctl.web.charts.markup import decimal
from sslctl.web.charts.texts import ChartTexts
from sslctl.web.charts.ticks import day_ticks, number_ticks

_HEIGHT, _TOP, _BELOW = 210.0, 10.0, 26.0
_LEAST = 1.0
_GAP = 0.22
# A limit so many times higher than the highest bar is not drawn.
_HIGH_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Bars:
    """Numbers for consecutive `days`; `series` are stacked, the first one at the bottom. `limit` is a number a day, or None."""

    days: Sequence[date]
    series: Sequence[Series]
    limit: int | None = None

    @property
    def totals(self) -> list[int]:
        """The height of each bar."""
        return [sum(each.values[place] or 0 for each in self.series) for place in range(len(self.days))]

    @property
    def shown_limit(self) -> int | None:
        """The limit as it is drawn: None if there is none, or if the bars would be too low beside it."""
        limit = self.limit
        return None if limit is None or limit > _HIGH_LIMIT * max(self.totals) else limit


def draw_bars(bars: Bars, words: Words, size: Size, texts: ChartTexts) -> Markup:
    """Return the chart as SVG. A number that is not 0 is at least one pixel high."""
    ticks = number_ticks(max(*bars.totals, bars.shown_limit or 0))
    left = max(drawing.text_width(f"{tick:,}") for tick in ticks) + 8
    box = Box(left, _TOP, size.width, _HEIGHT - _BELOW)
    key = f"{words.key}-{size.name}"
    content = [
        *_number_axis(box, ticks),
        *_areas(bars, box, ticks[-1], key),
        drawing.path(
            [f"M{decimal(box.left)} {decimal(box.bottom)}H{decimal(box.right)}"], class_="chart-axis"
        ),
        *drawing.date_axis(box, bars.days, day_ticks(bars.days, size.dates), texts),
        *_limit(bars, box, ticks[-1]),
    ]
    if size is WIDE:
        content += drawing.tooltips(box, bars.days, _labels(bars, texts))
    return drawing.frame(words, size, _HEIGHT, content, bars.series)


def _number_axis(box: Box, ticks: Sequence[int]) -> Iterator[Markup]:
    for tick in ticks:
        y = box.bottom - box.height * tick / ticks[-1]
        if tick:
            yield drawing.path(
                [f"M{decimal(box.left)} {decimal(y)}H{decimal(box.right)}"], class_="chart-grid"
            )
        yield drawing.text(f"{tick:,}", box.left - 6, y + 4, anchor="end")


def _areas(bars: Bars, box: Box, top: int, key: str) -> Iterator[Markup]:
    """Yield the bars of each series as one path."""
    slot = box.width / len(bars.days)
    width = slot * (1 - _GAP)
    commands: list[list[str]] = [[] for _ in bars.series]
    for place in range(len(bars.days)):
        x, y = box.left + slot * (place + _GAP / 2), box.bottom
        heights = _heights([each.values[place] or 0 for each in bars.series], box.height / top)
        for drawn, height in zip(commands, heights, strict=True):
            if height:
                y -= height
                drawn.append(f"M{x:.2f} {y:.2f}h{width:.2f}v{height:.2f}h-{width:.2f}z")
    for series, drawn in zip(bars.series, commands, strict=True):
        if drawn:
            yield drawing.path(drawn, **drawing.fill_of(series, key))


def _heights(values: Sequence[int], scale: float) -> list[float]:
    """Return the heights of `values` in one bar. What makes a low one visible is taken from the highest one."""
    exact = [value * scale for value in values]
    heights = [max(height, _LEAST) if height else 0.0 for height in exact]
    excess, highest = sum(heights) - sum(exact), heights.index(max(heights))
    if heights[highest] - excess >= _LEAST:
        heights[highest] -= excess
    return heights


def _limit(bars: Bars, box: Box, top: int) -> Iterator[Markup]:
    if bars.shown_limit is not None:
        y = box.bottom - box.height * bars.shown_limit / top
        yield drawing.path([f"M{decimal(box.left)} {decimal(y)}H{decimal(box.right)}"], class_="chart-limit")


def _labels(bars: Bars, texts: ChartTexts) -> Iterator[str]:
    for place, day in enumerate(bars.days):
        numbers = (f"{each.label} {each.values[place]:,}" for each in bars.series if each.values[place])
        yield f"{texts.full_day(day)}: {', '.join(numbers) or 0}"
