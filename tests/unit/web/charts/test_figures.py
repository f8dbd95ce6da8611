"""The charts of the page: valid, escaped, without style, with true heights, and readable without colour and without SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, timedelta
from string import Formatter
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from sslctl.rules.model import Source
from sslctl.rules.reasons import Status
from sslctl.store.interface.figures import ExpiryCount, OrderCount, Outcome
from sslctl.web.charts import figures
from sslctl.web.charts.texts import ENGLISH, ChartTexts
from sslctl.web.charts.texts_zh import CHINESE

DAY = timedelta(days=1)
FIRST = date(2026, 11, 28)
NUMBERS = st.lists(st.integers(0, 10**9) | st.integers(0, 3), min_size=1, max_size=40)


def last_of(numbers: Sequence[object]) -> date:
    return FIRST + (len(numbers) - 1) * DAY


def expiries(c4: Sequence[int], text: Sequence[int] = (), texts: ChartTexts = ENGLISH) -> Markup:
    """Return the chart of so many certificates from the first day on."""
    counts = [
        ExpiryCount(FIRST + place * DAY, source, number)
        for source, numbers in ((Source.C4, c4), (Source.TEXT, text))
        for place, number in enumerate(numbers)
        if number
    ]
    return figures.expiries(counts, FIRST, last_of(c4), texts)


def orders(new: Sequence[int], renewals: Sequence[int], limit: int | None = None) -> Markup:
    """Return the chart of so many orders; every second new one failed."""
    counts = []
    for place, (some, more) in enumerate(zip(new, renewals, strict=True)):
        day = FIRST + place * DAY
        counts.append(OrderCount(day, is_renewal=False, outcome=Outcome.FAILED, number=some // 2))
        counts.append(OrderCount(day, is_renewal=False, outcome=Outcome.ISSUED, number=some - some // 2))
        counts.append(OrderCount(day, is_renewal=True, outcome=Outcome.OPEN, number=more))
    return figures.orders(counts, FIRST, last_of(new), limit, ENGLISH)


def statuses(failures: Sequence[int | None], texts: ChartTexts = ENGLISH) -> Markup:
    """Return the chart of so many domains in Failure; None is a day without a record."""
    counts = {
        FIRST + place * DAY: dict.fromkeys(Status, 0) | {Status.SUCCESS: 99_000, Status.FAILURE: number}
        for place, number in enumerate(failures)
        if number is not None
    }
    return figures.statuses(counts, FIRST, last_of(failures), texts)


def parse(figure: Markup) -> Element:
    """Return the root of a chart. Raise `ParseError` if it is not well-formed XML."""
    return fromstring(figure)  # noqa: S314 - our own markup


def svgs(figure: Markup) -> tuple[Element, Element]:
    """Return the wide and the narrow drawing."""
    found = parse(figure)
    wide, narrow = (found.find(f"svg[@class='chart-{size}']") for size in ("wide", "narrow"))
    assert wide is not None
    assert narrow is not None
    return wide, narrow


def bars(svg: Element) -> list[list[tuple[float, float, float, float]]]:
    """Return for each series the bars: left, top, width and height."""
    drawn = [each.get("d", "") for each in svg.findall("path")]
    numbers = [
        [tuple(map(float, re.findall(r"[\d.]+", bar)[:4])) for bar in path.split("z") if bar]
        for path in drawn
        if "z" in path
    ]
    return [[(bar[0], bar[1], bar[2], bar[3]) for bar in series] for series in numbers]


def table(figure: Markup) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in parse(figure).iter("tr")]


def test_bar_heights_are_proportional_to_the_numbers_and_stacked() -> None:
    for svg in svgs(expiries([100, 50, 0, 200], [50, 0, 25, 0])):
        c4, text = bars(svg)
        unit = c4[0][3] / 100
        assert [round(height / unit) for *_, height in c4] == [100, 50, 200]
        assert [round(height / unit) for *_, height in text] == [50, 25]
        base = c4[0][1] + c4[0][3]
        assert [round(top + height - base, 1) for _, top, _, height in c4] == [0, 0, 0]
        assert text[0][1] + text[0][3] == pytest.approx(c4[0][1], abs=0.02)
        assert text[1][1] + text[1][3] == pytest.approx(base, abs=0.02)


def test_one_of_a_million_is_visible_and_the_bar_is_no_higher() -> None:
    wide, _ = svgs(expiries([1_000_000, 1_000_001], [1, 0]))
    c4, text = bars(wide)
    assert text[0][3] == 1
    assert text[0][1] == pytest.approx(c4[1][1], abs=0.02)


@given(NUMBERS, st.integers(0, 5000) | st.none())
@settings(max_examples=25)
def test_bars_stay_inside_the_drawing(numbers: list[int], limit: int | None) -> None:
    figure = orders(numbers, numbers[::-1], limit)
    if not any(numbers):
        assert "<svg" not in figure
        return
    for svg in svgs(figure):
        _, _, width, height = map(float, svg.get("viewBox", "").split())
        for left, top, wide, high in [bar for series in bars(svg) for bar in series]:
            assert 0 <= left <= left + wide <= width + 0.02
            assert top >= 0
            assert top + high <= height
        for text in svg.iter("text"):
            assert 0 <= float(text.get("x", "")) <= width
            assert 0 <= float(text.get("y", "")) <= height


@given(st.lists(st.integers(0, 10**9) | st.none(), min_size=1, max_size=40))
@settings(max_examples=25)
def test_rows_stay_inside_the_drawing(numbers: list[int | None]) -> None:
    if any(number is not None for number in numbers):
        for svg in svgs(statuses(numbers)):
            _, _, width, height = map(float, svg.get("viewBox", "").split())
            for path in svg.findall("path"):
                heights = re.findall(r"V([\d.]+)", path.get("d", ""))
                assert all(0 <= float(each) <= height for each in heights)
                assert "-" not in path.get("d", "")
            assert all(0 <= float(each.get("x", "")) <= width for each in svg.iter("text"))


def row(figure: Markup, status: str) -> str:
    path = svgs(figure)[0].find(f"path[@class='chart-{status}-line chart-line']")
    assert path is not None
    return path.get("d", "")


def test_days_without_a_record_are_gaps_and_a_known_zero_is_none() -> None:
    assert row(statuses([1, 0, 2]), "failure").count("M") == 1
    assert row(statuses([1, None, 2, None, None, 3]), "failure").count("M") == 3
    assert row(statuses([None, None, 4]), "failure").count("M") == 1
    assert table(statuses([7, None, 0]))[1:] == [
        ["30 Nov 2026", "99,000", "0", "0", "0", "0", "0"],
        ["28 Nov 2026", "99,000", "0", "7", "0", "0", "0"],
    ]


def test_each_status_has_a_row_with_its_label_last_number_and_scale() -> None:
    shown = ["".join(text.itertext()) for text in svgs(statuses([7, 1234, 12]))[0].iter("text")]
    assert shown[:3] == ["Success", "99,000", "max 99,000"]
    assert shown[6:9] == ["Failure", "12", "max 1,234"]
    assert "max 0" in shown


def test_limit_is_a_line_if_the_bars_are_not_too_low_beside_it() -> None:
    near, far, none = orders([900], [0], 2400), orders([700], [0], 2400), orders([900], [0])
    drawn = [len(svgs(each)[0].findall("path[@class='chart-limit']")) for each in (near, far, none)]
    assert drawn == [1, 0, 0]
    assert "Limit of the CA for new names 2,400 a day<" in near
    assert "2,400 a day, above the chart<" in far
    assert "Limit" not in none
    wide, _ = svgs(near)
    line = wide.find("path[@class='chart-limit']")
    assert line is not None
    y = float(line.get("d", "").partition(" ")[2].partition("H")[0])
    new, failed = bars(wide)
    base = new[0][1] + new[0][3]
    assert (base - y) / (new[0][3] + failed[0][3]) == pytest.approx(2400 / 900, abs=0.01)


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_chart_without_numbers_is_a_sentence(texts: ChartTexts) -> None:
    nothing = [
        figures.expiries([], FIRST, FIRST + DAY, texts),
        figures.orders([], FIRST, FIRST + DAY, 2400, texts),
        figures.statuses({}, FIRST, FIRST + DAY, texts),
    ]
    for each in nothing:
        found = parse(each)
        assert found.findtext("p")
        assert not list(found.iter("svg"))
        assert not list(found.iter("table"))


def test_table_has_the_days_with_numbers() -> None:
    assert table(expiries([0, 1200, 0], [0, 3, 4])) == [
        ["Day", "C4", "Text"],
        ["29 Nov 2026", "1,200", "3"],
        ["30 Nov 2026", "0", "4"],
    ]


PAGE = [expiries([100, 2], [3, 0]), orders([9, 8], [7, 6], 20), statuses([5, None, 6])]


def every_element() -> Iterator[Element]:
    for each in PAGE:
        yield from parse(each).iter()


def test_ids_are_unique_on_a_page_and_all_references_resolve() -> None:
    ids = [name for each in every_element() if (name := each.get("id"))]
    assert len(ids) == len(set(ids))
    named = {
        name
        for each in every_element()
        for name in [
            *each.get("aria-labelledby", "").split(),
            *re.findall(r"url\(#(.*)\)", each.get("fill", "")),
        ]
    }
    assert len(named) > 12
    assert named <= set(ids)


def test_each_drawing_is_an_image_with_title_and_description() -> None:
    for each in PAGE:
        for svg in svgs(each):
            assert svg.get("role") == "img"
            assert [part.tag for part in list(svg)[:2]] == ["title", "desc"]
            assert all(part.text for part in list(svg)[:2])
            assert svg.get("aria-labelledby") == f"{svg[0].get('id')} {svg[1].get('id')}"
        assert len(list(parse(each).iter("table"))) == 1


def test_markup_has_no_style_script_or_link() -> None:
    for each in every_element():
        assert each.tag not in {"style", "script", "a", "image", "use", "foreignObject"}
        assert not {name for name in each.attrib if name.startswith("on") or name in {"style", "href", "src"}}


def test_series_differ_by_more_than_their_colour() -> None:
    def looks(figure: Markup) -> list[Mapping[str, str]]:
        return [path.attrib for path in svgs(figure)[0].findall("path") if "z" in path.get("d", "")]

    solid, pattern = looks(expiries([1, 1], [1, 1]))
    assert "fill" not in solid
    assert pattern["fill"].startswith("url(#expiries-wide-")
    assert [each.get("fill", "").startswith("url") for each in looks(orders([9], [9]))] == [
        False,
        True,
        False,
    ]


def test_hostile_labels_are_shown_as_text() -> None:
    hostile = "\"></svg><script>alert('1')</script>&amp;"
    texts = replace(
        ENGLISH,
        expiries=hostile,
        source_c4=hostile,
        statuses=hostile,
        show_table=hostile,
        status=dict.fromkeys(Status, hostile),
    )
    for figure in (expiries([1], texts=texts), statuses([1], texts)):
        found = parse(figure)
        assert not list(found.iter("script"))
        assert found.findtext("figcaption/strong") == hostile
        assert found.findtext("svg/title") == hostile
        assert found.findtext("details/summary") == hostile


def test_texts_in_chinese_have_the_same_fields_as_in_english() -> None:
    for each in fields(ChartTexts):
        english, chinese = (getattr(texts, each.name) for texts in (ENGLISH, CHINESE))
        if isinstance(english, str):
            named = [{part[1] for part in Formatter().parse(text)} for text in (english, chinese)]
            assert named[0] == named[1], each.name
    assert set(CHINESE.status) == set(ENGLISH.status) == set(Status)


def test_chart_of_a_day_in_another_language_has_only_its_dates() -> None:
    drawn = expiries([3, 4], texts=CHINESE)
    assert "11月28日" in drawn
    assert "Nov" not in drawn
