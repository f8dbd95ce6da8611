"""The functions that write to standard output: lines of text, JSON and CSV.

Nothing else in sslctl writes there. Text from outside was cleaned before it gets here. click removes colours if the
output is not a terminal.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar

import click

T = TypeVar("T")

_BLOCK = 500
_FORMULA = frozenset("=+-@")
_IS_JSON_EXPECTED = "sslctl.cli.output.stdout.is_json_expected"

# With `indent`, json would use its encoder in Python, which takes ten times as long.
encode_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
"""Return a value as JSON text on one line."""
encode_text = json.encoder.encode_basestring
"""Return a text as JSON: the same as `encode_json`, in less time."""


def write_any_text() -> None:
    """Escape what the encoding of the locale lacks in all further output, which would end the command with an error."""
    for stream in (sys.stdout, sys.stderr):
        _escape_unencodable(stream)


def _write_utf8() -> None:
    """Write UTF-8 to standard output from now on, whatever the locale is: JSON (RFC 8259, section 8.1) and CSV for programs."""
    _escape_unencodable(sys.stdout, encoding="utf-8")


def printable(text: str) -> str:
    """Return `text` with "->" for the arrow if standard output cannot write that."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.replace("→", "->")
    return text


def _escape_unencodable(stream: object, encoding: str | None = None) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def write_line(text: str) -> None:
    """Write one line of text, or several that are joined already."""
    click.echo(text)


def write_lines(texts: Iterable[str]) -> None:
    """Write many lines of text, in blocks."""
    for block in blocks(texts):
        click.echo("\n".join(block))


def expect_json(context: click.Context) -> None:
    """Note that the command of `context` is to write one JSON object."""
    context.meta[_IS_JSON_EXPECTED] = True


def write_json_error(
    context: click.Context, code: str, message: str, hint: str | None, exit_code: int
) -> None:
    """Write an error as the JSON object that is expected; do nothing if none is, or if it was begun."""
    from sslctl.cli.output.json_shapes import envelope  # noqa: PLC0415 - needed for errors only

    if context.meta.get(_IS_JSON_EXPECTED):
        write_json(envelope(error=code, message=message, hint=hint, exit_code=int(exit_code)))


def _begin_json() -> None:
    _write_utf8()
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_IS_JSON_EXPECTED] = False


def write_json(value: dict[str, Any]) -> None:
    """Write one JSON object."""
    _begin_json()
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_json_list(
    value: dict[str, Any],
    key: str,
    elements: Iterable[dict[str, Any]],
    last: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Write `value` as a JSON object with one more field, `key`: an array of `elements`, each on its own line.

    `last` returns fields that are known only after the last element. The first elements are made before anything is written, so
    that an error that prevents all of them can be written instead.
    """
    write_json_texts(value, key, map(encode_json, elements), last)


def write_json_texts(
    value: dict[str, Any],
    key: str,
    elements: Iterable[str],
    last: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Do the same as `write_json_list` for `elements` that are JSON text."""
    found = blocks(elements)
    first = next(found, [])
    _begin_json()
    click.echo(f'{encode_json(value)[:-1]}, "{key}": [', nl=False)
    separator = "\n"
    for block in chain([first] if first else [], found):
        click.echo(separator + ",\n".join(block), nl=False)
        separator = ",\n"
    ending = "".join(f", {encode_json(name)}: {encode_json(field)}" for name, field in last().items())
    click.echo(f"\n]{ending}}}")


def write_csv(rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV; see `csv_texts`."""
    write_texts(csv_texts(rows))


def write_texts(texts: Iterable[str]) -> None:
    """Write `texts`, which are data for programs and have their ends of lines, as UTF-8."""
    _write_utf8()
    for text in texts:
        click.echo(text, nl=False)


def csv_texts(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield rows as CSV (RFC 4180), in blocks. No cell begins like a formula, which a spreadsheet would run."""
    for block in blocks(rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(map(_safe_cell, row) for row in block)
        yield text.getvalue()


def _safe_cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _begins_formula(value) else value


def restored_cell(cell: str) -> str:
    """Return the text of a cell that `csv_texts` wrote: without the apostrophe before what a spreadsheet would run as a formula."""
    return cell[1:] if cell[:1] == "'" and _begins_formula(cell[1:]) else cell


def _begins_formula(text: str) -> bool:
    first = text[:1]
    # Some spreadsheets read the full-width and small forms of these characters as formulas, too.
    return first in _FORMULA if first.isascii() else unicodedata.normalize("NFKC", first) in _FORMULA


def blocks(elements: Iterable[T]) -> Iterator[list[T]]:
    """Yield `elements` in lists of at most 500, so that the first ones are written before the last ones are made."""
    left = iter(elements)
    while block := list(islice(left, _BLOCK)):
        yield block


def discard_stdout() -> None:
    """Send all further output nowhere: its reader has left (`sslctl list | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
