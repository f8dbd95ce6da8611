"""Text laid out for people: aligned, and on a terminal no wider than that.

Where standard output is no terminal nothing is wrapped, shortened or left out.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

import click

_ESCAPE = "\x1b"
_RESET = "\x1b[0m"
_SHORTEST_NAME = 12
_NARROW = 40
_GAP = "  "


def terminal_width() -> int | None:
    """Give the columns of the terminal that is standard output; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class Table:
    """Rows below `headers`, block after block, in columns as wide as what they have held so far.

    `first_width` is the width of the first column where that is known beforehand. On a terminal that is too narrow the
    table goes without the columns `spare`, one after the other, as many as it takes for the first block; then the
    cells of the first column are shortened; at last the rows are cut.
    """

    def __init__(self, headers: Sequence[str], spare: Sequence[str] = (), first_width: int = 0) -> None:
        self._headers = headers
        self._spare = spare
        self._limit = terminal_width()
        self._kept = list(range(len(headers)))
        self._widths = [first_width, *[0] * (len(headers) - 1)]
        self._is_new = True

    def lay_out(self, rows: Sequence[Sequence[str]]) -> str:
        """Give the lines of `rows`, the headers above the first ones."""
        lines = [self._headers, *rows] if self._is_new else rows
        sizes = [[_size(cell) for cell in line] for line in lines]
        self._widths = list(map(max, self._widths, *sizes))
        if self._is_new:
            self._drop_spare()
            self._is_new = False
        widths = dict(zip(self._kept, self._fit(), strict=True))
        return "\n".join(self._line(*line, widths) for line in zip(lines, sizes, strict=True))

    def _drop_spare(self) -> None:
        for header in self._spare:
            if self._excess() <= 0:
                return
            self._kept.remove(self._headers.index(header))

    def _excess(self) -> int:
        """Give by how many columns the rows are wider than the terminal; 0 where there is none."""
        if self._limit is None:
            return 0
        return (
            sum(self._widths[place] for place in self._kept) + len(_GAP) * (len(self._kept) - 1) - self._limit
        )

    def _fit(self) -> list[int]:
        """Give the widths of the columns that are kept."""
        first, *others = (self._widths[place] for place in self._kept)
        excess = self._excess()
        return [first if excess <= 0 else max(_SHORTEST_NAME, first - excess), *others]

    def _line(self, cells: Sequence[str], sizes: Sequence[int], widths: dict[int, int]) -> str:
        shown = [cells[place] + " " * (width - sizes[place]) for place, width in widths.items()]
        shown[0] = _shorten(cells[0], widths[0]).ljust(widths[0])
        line = _GAP.join(shown).rstrip()
        return line if self._excess() <= 0 or self._limit is None else _cut(line, self._limit)


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], spare: Sequence[str] = ()) -> str:
    """Give a whole `Table`."""
    return Table(headers, spare).lay_out(rows)


def _size(cell: str) -> int:
    """Give the columns that a cell takes; colours take none."""
    return len(click.unstyle(cell)) if _ESCAPE in cell else len(cell)


def _shorten(cell: str, limit: int) -> str:
    """Take the middle out of a name: both ends tell more."""
    if len(cell) <= limit:
        return cell
    head = limit // 2
    return f"{cell[:head]}…{cell[len(cell) - (limit - head - 1) :]}"


def _cut(row: str, width: int) -> str:
    """Cut a row to `width` columns; colours take none."""
    plain = click.unstyle(row)
    if len(plain) <= width:
        return row
    kept = row[: width - 1 - len(plain)]
    # A row cut within its coloured word would keep half an escape sequence, and colour all that follows.
    return (kept if _RESET in kept else plain[: width - 1]).rstrip() + "…"


def hanging(rows: Iterable[Sequence[str]]) -> str:
    """Give rows, indented, whose last cell is wrapped below itself, or below the row where there is no room."""
    cells = [list(row) for row in rows]
    sizes = [max(map(len, column)) for column in list(zip(*cells, strict=True))[:-1]]
    lines = []
    for row in cells:
        head = "  " + "".join(f"{cell:<{size}}  " for cell, size in zip(row, sizes, strict=False))
        lines.append(_hang(head, row[-1]))
    return "\n".join(lines)


def _hang(head: str, text: str) -> str:
    width = terminal_width()
    if width is None or len(head) + len(click.unstyle(text)) <= width:
        return (head + text).rstrip()
    if width - len(head) >= _NARROW:
        return _wrap(text, width, head, " " * len(head))
    return f"{head.rstrip()}\n{_wrap(text, width, '      ', '      ')}"


def paragraph(text: str, indent: str = "") -> str:
    """Give `text` wrapped at words, its further lines indented by two more than `indent`, its first one."""
    width = terminal_width()
    if width is None or len(indent) + len(click.unstyle(text)) <= width:
        return indent + text
    return _wrap(text, width, indent, indent + "  ")


def _wrap(text: str, width: int, first: str, further: str) -> str:
    return textwrap.fill(
        text, max(width, _NARROW), initial_indent=first, subsequent_indent=further, break_on_hyphens=False
    )
