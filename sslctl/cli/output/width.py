"""Text measured in the columns of a terminal: wide characters take two, combining marks and colours none.

Where standard output is not a terminal, nothing is wrapped or shortened.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

_ESCAPE = "\x1b"
_NARROWEST = 40
_WIDEST_CHARACTER = 2


def terminal_width() -> int | None:
    """Return the columns of the terminal that is standard output, None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def display_width(text: str) -> int:
    """Return the columns that one line of `text` takes."""
    plain = click.unstyle(text) if _ESCAPE in text else text
    if plain.isascii():
        return len(plain)
    import wcwidth  # noqa: PLC0415 - slow to import, and most output is ASCII

    return wcwidth.width(plain)


def pad(text: str, width: int) -> str:
    """Return `text` with blanks up to `width` columns."""
    return text + " " * (width - display_width(text))


def clip(text: str, width: int) -> str:
    """Return the first `width` columns of `text`, with its colours."""
    return text if display_width(text) <= width else _columns(text, 0, width)


def truncate(text: str, width: int) -> str:
    """Return at most `width` columns of `text`; an ellipsis stands for the end that was removed."""
    return text if display_width(text) <= width else clip(text, width - 1).rstrip() + "…"


def shorten(text: str, width: int) -> str:
    """Return at most `width` columns of `text`; an ellipsis stands for the middle that was removed."""
    whole = display_width(text)
    if whole <= width:
        return text
    head = width // 2
    return f"{_columns(text, 0, head)}…{_columns(text, whole - (width - head - 1), whole)}"


def _columns(text: str, start: int, end: int) -> str:
    """Return the columns from `start` up to `end`; a blank stands for half of a wide character."""
    if text.isascii() and _ESCAPE not in text:
        return text[start:end]
    import wcwidth  # noqa: PLC0415 - as above

    return wcwidth.clip(text, start, end)


def paragraph(text: str, indent: str = "") -> str:
    """Return `text` wrapped at words to the terminal; `indent` precedes the first line, two blanks more the others."""
    width = terminal_width()
    if width is None or display_width(indent + text) <= width:
        return indent + text
    import wcwidth  # noqa: PLC0415 - as above

    lines = wcwidth.wrap(
        text,
        max(width, _NARROWEST),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def fit(natural: Sequence[int], least: Sequence[int], available: int) -> list[int]:
    """Return a width for each column, such that together they take at most `available` columns where possible.

    `natural` holds the widths of the longest cells, `least` those of the longest words. As few columns as possible are
    narrowed, those first that can lose most; words are broken only if they do not fit otherwise.
    """
    if sum(least) > available:
        return _limit(least, available)
    widths = list(natural)
    for column in sorted(range(len(widths)), key=lambda each: least[each] - natural[each]):
        excess = sum(widths) - available
        widths[column] = max(least[column], widths[column] - max(excess, 0))
    return widths


def _limit(widths: Sequence[int], available: int) -> list[int]:
    """Return `widths` limited by the largest common maximum that lets them fit, at least one wide character."""
    for maximum in range(max(widths), _WIDEST_CHARACTER, -1):
        limited = [min(width, maximum) for width in widths]
        if sum(limited) <= available:
            return limited
    return [min(width, _WIDEST_CHARACTER) for width in widths]
