"""The three charts of the page, as `<figure>` elements: each in two widths, with a legend and the numbers as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from markupsafe import Markup

from sslctl.rules.model import Source
from sslctl.rules.reasons import Status
from sslctl.store.interface.figures import ExpiryCount, OrderCount, Outcome
from sslctl.web.charts import drawing
from sslctl.web.charts.bars import Bars, draw_bars
from sslctl.web.charts.drawing import NARROW, WIDE, Series, Size, Words
from sslctl.web.charts.markup import element
from sslctl.web.charts.rows import Rows, draw_rows
from sslctl.web.charts.texts import ChartTexts

_SHOWN = (
    Status.SUCCESS,
    Status.PENDING,
    Status.FAILURE,
    Status.EXPIRED,
    Status.EMERGENCY,
    Status.DISCARD,
)


def expiries(
    counts: Iterable[ExpiryCount], first: date, last: date, texts: ChartTexts, key: str = "expiries"
) -> Markup:
    """Return the chart of the certificates that expire on each day from `first` to `last`.

    `key` begins its ids, which must be unique on the page; this holds for all charts.
    """
    days = _days(first, last)
    numbers: Counter[tuple[Source, date]] = Counter()
    for each in counts:
        numbers[each.source, each.day] += each.number
    kinds = (
        (Source.C4, texts.source_c4, "chart-c4"),
        (Source.TEXT, texts.source_text, "chart-text-source"),
    )
    series = [
        Series(label, style, [numbers[source, day] for day in days], is_striped=source is Source.TEXT)
        for source, label, style in kinds
    ]
    return _bars_figure(Bars(days, series), key, texts.expiries, texts.no_expiries, texts)


def orders(
    counts: Iterable[OrderCount],
    first: date,
    last: date,
    limit: int | None,
    texts: ChartTexts,
    key: str = "orders",
) -> Markup:
    """Return the chart of the orders of each day from `first` to `last`.

    `limit` is how many orders for new names the CA accepts a day, None for any number. These are at the bottom of each bar, to
    be compared with it.
    """
    days = _days(first, last)
    numbers: Counter[tuple[bool, bool, date]] = Counter()
    for each in counts:
        numbers[each.is_renewal, each.outcome is Outcome.FAILED, each.day] += each.number
    kinds = (
        (False, False, texts.new, "chart-new"),
        (False, True, texts.new_failed, "chart-new"),
        (True, False, texts.renewals, "chart-renewals"),
        (True, True, texts.renewals_failed, "chart-renewals"),
    )
    series = [
        Series(
            label,
            style,
            [numbers[is_renewal, is_failed, day] for day in days],
            is_striped=is_failed,
        )
        for is_renewal, is_failed, label, style in kinds
    ]
    return _bars_figure(Bars(days, series, limit), key, texts.orders, texts.no_orders, texts)


def statuses(
    counts: Mapping[date, Mapping[Status, int]],
    first: date,
    last: date,
    texts: ChartTexts,
    key: str = "statuses",
) -> Markup:
    """Return the chart of the domains by status on each day from `first` to `last`; days that are not in `counts` are gaps."""
    days = _days(first, last)
    span = {"first": texts.full_day(first), "last": texts.full_day(last)}
    known = [day for day in days if day in counts]
    if not known:
        return _empty(key, texts.statuses, texts.no_statuses.format(**span))
    series = [
        Series(
            texts.status[status],
            f"chart-{status.lower()}",
            [counts[day].get(status) if day in counts else None for day in days],
        )
        for status in _SHOWN
        if any(status in counts[day] for day in known)
    ]
    rows = Rows(days, series)
    newest = ", ".join(f"{each.label} {each.last:,}" for each in series)
    summary = texts.status_summary.format(**span)
    words = Words(key, texts.statuses, f"{summary} {texts.full_day(known[-1])}: {newest}.")
    table = _table([day for day in reversed(days) if day in counts], days, series, words, texts)
    return _figure(words, summary, lambda size: draw_rows(rows, words, size, texts), [], table)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _bars_figure(bars: Bars, key: str, title: str, nothing: str, texts: ChartTexts) -> Markup:
    span = {"first": texts.full_day(bars.days[0]), "last": texts.full_day(bars.days[-1])}
    totals = bars.totals
    most = max(totals)
    if not most:
        return _empty(key, title, nothing.format(**span))
    summary = texts.summary.format(
        total=sum(totals), most=most, day=texts.day(bars.days[totals.index(most)]), **span
    )
    shown = Bars(bars.days, [each for each in bars.series if each.total], bars.limit)
    legend = [*_legend(shown.series, key), *_limit_legend(shown, texts)]
    limit = "" if bars.limit is None else f" {texts.limit.format(limit=bars.limit)}."
    words = Words(key, title, f"{summary}.{limit}")
    days = [day for day, total in zip(bars.days, totals, strict=True) if total]
    note = texts.only_days_with if len(days) < len(totals) else ""
    table = _table(days, bars.days, shown.series, words, texts, note)
    return _figure(words, summary, lambda size: draw_bars(shown, words, size, texts), legend, table)


def _empty(key: str, title: str, nothing: str) -> Markup:
    return element(
        "figure", _caption(title), element("p", nothing, class_="chart-empty"), class_="chart", id=key
    )


def _figure(
    words: Words, summary: str, draw: Callable[[Size], Markup], legend: Sequence[Markup], table: Markup
) -> Markup:
    return element(
        "figure",
        _caption(words.title, summary),
        *([element("ul", *legend, class_="chart-legend")] if legend else []),
        draw(WIDE),
        draw(NARROW),
        table,
        class_="chart",
        id=words.key,
    )


def _caption(title: str, summary: str = "") -> Markup:
    parts = [element("strong", title)]
    if summary:
        parts += [element("span", summary, class_="chart-summary")]
    return element("figcaption", *parts)


def _legend(series: Iterable[Series], key: str) -> Iterator[Markup]:
    """Yield an item for each of `series`, with its total."""
    for each in series:
        unique = f"{key}-legend"
        area = element("rect", width=12, height=12, rx=2, **drawing.fill_of(each, unique))
        swatch = _swatch(drawing.stripes_of(each, unique), area)
        yield element("li", swatch, f"{each.label} ", element("b", f"{each.total:,}"))


def _limit_legend(bars: Bars, texts: ChartTexts) -> Iterator[Markup]:
    """Yield an item for the limit if there is one."""
    if bars.limit is None:
        return
    if bars.shown_limit is None:
        yield element("li", texts.limit_above.format(limit=bars.limit))
    else:
        line = element("path", d="M0 6H12", class_="chart-limit")
        yield element("li", _swatch(line), texts.limit.format(limit=bars.limit))


def _swatch(*content: Markup) -> Markup:
    return element("svg", *content, class_="chart-swatch", viewBox="0 0 12 12", aria_hidden="true")


def _table(
    listed: Iterable[date],
    days: Sequence[date],
    series: Sequence[Series],
    words: Words,
    texts: ChartTexts,
    note: str = "",
) -> Markup:
    head = element(
        "tr",
        element("th", texts.day_column, scope="col"),
        *(element("th", each.label, scope="col") for each in series),
    )
    rows = []
    for day in listed:
        place = (day - days[0]).days
        values = ["-" if (value := each.values[place]) is None else f"{value:,}" for each in series]
        cells = (element("td", value) for value in values)
        rows.append(element("tr", element("th", texts.full_day(day), scope="row"), *cells))
    table = element("table", element("caption", words.title), element("thead", head), element("tbody", *rows))
    return element(
        "details",
        element("summary", texts.show_table),
        *([element("p", note)] if note else []),
        # A table that is wider than a phone is scrolled by itself, with the keyboard too.
        element("div", table, class_="chart-table", tabindex=0, role="region", aria_label=words.title),
        class_="chart-data",
    )
