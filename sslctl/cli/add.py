"""`sslctl add`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.certificates.pasted import Pasted
from sslctl.cli.options import force_option, json_option
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.outcomes import domains_json, print_error, write_outcome
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.pasted_files import PastedFiles, print_notes
from sslctl.cli.run_batch import run_requested_passes
from sslctl.errors import BadInput, Exit
from sslctl.fleet import enrolment
from sslctl.fleet.enrolment import Enrolled
from sslctl.issuance.batch import Outcome
from sslctl.issuance.consent import Consent
from sslctl.issuance.report import Report
from sslctl.rules import names
from sslctl.text import clean, decode_text

_MOST_SHOWN = 5
_MOST_PRINTED = 100
_LARGEST_LIST = 1 << 26
_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--from-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Read domains from FILE, one on each line; # begins a comment; - is standard input.",
)
@click.option(
    "--san", "sans", multiple=True, metavar="NAME", help="Another name for the certificate; may be repeated."
)
@click.option("--no-san", is_flag=True, help="Remove the other names of a domain that is managed already.")
@click.option(
    "--cert",
    type=_PEM,
    metavar="FILE",
    help="Add by text: the certificate in PEM, DER or PKCS#7; may include the chain.",
)
@click.option("--key", type=_PEM, metavar="FILE", help="Add by text: its private key in PEM or DER.")
@click.option(
    "--chain",
    type=_PEM,
    metavar="FILE",
    help="Add by text: the intermediate certificates, in any order; with or without the root.",
)
@click.option(
    "--pkcs12",
    type=_PEM,
    metavar="FILE",
    help="Add by text: a PKCS#12 file (.pfx, .p12) with certificate and key.",
)
@click.option(
    "--password-file", type=_PEM, metavar="FILE",
    help="The file with the password of the PKCS#12 file; default: ask for it.",
)  # fmt: skip
@click.option(
    "--no-wait",
    is_flag=True,
    help="Only record the domains, and exit with 0; `recheck` or the next tick does the rest.",
)
@click.option("--new", is_flag=True, help="Order a new certificate even if an existing one can be used.")
@force_option
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: BinaryIO | None,
    sans: tuple[str, ...],
    no_san: bool,
    cert: Path | None,
    key: Path | None,
    chain: Path | None,
    pkcs12: Path | None,
    password_file: Path | None,
    no_wait: bool,
    new: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Get certificates for domains and install them on the edge.

    A domain that is managed already is checked again if it is not well. Its text certificate is replaced by one from the CA,
    also an adopted one. If there is no state yet, one is created.

    To name a domain here is your consent to replace the text certificate that C4 has for it now, even if sslctl did not
    install it and has no copy. With --no-wait or --from-file there is no such consent: the certificate stays, and the domain is
    Pending or has a warning. `recheck --replace-text` replaces it later, `adopt` keeps it.
    """
    wanted = _normalise([*(("", text) for text in domains), *(_lines(from_file) if from_file else ())])
    if not wanted and from_file is not None:
        raise BadInput(f"{clean(from_file.name)} contains no domain names")
    if not wanted:
        raise click.UsageError("name a domain, or give --from-file FILE")
    extra = names.normalise_all(sans)
    files = PastedFiles(cert, key, chain, pkcs12, password_file)
    files.check_usage()
    _check_usage(wanted, extra, has_pair=files.exist, profile=app.config.acme.profile)
    _check_options(new=new, force=force, no_wait=no_wait, has_pair=files.exist, no_san=no_san, extra=extra)
    sans_wanted = () if no_san else extra or None

    if not no_wait:
        app.require_outside()
    pasted = files.read(app, (*wanted, *extra)) if files.exist else None
    if app.make_state():
        print_created(app)
    # A long list is not read name by name, and a certificate that is gone cannot be restored.
    consents = not no_wait and from_file is None
    if len(wanted) == 1:
        enrolled = _record(app, wanted[0], sans_wanted, pasted, new=new, requeue=no_wait, consents=consents)
    else:
        enrolled = enrolment.enrol_many(
            app.store, wanted, app.clock(), drop_sans=no_san, new=new, requeue=no_wait, consents=consents
        )
    for other in app.store.domains_named(extra):
        if other.deleted_at is None:
            click.echo(
                f"sslctl: {other.name} is also a domain of its own here, with its own certificate", err=True
            )
    report = Report(list(wanted), batch=len(wanted) > 1 or from_file is not None)
    _report_refused(app, enrolled, report)
    recorded = [name for name in wanted if name not in enrolled.refused]
    if no_wait:
        warnings.print_maintenance(app.store.maintenance_pause(app.clock()))
        _print_recorded(app, enrolled, recorded, print_each=not as_json)
    else:
        run_requested_passes(
            app,
            recorded,
            report,
            renew=set(recorded) if new else (),
            consent=Consent(replace_text=consents, force=force),
            print_each=not as_json,
        )
    if as_json:
        write_json_list(
            json_shapes.envelope(), "domains", domains_json(app.store, wanted, report.errors, app.clock())
        )
    # With --no-wait, recording is all that was asked.
    return Exit.OK if no_wait and not report.errors else report.exit_code


def _lines(file: BinaryIO) -> list[tuple[str, str]]:
    """Return the place (file and line) and the text of each name in `file`."""
    shown = clean(file.name)
    content = file.read(_LARGEST_LIST + 1)
    if len(content) > _LARGEST_LIST:
        # The file is never cut: nobody would notice the domains left out.
        raise BadInput(f"{shown} is larger than {_LARGEST_LIST} bytes")
    try:
        lines = decode_text(content).split("\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown} is not text in UTF-8 or UTF-16") from error
    return [
        (f"{shown}, line {number}", text)
        for number, line in enumerate(lines, 1)
        if (text := line.partition("#")[0].strip())
    ]


def _normalise(given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the normalised names of the (place, text) pairs `given`.

    Raise `BadInput` for the first unusable name; its hint lists the others, so that a long list can be corrected at once.
    """
    seen: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for place, text in given:
        try:
            name = names.normalise(text)
        except BadInput as error:
            problems.append((place, error.message))
            continue
        if name in seen:
            earlier = f", first in {seen[name]}" if seen[name] else ""
            problems.append((place, f'"{clean(text, 100)}" is given twice{earlier}'))
        seen.setdefault(name, place)
    if problems:
        (place, message), *others = problems
        raise BadInput(f"{place}: {message}" if place else message, hint=_other_problems(others))
    return tuple(seen)


def _other_problems(problems: list[tuple[str, str]]) -> str | None:
    if not problems:
        return None
    shown = "; ".join(place or message for place, message in problems[:_MOST_SHOWN])
    more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
    return f"nothing was recorded; also unusable: {shown}{more}"


def _check_usage(wanted: tuple[str, ...], extra: tuple[str, ...], *, has_pair: bool, profile: str) -> None:
    if len(wanted) > 1 and (extra or has_pair):
        raise click.UsageError("--san, --cert and --pkcs12 apply to one domain; name only one")
    if set(extra) & set(wanted):
        raise BadInput(f"{wanted[0]} is the domain itself; --san adds other names")
    if extra and not has_pair:
        names.require_few((*wanted, *extra), profile)


def _check_options(
    *, new: bool, force: bool, no_wait: bool, has_pair: bool, no_san: bool, extra: tuple[str, ...]
) -> None:
    if new and (has_pair or no_wait):
        raise click.UsageError(
            "--new orders from the CA at once; it cannot be combined with --cert, --pkcs12 or --no-wait"
        )
    if force and no_wait:
        raise click.UsageError("--force concerns what is installed now; it cannot be combined with --no-wait")
    if no_san and extra:
        raise click.UsageError("--no-san and --san exclude each other")


def _record(
    app: App,
    name: str,
    sans: tuple[str, ...] | None,
    pasted: Pasted | None,
    *,
    new: bool,
    requeue: bool,
    consents: bool,
) -> Enrolled:
    """Record one domain. Raise `Busy` if another command works on it, `BadInput` if it is adopted and nobody consents."""
    if pasted is not None:
        enrolment.paste(app.store, name, sans, pasted.bundle, app.clock())
        print_notes(name, pasted.notes)
    else:
        domain = enrolment.enrol(app.store, name, sans, app.clock(), new=new, consents=consents)
        if requeue:
            enrolment.queue(app.store, domain, app.clock())
    return Enrolled(1, 0, {})


def _report_refused(app: App, enrolled: Enrolled, report: Report) -> None:
    for name, error in enrolled.refused.items():
        print_error(name, error)
        report.add(Outcome(name, error=error), app.clock())


def _print_recorded(app: App, enrolled: Enrolled, recorded: Sequence[str], *, print_each: bool) -> None:
    """Print each recorded domain with `print_each`, or a summary of a long list."""
    if not print_each:
        return
    if len(recorded) <= _MOST_PRINTED:
        for domain in app.store.domains_named(recorded):
            write_outcome(domain, app.clock())
    else:
        write_line(
            f"Recorded {enrolled.added} domains; {enrolled.already_managed} were managed already. The next ticks order their certificates."
        )
