"""A table that comes in blocks is laid out like one that comes at once, as far as it can be known."""

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
    """Have a terminal of 30 columns for standard output."""
    monkeypatch.setenv("COLUMNS", "30")
    with redirect_stdout(_Terminal()):
        yield


def test_a_table_is_as_wide_as_it_must_be() -> None:
    assert table(ROWS, HEADERS).splitlines() == [
        "DOMAIN       STATUS   REASON",
        "a.test       Success",
        "longer.test  Failure  NXDOMAIN",
        "b.test       Pending  QUEUED",
    ]


def test_blocks_line_up_where_the_width_is_known_beforehand() -> None:
    blocks = Table(HEADERS, first_width=len("longer.test"))
    assert "\n".join(blocks.lay_out([row]) for row in ROWS) == table(ROWS, HEADERS)


def test_a_column_grows_when_it_must_and_never_shrinks() -> None:
    blocks = Table(HEADERS)
    lines = [blocks.lay_out([row]).splitlines()[-1] for row in ROWS]
    assert lines == ["a.test  Success", "longer.test  Failure  NXDOMAIN", "b.test       Pending  QUEUED"]


def test_colours_take_no_room() -> None:
    row = ("a.test", click.style("Success", fg="green"), "QUEUED")
    assert click.unstyle(table([row], HEADERS)) == table([("a.test", "Success", "QUEUED")], HEADERS)


def test_on_a_terminal_what_is_spare_goes_first_then_parts_of_names_then_ends_of_rows(
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


def test_a_later_block_keeps_the_columns_and_stays_within_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = table(ROWS, HEADERS)
    with terminal(monkeypatch):
        blocks = Table(HEADERS, ("STATUS",))
        assert blocks.lay_out(ROWS) == plain
        later = blocks.lay_out([("a-very-long-name-indeed.test", "Emergency", "C4_UPLOAD_FAILED")])
    assert len(later) == 30
    assert "Emergency" in later
