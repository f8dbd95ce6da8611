"""Text laid out for people: aligned, and on a terminal no wider than that.

Where standard output is no terminal nothing is wrapped, shortened or left out.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

import click
import tabulate

# tabulate would make every column as wide as its header and two blanks more.
tabulate.MIN_PADDING = 0

_RESET = "\x1b[0m"
_SHORTEST_NAME = 12
_NARROW = 40


def terminal_width() -> int | None:
    """Give the columns of the terminal that is standard output; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], spare: Sequence[str] = ()) -> str:
    """Give a table.

    On a terminal that is too narrow it goes without the columns `spare`, one after the other, as many as it takes;
    then the cells of the first column are shortened; at last the rows are cut.
    """
    width = terminal_width()
    text = _lay_out(rows, headers)
    if width is None:
        return text
    for count in range(len(spare) + 1):
        kept = [place for place, header in enumerate(headers) if header not in spare[:count]]
        fewer = [[row[place] for place in kept] for row in rows]
        text = _lay_out(fewer, [headers[place] for place in kept])
        if _widest(text) <= width:
            return text
    longest = max(len(row[0]) for row in fewer)
    limit = max(_SHORTEST_NAME, longest - (_widest(text) - width))
    shortened = [[_shorten(row[0], limit), *row[1:]] for row in fewer]
    text = _lay_out(shortened, [headers[place] for place in kept])
    return "\n".join(_cut(row, width) for row in text.splitlines())


def _lay_out(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate.tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)


def _widest(text: str) -> int:
    return max(len(click.unstyle(row)) for row in text.splitlines())


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
