"""Tables: each column is as wide as its cells on the screen, whatever the script, and nothing is lost."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import click
import pytest
from wcwidth import width

from sslctl.cli.output.table import StreamedTable, Table, table

HEADERS = ("DOMAIN", "STATUS", "REASON")
ROWS = [("a.test", "Success", ""), ("longer.test", "Failure", "NXDOMAIN"), ("b.test", "Pending", "QUEUED")]
PLAIN = [
    "DOMAIN       STATUS   REASON",
    "a.test       Success",
    "longer.test  Failure  NXDOMAIN",
    "b.test       Pending  QUEUED",
]
SCRIPTS = {
    "wide": "日本語.example",
    "combining": "cafe\u0301.e\u0301e\u0301.example",
    "emoji": "👩\u200d👩\u200d👧.🇸🇬.example",
    "right-to-left": "שלום.example",
    "zero-width": "a\u200bb\u200cc.example",
}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 30) -> Iterator[None]:
    """Make standard output a terminal of `columns` columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    with redirect_stdout(_Terminal()):
        yield


def column_starts(text: str, words: Sequence[str]) -> set[int]:
    """Return the screen columns at which `words` begin, one of which is in each line of `text`."""
    starts = set()
    for line in text.splitlines():
        (word,) = (word for word in words if word in line)
        starts.add(width(line.partition(word)[0]))
    return starts


def test_table_is_as_wide_as_its_cells() -> None:
    assert table(ROWS, HEADERS).splitlines() == PLAIN


def test_table_continues_in_columns_that_never_become_narrower() -> None:
    blocks = Table(HEADERS)
    lines = [blocks.lay_out([row]).splitlines()[-1] for row in ROWS]
    assert lines == ["a.test  Success", *PLAIN[2:]]
    assert blocks.lay_out([("c.test", "Success", "")]) == "c.test       Success"


def test_table_keeps_numbers_booleans_and_leading_blanks_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [("1e5", "007"), ("False", "1_000"), ("True", "   x"), ("nan", "0x10")]
    expected = ["1e5    007", "False  1_000", "True      x", "nan    0x10"]
    assert table(rows).splitlines() == expected
    with terminal(monkeypatch, 12):
        assert table([*rows, ("a b", "wrapped because long")]).splitlines()[: len(expected)] == expected


def test_table_aligns_the_columns_named_right_to_the_right() -> None:
    assert table([("a", "1"), ("b", "1,000")], ("DAY", "N"), right=("N",)).splitlines() == [
        "DAY      N",
        "a        1",
        "b    1,000",
    ]


def test_table_without_rows_prints_its_headers() -> None:
    assert table([], HEADERS) == "DOMAIN  STATUS  REASON"
    assert table([]) == ""


def test_colours_take_no_columns() -> None:
    row = ("a.test", click.style("Success", fg="green"), "QUEUED")
    assert click.unstyle(table([row], HEADERS)) == table([("a.test", "Success", "QUEUED")], HEADERS)


@pytest.mark.parametrize("columns", [20, 40, 80, 140])
def test_wrapped_table_fits_the_terminal_and_keeps_every_word(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    names = ["shop-number-one.example.com", *SCRIPTS.values()]
    detail = "The customer changed the CNAME, and the next tick found it at the CDN again"
    with terminal(monkeypatch, columns):
        text = table([(name, "root (script)", detail) for name in names], indent="  ")
    assert max(map(width, text.splitlines())) <= columns
    shown = "".join(text.split())
    for character in "".join([*names, detail]).replace(" ", ""):
        assert character in shown
    if columns >= 80:
        assert all(name in text for name in names)
        assert text.count("customer") == len(names)


def test_wrapped_table_breaks_words_only_if_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, 40):
        text = table([("shop-a-b-c.example.com", "one two three four five six seven")])
    assert text.splitlines() == [
        "shop-a-b-c.example.com  one two three",
        "                        four five six",
        "                        seven",
    ]


@pytest.mark.parametrize("name", SCRIPTS.values(), ids=SCRIPTS)
def test_columns_line_up_whatever_the_script(name: str) -> None:
    rows = [("plain.example", "Success"), (name, "Failure")]
    for text in (table(rows), StreamedTable(("NAME", "STATUS")).lay_out(rows).partition("\n")[2]):
        assert len(column_starts(text, ["Success", "Failure"])) == 1


def test_streamed_blocks_line_up_if_the_width_is_known_beforehand() -> None:
    blocks = StreamedTable(HEADERS, first_width=len("longer.test"))
    assert "\n".join(blocks.lay_out([row]) for row in ROWS).splitlines() == PLAIN


def test_streamed_column_grows_when_it_must_and_never_shrinks() -> None:
    blocks = StreamedTable(HEADERS)
    lines = [blocks.lay_out([row]).splitlines()[-1] for row in ROWS]
    assert lines == ["a.test  Success", *PLAIN[2:]]


def streamed(
    rows: Sequence[Sequence[str]], headers: Sequence[str] = HEADERS, spare: Sequence[str] = ()
) -> str:
    return StreamedTable(headers, spare).lay_out(rows)


def test_narrow_terminal_drops_spare_columns_then_shortens_names_then_truncates_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = [("a-very-long-name-indeed.test", "Success", "QUEUED")]
    with terminal(monkeypatch):
        assert streamed(ROWS, spare=("STATUS",)).splitlines() == PLAIN
        assert streamed(long, spare=("STATUS", "REASON")).splitlines()[1] == "a-very-long-name-indeed.test"
        assert streamed(long).splitlines()[1] == "a-very…d.test  Success  QUEUED"
        truncated = streamed([("a.test", "Success", "X" * 40)]).splitlines()[1]
    assert truncated == "a.test        Success  XXXXXX…"


@pytest.mark.parametrize("columns", range(24, 40))
@pytest.mark.parametrize("name", SCRIPTS.values(), ids=SCRIPTS)
def test_shortened_and_truncated_rows_line_up_whatever_the_script(
    monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    rows = [(f"{name}.{name}", "Success", name * 2), ("plain-but-long-name.example", "Failure", "X" * 30)]
    with terminal(monkeypatch, columns):
        lines = streamed(rows).splitlines()[1:]
    assert all(width(line) <= columns for line in lines)
    assert len(column_starts("\n".join(lines), ["Success", "Failure"])) == 1
    assert all(line.endswith("…") for line in lines)


def test_truncated_row_does_not_colour_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch):
        line = streamed([("a.test", click.style("S" * 40, fg="red"), "QUEUED")]).splitlines()[1]
    assert width(line) == 30
    assert line.rindex("\x1b[0m") > line.rindex("S")


def test_later_block_keeps_the_columns_and_stays_within_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch):
        blocks = StreamedTable(HEADERS, ("STATUS",))
        assert blocks.lay_out(ROWS).splitlines() == PLAIN
        later = blocks.lay_out([("a-very-long-name-indeed.test", "Emergency", "C4_UPLOAD_FAILED")])
    assert len(later) == 30
    assert "Emergency" in later
