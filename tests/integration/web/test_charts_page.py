"""The page of charts."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.html_page import Page


@pytest.mark.parametrize(
    ("language", "title", "expiries", "day"),
    [("en", "Charts", "10 in total", "28 Nov 2026"), ("zh", "图表", "共 10 个", "2026年11月28日")],
)
def test_charts_are_drawn_from_the_state_in_each_language(
    client: FlaskClient, language: str, title: str, expiries: str, day: str
) -> None:
    page = Page(client.get(f"/charts?lang={language}").text)
    figures = page.find("figure")
    assert (page.text_of("h1"), len(figures)) == (title, 3)
    assert expiries in figures[0].text
    assert day in figures[0].text
