"""What all charts share: their sizes, series, stripes, axes and the frame of the SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from markupsafe import Markup

from sslctl.web.charts.markup import decimal, element
from sslctl.web.charts.texts import ChartTexts

_LETTER, _WIDE_LETTER = 7.3, 12.0
TEXT_HEIGHT = 12.0


class Size(NamedTuple):
    """The width of a chart in pixels, and how many dates fit below it. `name` is part of a class."""

    name: str
    width: float
    dates: int


WIDE = Size("wide", 720.0, 10)
NARROW = Size("narrow", 340.0, 5)


@dataclass(frozen=True, slots=True)
class Series:
    """One number a day, None for an unknown number.

    `style` is the class of its colour. Stripes distinguish a series from one whose colour is similar or the same.
    """

    label: str
    style: str
    values: Sequence[int | None]
    is_striped: bool = False

    @property
    def total(self) -> int:
        """The sum of the known numbers."""
        return sum(value or 0 for value in self.values)

    @property
    def last(self) -> int:
        """The last known number, 0 if there is none."""
        return next((value for value in reversed(self.values) if value is not None), 0)


@dataclass(frozen=True, slots=True)
class Words:
    """What names a chart: its title, a sentence that describes it, and an id that is unique on the page."""

    key: str
    title: str
    description: str


class Box(NamedTuple):
    """The area of a plot, in pixels from the top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Its width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Its height."""
        return self.bottom - self.top


def text_width(text: str) -> float:
    """Return about how many pixels wide `text` is in the size of the charts' texts."""
    return sum(_LETTER if each < "\u2e80" else _WIDE_LETTER for each in text)


def fill_of(series: Series, key: str) -> Mapping[str, str]:
    """Return the attributes that fill an area as `series`; `key` is unique for the SVG."""
    return {"fill": f"url(#{_stripes_id(series, key)})"} if series.is_striped else {"class_": series.style}


def stripes_of(series: Series, key: str) -> Markup:
    """Return the definition of the pattern that `fill_of` refers to; empty for a series without stripes."""
    if not series.is_striped:
        return Markup()
    colour = element("rect", width=5, height=5, class_=series.style)
    # The short pieces in two corners belong to the stripes of the neighbours.
    stripes = element("path", d="M0 5L5 0M-1 1L1 -1M4 6L6 4", class_="chart-stripes")
    return element(
        "pattern",
        colour,
        stripes,
        id=_stripes_id(series, key),
        width=5,
        height=5,
        patternUnits="userSpaceOnUse",
    )


def _stripes_id(series: Series, key: str) -> str:
    return f"{key}-{series.style}-stripes"


def frame(
    words: Words, size: Size, height: float, content: Iterable[str], series: Iterable[Series]
) -> Markup:
    """Return the SVG with its title, its description and `content`."""
    key = f"{words.key}-{size.name}"
    patterns = Markup("").join(stripes_of(each, key) for each in series)
    return element(
        "svg",
        element("title", words.title, id=f"{key}-title"),
        element("desc", words.description, id=f"{key}-desc"),
        *([element("defs", patterns)] if patterns else []),
        *content,
        class_=f"chart-{size.name}",
        viewBox=f"0 0 {decimal(size.width)} {decimal(height)}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def path(commands: Iterable[str], **attributes: object) -> Markup:
    """Return a path of `commands`."""
    return element("path", d="".join(commands), **attributes)


def text(content: str, x: float, y: float, *, anchor: str = "start", style: str = "chart-text") -> Markup:
    """Return a text whose baseline is at `y`. `anchor` is what of it is at `x`: start, middle or end."""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=style)


def date_axis(box: Box, days: Sequence[date], ticks: Sequence[date], texts: ChartTexts) -> list[Markup]:
    """Return the ticks and dates below the plot `box`, whose width is that of `days`."""
    slot = box.width / len(days)
    is_by_month = len(ticks) > 1 and all(day.day == 1 for day in ticks)
    drawn = []
    for day in ticks:
        x = box.left + slot * ((day - days[0]).days + 0.5)
        label = (texts.month if is_by_month else texts.day)(day)
        half = text_width(label) / 2
        drawn.append(path([f"M{decimal(x)} {decimal(box.bottom)}v4"], class_="chart-axis"))
        middle = min(max(x, half), box.right - half)
        drawn.append(text(label, middle, box.bottom + 6 + TEXT_HEIGHT, anchor="middle"))
    return drawn


def tooltips(box: Box, days: Sequence[date], labels: Iterable[str]) -> Iterable[Markup]:
    """Yield an invisible area over each of `days` that shows its label to a mouse."""
    slot = box.width / len(days)
    for place, label in enumerate(labels):
        yield element(
            "rect",
            element("title", label),
            x=box.left + slot * place,
            y=box.top,
            width=slot,
            height=box.height,
            class_="chart-day",
        )
