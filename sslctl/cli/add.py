"""`sslctl add`."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from sslctl import management, names, x509
from sslctl.batch import Outcome
from sslctl.cli import render, wire
from sslctl.cli.app import App
from sslctl.cli.options import json_option
from sslctl.cli.passes import exit_code, outcomes_json, run_passes
from sslctl.errors import BadInput
from sslctl.model import Domain

_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--from-file", type=click.File(), metavar="FILE", help="Read domains, one a line; # comments; - is stdin."
)
@click.option(
    "--san", "sans", multiple=True, metavar="NAME", help="One more name in the certificate; repeatable."
)
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
    wanted = names.normalise_all([*domains, *(_lines(from_file) if from_file else ())])
    if not wanted:
        raise click.UsageError("name a domain, or --from-file FILE")
    extra = names.normalise_all(sans)
    _check_usage(wanted, extra, cert, key, chain)
    if cert and key:
        bundle = x509.normalise_pair(_read(cert), _read(key), _read(chain) if chain else "")
        enrolled = [management.paste(app.store, wanted[0], extra, bundle, app.clock())]
    else:
        enrolled = [management.enrol(app.store, name, extra or None, app.clock(), new=new) for name in wanted]
    if no_wait:
        outcomes = [Outcome(domain) for domain in enrolled]
        _say_recorded(app, enrolled, as_json=as_json)
    else:
        outcomes = run_passes(app, enrolled, renew=new, tell=not as_json)
    if as_json:
        render.json_object(wire.envelope(domains=outcomes_json(outcomes, app.clock())))
    return exit_code(outcomes, app.clock())


def _lines(file: TextIO) -> list[str]:
    try:
        return [name for line in file if (name := line.partition("#")[0].strip())]
    except UnicodeDecodeError as error:
        raise BadInput(f"{file.name} is not text") from error


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
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


def _say_recorded(app: App, domains: list[Domain], *, as_json: bool) -> None:
    if not as_json:
        for domain in domains:
            render.outcome(domain, app.clock())
