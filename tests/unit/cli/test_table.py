"""A table written in blocks has the same layout as one written at once, as far as the widths are known."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import click
import pytest

from sslctl.cli.output.table import Table, table

HEADERS = ("DOMAIN", "STATUS", "REASON")
ROWS = [("a.test", "Success", ""), ("longer.test", "Failure", "NXDOMAIN"), ("b.test", "Pending", "QUEUED")]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace standard output by a terminal of 30 columns."""
    monkeypatch.setenv("COLUMNS", "30")
    with redirect_stdout(_Terminal()):
        yield


def test_table_columns_are_as_wide_as_their_longest_cell() -> None:
    assert table(ROWS, HEADERS).splitlines() == [
        "DOMAIN       STATUS   REASON",
        "a.test       Success",
        "longer.test  Failure  NXDOMAIN",
        "b.test       Pending  QUEUED",
    ]


def test_table_blocks_are_aligned_when_the_first_width_is_given() -> None:
    blocks = Table(HEADERS, first_width=len("longer.test"))
    assert "\n".join(blocks.lay_out([row]) for row in ROWS) == table(ROWS, HEADERS)


def test_table_column_grows_when_needed_and_never_shrinks() -> None:
    blocks = Table(HEADERS)
    lines = [blocks.lay_out([row]).splitlines()[-1] for row in ROWS]
    assert lines == ["a.test  Success", "longer.test  Failure  NXDOMAIN", "b.test       Pending  QUEUED"]


def test_table_ignores_colours_when_it_measures_widths() -> None:
    row = ("a.test", click.style("Success", fg="green"), "QUEUED")
    assert click.unstyle(table([row], HEADERS)) == table([("a.test", "Success", "QUEUED")], HEADERS)


def test_table_on_a_terminal_drops_optional_columns_then_shortens_names_then_cuts_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = [("a-very-long-name-indeed.test", "Success", "QUEUED")]
    plain = table(ROWS, HEADERS)
    with terminal(monkeypatch):
        assert table(ROWS, HEADERS, ("STATUS",)) == plain
        assert table(long, HEADERS, ("STATUS", "REASON")).splitlines()[1] == "a-very-long-name-indeed.test"
        assert table(long, HEADERS).splitlines()[1] == "a-very…d.test  Success  QUEUED"
        cut = table([("a.test", "Success", "X" * 40)], HEADERS).splitlines()[1]
    assert cut == "a.test        Success  XXXXXX…"


def test_table_later_block_keeps_the_columns_and_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = table(ROWS, HEADERS)
    with terminal(monkeypatch):
        blocks = Table(HEADERS, ("STATUS",))
        assert blocks.lay_out(ROWS) == plain
        later = blocks.lay_out([("a-very-long-name-indeed.test", "Emergency", "C4_UPLOAD_FAILED")])
    assert len(later) == 30
    assert "Emergency" in later
