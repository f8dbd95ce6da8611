"""`sslctl add`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from sslctl.app import App
from sslctl.cli.add_plan import write_plan
from sslctl.cli.choice_options import choice_options
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import NameList, from_file_option, print_some, read_names
from sslctl.cli.options import force_option, json_option
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.outcomes import domains_json, print_error, write_outcome
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import Phrase, print_done, write_end
from sslctl.cli.pasted_files import PastedFiles, print_notes
from sslctl.cli.run_batch import run_requested_passes
from sslctl.cli.wait import require_repeatable, wait_option
from sslctl.errors import BadInput, Exit, SslctlError
from sslctl.fleet import choices, cutover, enrolment, maintenance, remarks
from sslctl.fleet.enrolment import Enrolled
from sslctl.issuance.consent import Consent
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.report import Report
from sslctl.rules import names
from sslctl.rules.certificate_choice import CertificateChange
from sslctl.rules.model import Source
from sslctl.rules.remarks import read_customer
from sslctl.store.interface.domains import Domains

if TYPE_CHECKING:
    from sslctl.certificates.pasted import Pasted

_RECORDED = Phrase("was recorded", "were recorded")
_MANAGED = Phrase("was managed already", "were managed already")
_REFUSED = Phrase("was refused", "were refused")
_MOST_PRINTED = 100
_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@from_file_option
@click.option(
    "--san", "sans", multiple=True, metavar="NAME", help="Another name for the certificate; may be repeated."
)
@click.option(
    "--customer",
    metavar="NAME",
    help="Whose domains they are, whatever C4 names. Empty removes it.",
)
@choice_options
@click.option(
    "--before-cutover/--no-before-cutover",
    "before_cutover",
    default=None,
    help="Get the certificate while DNS still points at the customer's old host, which must redirect the CA's challenges to the CDN.",
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
@wait_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only print what would be recorded: what is new, managed already, or refused and why.",
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
    customer: str | None,
    change: CertificateChange,
    before_cutover: bool | None,
    no_san: bool,
    cert: Path | None,
    key: Path | None,
    chain: Path | None,
    pkcs12: Path | None,
    password_file: Path | None,
    no_wait: bool,
    length: timedelta | None,
    dry_run: bool,
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

    With --wait, what fails for now is repeated at its retry time. The wait ends early if all domains are in Success, if only a person can
    help, or if the next try is after its end; the exit code is that of the end.

    With --before-cutover DNS may point elsewhere until the domain is switched to the CDN. The old host must redirect the paths below
    /.well-known/acme-challenge/ to the CDN, or pass them on. `check` says when it is safe to switch DNS. It ends by itself when the domain
    points at the CDN, or with --no-before-cutover.

    In a list, the first name on a line is the domain; the names after it, separated by blanks, commas or semicolons, are the
    other names of its certificate, like --san. A CSV file has a header with the column domain and, if wanted, sans and customer;
    other columns are ignored. If one line cannot be used, nothing is recorded.
    """
    listed = read_names(domains, from_file)
    wanted = listed.domains
    extra = names.normalise_all(sans)
    files = PastedFiles(cert, key, chain, pkcs12, password_file)
    files.check_usage()
    if files.exist and not change.is_empty:
        raise click.UsageError("--key-type, --profile and --preferred-chain are for certificates from the CA")
    _check_usage(listed, extra, has_pair=files.exist, profile=change.profile or app.config.acme.profile)
    require_repeatable(length, no_wait=no_wait, dry_run=dry_run, new=new)
    _check_options(new=new, force=force, no_wait=no_wait, has_pair=files.exist, dry_run=dry_run)
    _check_cutover(before_cutover=before_cutover, has_pair=files.exist, dry_run=dry_run)
    _check_sans(listed, extra, no_san=no_san)
    customers = _customers(listed, customer)
    sans_of = {wanted[0]: extra} if extra else listed.sans
    # A long list is not read name by name, and a certificate that is gone cannot be restored.
    consents = not no_wait and from_file is None
    if dry_run:
        app.only_reads = True
        store = app.store if app.has_state() else None
        if store is not None:
            _note_domains_of_their_own(store, sans_of)
        planned = enrolment.plan_enrolment(
            store, wanted, sans_of=sans_of, customers=customers, drop_sans=no_san, new=new, consents=consents
        )
        return write_plan(planned, as_json=as_json)

    if not no_wait:
        # Certbot is imported meanwhile: it takes as long as everything up to the order.
        app.require_outside(expect_orders=not files.exist)
    pasted = files.read(app, (*wanted, *sans_of.get(wanted[0], ()))) if files.exist else None
    if app.make_state():
        print_created(app)
    if new:
        maintenance.require_none(app.store, app.clock())
    was_renewed = pasted is not None and _is_renewed(app, wanted[0])
    if len(wanted) == 1:
        sans_wanted = () if no_san else sans_of.get(wanted[0])
        enrolled = _record(app, wanted[0], sans_wanted, pasted, new=new, requeue=no_wait, consents=consents)
    else:
        enrolled = enrolment.enrol_many(
            app.store,
            wanted,
            app.clock(),
            sans_of=sans_of,
            drop_sans=no_san,
            new=new,
            requeue=no_wait,
            consents=consents,
        )
    _note_domains_of_their_own(app.store, sans_of)
    if was_renewed:
        click.echo(
            f"sslctl: {wanted[0]} has a text certificate from now on, which sslctl does not renew; `sslctl add {wanted[0]}`"
            " gets one from the CA again",
            err=True,
        )
    enrolled = _record_customers(app, customers, enrolled)
    enrolled = _record_choice(app, wanted, change, enrolled)
    recorded = [name for name in wanted if name not in enrolled.refused]
    cutover.record(app.store, recorded, is_before=before_cutover)
    report = Report(list(wanted), batch=len(wanted) > 1 or from_file is not None)
    _report_refused(app, enrolled, report)
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
            wait=length,
        )
    _write_end(app, wanted, report, no_wait=no_wait, as_json=as_json)
    # With --no-wait, recording is all that was asked.
    return Exit.OK if no_wait and not report.errors else report.exit_code


def _write_end(app: App, wanted: Sequence[str], report: Report, *, no_wait: bool, as_json: bool) -> None:
    """Write the JSON, or how the passes ended."""
    if as_json:
        write_json_list(
            json_shapes.envelope(), "domains", domains_json(app.store, wanted, report.errors, app.clock())
        )
    elif not no_wait:
        write_end(app, wanted, report.errors)


def _is_renewed(app: App, name: str) -> bool:
    """Return whether `name` is a managed domain whose certificate is renewed."""
    known = app.store.find(name)
    return known is not None and known.deleted_at is None and known.source is Source.C4


def _check_usage(listed: NameList, extra: tuple[str, ...], *, has_pair: bool, profile: str) -> None:
    if len(listed.domains) > 1 and (extra or has_pair):
        raise click.UsageError("--san, --cert and --pkcs12 apply to one domain; name only one")
    if set(extra) & set(listed.domains):
        raise BadInput(f"{listed.domains[0]} is the domain itself; --san adds other names")
    if not has_pair:
        for name in listed.domains if extra or listed.sans else ():
            names.require_few((name, *extra, *listed.sans.get(name, ())), profile)


def _check_sans(listed: NameList, extra: tuple[str, ...], *, no_san: bool) -> None:
    if no_san and extra:
        raise click.UsageError("--no-san and --san exclude each other")
    if listed.sans and (no_san or extra):
        raise click.UsageError("the list has other names; it cannot be combined with --san or --no-san")


def _customers(listed: NameList, customer: str | None) -> Mapping[str, str]:
    """Return the customer to record for each domain that gets one; an empty one removes what was recorded."""
    if customer is None:
        return listed.customers
    if listed.customers:
        raise click.UsageError("the list has customers; it cannot be combined with --customer")
    return dict.fromkeys(listed.domains, read_customer(customer))


def _check_options(*, new: bool, force: bool, no_wait: bool, has_pair: bool, dry_run: bool) -> None:
    if new and (has_pair or no_wait):
        raise click.UsageError(
            "--new orders from the CA at once; it cannot be combined with --cert, --pkcs12 or --no-wait"
        )
    if force and no_wait:
        raise click.UsageError("--force concerns what is installed now; it cannot be combined with --no-wait")
    if dry_run and has_pair:
        raise click.UsageError(
            "--dry-run does not check certificates; it cannot be combined with --cert or --pkcs12"
        )


def _check_cutover(*, before_cutover: bool | None, has_pair: bool, dry_run: bool) -> None:
    if before_cutover and has_pair:
        raise click.UsageError(
            "--before-cutover concerns certificates of the CA; it cannot be combined with --cert or --pkcs12"
        )
    if before_cutover is not None and dry_run:
        raise click.UsageError("--dry-run does not show the cutover; leave one of the two options out")


def _note_domains_of_their_own(store: Domains, sans_of: Mapping[str, tuple[str, ...]]) -> None:
    """Print which of the other names in `sans_of` are managed domains too."""
    extra = dict.fromkeys(name for sans in sans_of.values() for name in sans)
    notes = [
        f"{other.name} is also a domain of its own here, with its own certificate"
        for other in store.domains_named(list(extra))
        if other.deleted_at is None
    ]
    print_some(notes)


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


def _record_customers(app: App, customers: Mapping[str, str], enrolled: Enrolled) -> Enrolled:
    """Record the customers of the domains that are not refused; return `enrolled` with the domains that this refuses."""
    accepted = {name: one for name, one in customers.items() if name not in enrolled.refused}
    refused: dict[str, SslctlError] = remarks.record_customers(app.store, accepted)
    return replace(enrolled, refused={**enrolled.refused, **refused})


def _record_choice(
    app: App, wanted: Sequence[str], change: CertificateChange, enrolled: Enrolled
) -> Enrolled:
    """Record the choice for the domains that are not refused; return `enrolled` with the domains that this refuses."""
    if change.is_empty:
        return enrolled
    accepted = [name for name in wanted if name not in enrolled.refused]
    domains = list(app.store.domains_named(accepted))
    refused = choices.record(app.store, domains, change, configured_profile=app.config.acme.profile)
    return replace(enrolled, refused={**enrolled.refused, **refused})


def _report_refused(app: App, enrolled: Enrolled, report: Report) -> None:
    for name, error in enrolled.refused.items():
        print_error(name, error)
        report.add(Outcome(name, error=error), app.clock())


def _print_recorded(app: App, enrolled: Enrolled, recorded: Sequence[str], *, print_each: bool) -> None:
    """Print each recorded domain of a short list, and a summary; nothing without `print_each`."""
    if not print_each:
        return
    if len(recorded) <= _MOST_PRINTED:
        for domain in app.store.domains_named(recorded):
            write_outcome(domain, app.clock())
    else:
        write_line("The next ticks order the certificates.")
    others = (enrolled.already_managed, _MANAGED), (len(enrolled.refused), _REFUSED)
    print_done(enrolled.added, sum(number for number, _ in others) + enrolled.added, _RECORDED, others)
