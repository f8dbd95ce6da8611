"""Tables for people, on a terminal no wider than that; elsewhere each row is one line and nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.cli.output.width import display_width, fit, pad, shorten, terminal_width, truncate

_GAP = "  "
_SHORTEST_NAME = 12
_READ_AS_BOOLEANS = frozenset({"True", "False"})


class Table:
    """A table of rows that are at hand, laid out by tabulate; long cells are wrapped in their columns.

    Several calls of `lay_out` continue one table: the headers stand above the first rows, and no column is narrower
    than it was above. `right` names the headers of columns that are aligned to the right. Without `wrap`, cells are not
    wrapped even if the terminal is too narrow.
    """

    def __init__(
        self, headers: Sequence[str] = (), right: Sequence[str] = (), *, indent: str = "", wrap: bool = True
    ) -> None:
        self._heading = [list(headers)] if headers else []
        self._aligns = ["right" if header in right else "left" for header in headers]
        self._indent = indent
        self._limit = terminal_width() if wrap else None
        self._natural: list[int] = []
        self._least: list[int] = []

    def lay_out(self, rows: Sequence[Sequence[str]]) -> str:
        """Return the lines of `rows`, the headers above the first ones. A cell may hold several lines."""
        from tabulate import tabulate  # noqa: PLC0415 - slow to import, and `list` needs none of it

        lines = [*self._heading, *map(list, rows)]
        self._heading = []
        if not lines:
            return ""
        widths = self._fit(lines)
        # A first row as wide as the columns, removed below, keeps the columns as wide as in earlier calls.
        ruler = ["-" * width for width in widths]
        is_wrapped = widths != self._natural
        laid_out = tabulate(
            [ruler, *(map(_as_text, line) for line in lines)] if is_wrapped else [ruler, *lines],
            tablefmt="plain",
            disable_numparse=True,
            preserve_whitespace=True,
            colalign=self._aligns or None,
            maxcolwidths=widths if is_wrapped else None,
            break_on_hyphens=False,
        )
        return "\n".join(f"{self._indent}{line}" for line in laid_out.split("\n")[1:])

    def _fit(self, lines: Sequence[Sequence[str]]) -> list[int]:
        columns = list(zip(*lines, strict=True))
        known = self._natural or [0] * len(columns), self._least or [0] * len(columns)
        self._natural = [
            max(most, *map(_longest_line, cells)) for most, cells in zip(known[0], columns, strict=True)
        ]
        self._least = [
            max(most, *map(_longest_word, cells)) for most, cells in zip(known[1], columns, strict=True)
        ]
        if self._limit is None:
            return self._natural
        return fit(
            self._natural, self._least, self._limit - len(self._indent) - len(_GAP) * (len(columns) - 1)
        )


def _longest_line(cell: str) -> int:
    return max(map(display_width, cell.split("\n")))


def _longest_word(cell: str) -> int:
    return max(map(display_width, cell.split()), default=0)


def _as_text(cell: str) -> str:
    """Return `cell` so that tabulate's wrapping keeps it: it would turn "False" into True."""
    return f"{cell} " if cell in _READ_AS_BOOLEANS else cell


def table(
    rows: Sequence[Sequence[str]],
    headers: Sequence[str] = (),
    *,
    right: Sequence[str] = (),
    indent: str = "",
    wrap: bool = True,
) -> str:
    """Return a whole `Table`."""
    return Table(headers, right, indent=indent, wrap=wrap).lay_out(rows)


class StreamedTable:
    """The table of `list`. tabulate needs all rows before it returns the first, and a fleet may have 100,000.

    Rows come in blocks, in columns as wide as what they have held so far. `first_width` is the width of the first
    column if it is known beforehand. On a terminal that is too narrow for the first block, the columns `spare` are left
    out one after the other; then the cells of the first column are shortened; at last the rows are truncated.
    """

    def __init__(self, headers: Sequence[str], spare: Sequence[str] = (), first_width: int = 0) -> None:
        self._headers = headers
        self._spare = spare
        self._limit = terminal_width()
        self._kept = list(range(len(headers)))
        self._widths = [first_width, *[0] * (len(headers) - 1)]
        self._is_new = True

    def lay_out(self, rows: Sequence[Sequence[str]]) -> str:
        """Return the lines of `rows`, the headers above the first ones."""
        lines = [self._headers, *rows] if self._is_new else rows
        sizes = [[display_width(cell) for cell in line] for line in lines]
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
        """Return by how many columns the rows are wider than the terminal; 0 if there is none."""
        if self._limit is None:
            return 0
        return (
            sum(self._widths[place] for place in self._kept) + len(_GAP) * (len(self._kept) - 1) - self._limit
        )

    def _fit(self) -> list[int]:
        """Return the widths of the columns that are kept."""
        first, *others = (self._widths[place] for place in self._kept)
        excess = self._excess()
        return [first if excess <= 0 else max(_SHORTEST_NAME, first - excess), *others]

    def _line(self, cells: Sequence[str], sizes: Sequence[int], widths: dict[int, int]) -> str:
        shown = [cells[place] + " " * (width - sizes[place]) for place, width in widths.items()]
        shown[0] = pad(shorten(cells[0], widths[0]), widths[0])
        line = _GAP.join(shown).rstrip()
        return line if self._excess() <= 0 or self._limit is None else truncate(line, self._limit)
