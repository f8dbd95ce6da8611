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
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import click

T = TypeVar("T")

_BLOCK = 500
_FORMULA = ("=", "+", "-", "@")

# With `indent`, json would use its encoder in Python, which takes ten times as long.
encode_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
"""Return a value as JSON text on one line."""


def write_line(text: str) -> None:
    """Write one line of text, or several that are joined already."""
    click.echo(text)


def write_lines(texts: Iterable[str]) -> None:
    """Write many lines of text, in blocks."""
    for block in blocks(texts):
        click.echo("\n".join(block))


def write_json(value: dict[str, Any]) -> None:
    """Write one JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_json_list(value: dict[str, Any], key: str, elements: Iterable[dict[str, Any]]) -> None:
    """Write `value` as a JSON object with one more field, `key`: an array of `elements`, each on its own line."""
    write_json_texts(value, key, map(encode_json, elements))


def write_json_texts(value: dict[str, Any], key: str, elements: Iterable[str]) -> None:
    """Do the same as `write_json_list` for `elements` that are JSON text."""
    click.echo(f'{encode_json(value)[:-1]}, "{key}": [', nl=False)
    separator = "\n"
    for block in blocks(elements):
        click.echo(separator + ",\n".join(block), nl=False)
        separator = ",\n"
    click.echo("\n]}")


def write_csv(rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV (RFC 4180), in blocks. No cell begins like a formula, which a spreadsheet would run."""
    for block in blocks(rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(map(_safe_cell, row) for row in block)
        click.echo(text.getvalue(), nl=False)


def _safe_cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def blocks(elements: Iterable[T]) -> Iterator[list[T]]:
    """Yield `elements` in lists of at most 500, so that the first ones are written before the last ones are made."""
    left = iter(elements)
    while block := list(islice(left, _BLOCK)):
        yield block


def discard_stdout() -> None:
    """Send all further output nowhere: its reader has left (`sslctl list | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
