"""The results of passes: text and JSON on standard output, errors on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import click

from sslctl.cli.output import json_shapes
from sslctl.cli.output.phrases import coloured, doubt_lines, next_try, reason_codes
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.width import paragraph
from sslctl.errors import SslctlError
from sslctl.rules.model import Domain, Installed
from sslctl.rules.singapore import format_both, format_sgt
from sslctl.rules.status import derive_status, describe_serving
from sslctl.store.interface.domains import Domains
from sslctl.text import clean
from sslctl.wording import C4


def write_outcome(domain: Domain, now: datetime) -> None:
    """Write how a pass over `domain` ended: its status and, unless it is Success, the next step."""
    verdict = derive_status(domain, now)
    head = f"{domain.name}: {coloured(verdict.status)}"
    if verdict.code is None:
        assert domain.in_service is not None  # noqa: S101 - in Success a certificate is served
        expiry = format_both(domain.in_service.not_after)
        write_line(paragraph(f"{head}, {describe_serving(domain, now)}, expires {expiry}"))
        for line in doubt_lines(domain, now):
            write_line(paragraph(line, "  "))
        return
    write_line(paragraph(f"{head} {reason_codes(verdict)}: {verdict.sentence}"))
    if domain.in_service is not None:
        write_line(f"  serving: {describe_serving(domain, now)}")
    retry = next_try(domain, verdict, now)
    step = f"next ({verdict.owner}): {verdict.next_step}"
    write_line(paragraph(f"{step} Next try: {retry}." if retry else step, "  "))
    for line in doubt_lines(domain, now):
        write_line(paragraph(line, "  "))


def domains_json(
    store: Domains, names: Sequence[str], errors: Mapping[str, Exception], now: datetime
) -> Iterator[dict[str, object]]:
    """Yield the domains `names` as they are stored; `error` is the code of the error that prevented the pass."""
    for domain in store.domains_named(names):
        error = errors.get(domain.name)
        yield {**json_shapes.domain(domain, now), "error": None if error is None else _error_code(error)}


def _error_code(error: Exception) -> str:
    return error.code if isinstance(error, SslctlError) else SslctlError.code


def print_unrecorded(names: Sequence[str], errors: Mapping[str, Exception]) -> None:
    """Print on standard error that the results of the domains `names` were not recorded, and why."""
    error = errors[names[0]]
    domains = "1 domain" if len(names) == 1 else f"{len(names)} domains"
    click.echo(
        f"sslctl: error: {error.message if isinstance(error, SslctlError) else clean(error)}", err=True
    )
    click.echo(f"sslctl: the results of {domains} were not recorded: {', '.join(names)}", err=True)
    click.echo(
        "sslctl: the next tick, or `sslctl recheck` with these names, collects what the CA has issued",
        err=True,
    )


def print_not_done(done: str, names: Sequence[str]) -> None:
    """Print on standard error that the domains `names` were not `done`, such as "deleted"."""
    click.echo(f"sslctl: not {done}: {', '.join(names)}", err=True)


def print_error(name: str, error: Exception) -> None:
    """Print on standard error why no pass over `name` was made."""
    text = error.message if isinstance(error, SslctlError) else f"bug: {type(error).__name__}: {clean(error)}"
    click.echo(f"sslctl: error: {name}: {text}", err=True)


def print_removed(name: str, installed: Installed) -> None:
    """Print on standard error that `installed`, which sslctl did not install, was removed from C4."""
    certificate = f"{installed.source} certificate {installed.fingerprint[:16]}"
    expiry = format_sgt(installed.not_after)
    click.echo(
        f"sslctl: {name}: removed the {certificate} from {C4}, valid until {expiry}, which sslctl did not install",
        err=True,
    )
