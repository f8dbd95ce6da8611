"""`sslctl add`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

import click

from sslctl.app import App
from sslctl.certificates import x509
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.cli.output.outcomes import complain, domains_json
from sslctl.cli.run_batch import run_passes
from sslctl.errors import BadInput
from sslctl.fleet import enrolment
from sslctl.fleet.enrolment import Enrolled
from sslctl.issuance.batch import Outcome
from sslctl.issuance.report import Report
from sslctl.rules import names
from sslctl.rules.model import Bundle
from sslctl.system.files import read_bounded
from sslctl.text import clean

_MOST_SHOWN = 5
_MOST_TOLD = 100
_LARGEST_PEM = 1 << 20
_LARGEST_LIST = 1 << 26
_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--from-file",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Read domains, one a line; # comments; - is stdin.",
)
@click.option(
    "--san", "sans", multiple=True, metavar="NAME", help="One more name in the certificate; repeatable."
)
@click.option("--no-san", is_flag=True, help="Drop the other names of a domain that is managed already.")
@click.option(
    "--cert", type=_PEM, metavar="FILE", help="Add by text: the certificate, PEM; may hold the chain too."
)
@click.option("--key", type=_PEM, metavar="FILE", help="Add by text: its private key, PEM.")
@click.option("--chain", type=_PEM, metavar="FILE", help="Add by text: the intermediate certificates, PEM.")
@click.option("--no-wait", is_flag=True, help="Only record; `recheck` or the tick does the rest.")
@click.option("--new", is_flag=True, help="Order a new certificate even where one may still be used.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: TextIO | None,
    sans: tuple[str, ...],
    no_san: bool,
    cert: Path | None,
    key: Path | None,
    chain: Path | None,
    no_wait: bool,
    new: bool,
    as_json: bool,
) -> int:
    """Get certificates for domains and put them on the edge.

    A domain that is managed already is taken up again where it is not well, and left alone otherwise. One whose
    certificate was added by text gets one of the CA's instead.
    """
    wanted = _normalise([*(("", text) for text in domains), *(_lines(from_file) if from_file else ())])
    if not wanted and from_file is not None:
        raise BadInput(f"{clean(from_file.name)} names no domain")
    if not wanted:
        raise click.UsageError("name a domain, or --from-file FILE")
    extra = names.normalise_all(sans)
    _check_usage(wanted, extra, cert, key, chain)
    if new and (cert or no_wait):
        raise click.UsageError(
            "--new orders from the CA at once; it goes neither with --cert nor with --no-wait"
        )
    if no_san and extra:
        raise click.UsageError("--no-san and --san exclude each other")
    wished = () if no_san else extra or None

    if not no_wait:
        app.require_outside()
    if len(wanted) == 1:
        pair = _read_pair(cert, key, chain) if cert and key else None
        intake = _record(app, wanted[0], wished, pair, new=new, requeue=no_wait)
    else:
        intake = enrolment.enrol_many(
            app.store, wanted, app.clock(), drop_sans=no_san, new=new, requeue=no_wait
        )
    report = Report(list(wanted), batch=len(wanted) > 1 or from_file is not None)
    _enter_refused(app, intake, report)
    recorded = [name for name in wanted if name not in intake.refused]
    if no_wait:
        _enter_recorded(app, intake, recorded, report, tell=not as_json)
    else:
        run_passes(app, recorded, report, renew=set(recorded) if new else (), print_each=not as_json)
    if as_json:
        render.json_list(
            json_shapes.envelope(), "domains", domains_json(app.store, wanted, report.errors, app.clock())
        )
    return report.exit_code


def _lines(file: TextIO) -> list[tuple[str, str]]:
    """Give where each name stands, and the name as it stands there."""
    shown = clean(file.name)
    try:
        content = file.read(_LARGEST_LIST + 1)
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown} is not text in UTF-8") from error
    if len(content) > _LARGEST_LIST:
        # Never cut: what was left out would be missed by nobody.
        raise BadInput(f"{shown} is larger than {_LARGEST_LIST} characters")
    return [
        (f"{shown}, line {number}", text)
        for number, line in enumerate(content.split("\n"), 1)
        if (text := line.partition("#")[0].strip())
    ]


def _normalise(given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Give every name of (place, text) as `names.normalise` does.

    Raises `BadInput` for the first trouble, with the places of the others: a long list is mended in one go.
    """
    seen: dict[str, str] = {}
    troubles: list[tuple[str, str]] = []
    for place, text in given:
        try:
            name = names.normalise(text)
        except BadInput as error:
            troubles.append((place, error.message))
            continue
        if name in seen:
            earlier = f", first in {seen[name]}" if seen[name] else ""
            troubles.append((place, f'"{clean(text, 100)}" is given twice{earlier}'))
        seen.setdefault(name, place)
    if troubles:
        (place, message), *others = troubles
        raise BadInput(f"{place}: {message}" if place else message, hint=_also(others))
    return tuple(seen)


def _also(troubles: list[tuple[str, str]]) -> str | None:
    if not troubles:
        return None
    shown = "; ".join(place or message for place, message in troubles[:_MOST_SHOWN])
    more = f"; and {len(troubles) - _MOST_SHOWN} more" if len(troubles) > _MOST_SHOWN else ""
    return f"nothing was recorded; not usable either: {shown}{more}"


def _read(path: Path) -> str:
    try:
        return read_bounded(path, _LARGEST_PEM).decode(errors="replace")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error


def _check_usage(
    wanted: tuple[str, ...], extra: tuple[str, ...], cert: Path | None, key: Path | None, chain: Path | None
) -> None:
    if (cert is None) != (key is None) or (chain is not None and cert is None):
        raise click.UsageError("--cert and --key go together, and --chain goes with them")
    if len(wanted) > 1 and (extra or cert):
        raise click.UsageError("--san and --cert speak of one domain; name just one")
    if set(extra) & set(wanted):
        raise BadInput(f"{wanted[0]} is the domain itself; --san is for other names")


def _read_pair(cert: Path, key: Path, chain: Path | None) -> Bundle:
    return x509.normalise_pair(_read(cert), _read(key), _read(chain) if chain else "")


def _record(
    app: App, name: str, sans: tuple[str, ...] | None, pair: Bundle | None, *, new: bool, requeue: bool
) -> Enrolled:
    """Record one domain. Raises `Busy` where somebody else works on it."""
    if pair is not None:
        enrolment.paste(app.store, name, sans, pair, app.clock())
    else:
        domain = enrolment.enrol(app.store, name, sans, app.clock(), new=new)
        if requeue:
            enrolment.queue(app.store, domain, app.clock())
    return Enrolled(1, 0, {})


def _enter_refused(app: App, intake: Enrolled, report: Report) -> None:
    for name, error in intake.refused.items():
        complain(name, error)
        report.add(Outcome(name, error=error), app.clock())


def _enter_recorded(
    app: App, intake: Enrolled, recorded: Sequence[str], report: Report, *, tell: bool
) -> None:
    """Enter what was recorded into `report`; with `tell` write it too, one by one where that can be read."""
    is_long = len(recorded) > _MOST_TOLD
    for domain in app.store.domains_named(recorded):
        report.add(Outcome(domain.name, domain), app.clock())
        if tell and not is_long:
            render.outcome(domain, app.clock())
    if tell and is_long:
        render.line(
            f"{intake.added} domains recorded, {intake.already_managed} managed already; the next ticks do what is due"
        )
