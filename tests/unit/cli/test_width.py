"""Text is measured, cut and wrapped by the columns that it takes on the screen."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import width as screen_width

from sslctl.cli.output.width import clip, display_width, fit, pad, paragraph, shorten, truncate

NAMES = {
    "ascii": "shop-number-one.example.com",
    "wide": "日本語のドメイン.example",
    "combining": "cafe\u0301.e\u0301e\u0301e\u0301e\u0301.example",
    "emoji": "👩\u200d👩\u200d👧.🇸🇬.👍🏽.example",
    "right-to-left": "שלום.עולם.example",
    "zero-width": "a\u200bb\u200cc\u200dd.example",
}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("width", range(1, 30))
def test_cut_text_never_takes_more_columns_than_it_may(name: str, width: int) -> None:
    for cut in (clip, truncate, shorten):
        assert display_width(cut(name, width)) <= width
    if display_width(name) <= width:
        assert clip(name, width) == truncate(name, width) == shorten(name, width) == name
        assert display_width(pad(name, width)) == width
    elif width > 1:
        assert "…" in truncate(name, width)
        assert "…" in shorten(name, width)


def test_shortened_name_keeps_both_ends() -> None:
    assert shorten("日本語のドメイン.example", 12) == "日本語…ample"
    assert shorten("a-very-long-name-indeed.test", 14) == "a-very-…d.test"


def test_clipped_text_keeps_its_colour_and_ends_it() -> None:
    clipped = clip(click.style("Emergency", fg="red"), 4)
    assert click.unstyle(clipped) == "Emer"
    assert clipped.endswith("\x1b[0m")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_paragraph_fits_the_terminal_and_keeps_every_word(
    monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = f"{name}: Failure CNAME_ELSEWHERE: " + f"found {name}, wanted {name}.cdn.test " * 3
    with redirect_stdout(_Terminal()):
        lines = paragraph(text.strip(), "  ").split("\n")
    assert max(map(screen_width, lines)) <= width
    assert " ".join(lines).split() == text.split()
    assert all(line.startswith("    ") for line in lines[1:])


def test_paragraph_is_one_line_if_the_output_is_not_a_terminal() -> None:
    with redirect_stdout(io.StringIO()):
        assert paragraph("word " * 100, "  ") == "  " + "word " * 100


def test_ascii_is_measured_without_importing_wcwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wcwidth", None)
    assert display_width(click.style("Success", fg="green")) == len("Success")
    assert shorten("a-very-long-name.test", 11) == "a-ver….test"


def test_columns_that_fit_keep_their_widths() -> None:
    assert fit([20, 13, 30], [10, 8, 9], 63) == [20, 13, 30]


def test_column_that_can_lose_most_is_narrowed_first() -> None:
    assert fit([20, 13, 300], [10, 8, 9], 80) == [20, 13, 47]
    assert fit([20, 13, 300], [10, 8, 9], 40) == [18, 13, 9]


def test_words_are_broken_only_if_they_do_not_fit() -> None:
    assert fit([20, 13, 60], [10, 8, 60], 50) == [10, 8, 32]
    assert fit([20, 13, 60], [10, 8, 60], 3) == [2, 2, 2]


COLUMN = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted)


@given(st.lists(COLUMN, min_size=1, max_size=8), st.integers(1, 300))
def test_columns_fit_whenever_they_can(columns: list[list[int]], available: int) -> None:
    natural, least = [most for _, most in columns], [word for word, _ in columns]
    widths = fit(natural, least, available)
    assert all(width <= most for width, most in zip(widths, natural, strict=True))
    if available >= 2 * len(columns):
        assert sum(widths) <= available
    if available >= sum(least):
        assert all(width >= word for width, word in zip(widths, least, strict=True))
