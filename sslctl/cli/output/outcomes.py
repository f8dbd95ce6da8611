"""Printing the results of passes: JSON on standard output, errors on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import click

from sslctl.cli.output import json_shapes
from sslctl.errors import SslctlError
from sslctl.store.interface.domains import Domains
from sslctl.text import clean


def domains_json(
    store: Domains, names: Sequence[str], errors: Mapping[str, Exception], now: datetime
) -> Iterator[dict[str, object]]:
    """Yield the domains `names` as they are stored; `error` is the code of the error that prevented the pass."""
    for domain in store.domains_named(names):
        error = errors.get(domain.name)
        yield {**json_shapes.domain(domain, now), "error": None if error is None else _error_code(error)}


def _error_code(error: Exception) -> str:
    return error.code if isinstance(error, SslctlError) else SslctlError.code


def complain(name: str, error: Exception) -> None:
    """Print on standard error why no pass over `name` was made."""
    text = error.message if isinstance(error, SslctlError) else f"bug: {type(error).__name__}: {clean(error)}"
    click.echo(f"sslctl: error: {name}: {text}", err=True)
