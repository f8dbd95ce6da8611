"""`sslctl recheck`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.confirmation import confirm
from sslctl.cli.name_lists import from_file_option, read_managed
from sslctl.cli.options import (
    NAMES_OR_FILTERS,
    AnyCase,
    filter_options_of_change,
    force_option,
    json_option,
    match_option,
)
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json, print_error, write_outcome
from sslctl.cli.output.phrases import coloured, domain_or_domains, reason_codes
from sslctl.cli.output.selection import Counts, describe_no_match
from sslctl.cli.output.stdout import write_json_list, write_lines
from sslctl.cli.output.summary import write_end
from sslctl.cli.run_batch import run_passes, run_requested_passes
from sslctl.cli.wait import require_repeatable, wait_option
from sslctl.control_plane import ControlPlaneError, UnknownDomain
from sslctl.errors import BadInput, Busy, Exit, TryLater
from sslctl.fleet import maintenance
from sslctl.fleet.planning import domains_to_recheck
from sslctl.issuance import suspicions
from sslctl.issuance.consent import Consent
from sslctl.issuance.report import Report
from sslctl.rules.model import Domain, Source
from sslctl.rules.name_pattern import NamePattern
from sslctl.rules.pass_result import CHECKED_AGAIN, SUSPECTED
from sslctl.rules.reasons import FINDINGS, REASONS, Code
from sslctl.rules.status import derive_status
from sslctl.rules.versions import is_adopted
from sslctl.store.interface.domains import EVERYTHING, Query
from sslctl.text import clean
from sslctl.wording import C4

_MOST_UNCONFIRMED = 50


@click.command("recheck")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@from_file_option
@match_option
@filter_options_of_change
@wait_option
@click.option("--dry-run", is_flag=True, help="Only list the domains that would be checked.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation if filters select more than 50.")
@click.option(
    "--force-renew",
    is_flag=True,
    help="Order new certificates even if none is due; needs the domains' names.",
)
@force_option
@click.option(
    "--replace-text",
    is_flag=True,
    help="Replace the text certificates that C4 has now; needs the domains' names.",
)
@click.option(
    "--accept",
    type=AnyCase(code.value for code in SUSPECTED),
    metavar="CODE",
    help="Believe an answer that was too bad to be believed: conclude the suspicions of this code, one of "
    f"{', '.join(SUSPECTED)}.",
)
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: BinaryIO | None,
    pattern: NamePattern | None,
    filters: Query,
    length: timedelta | None,
    dry_run: bool,
    yes: bool,
    force_renew: bool,
    force: bool,
    replace_text: bool,
    accept: str | None,
    as_json: bool,
) -> int:
    """Check domains now, and order or upload what is due.

    Without names and filters: all domains of source c4 in Failure, Pending or Expired, as at every midnight in Singapore. With
    filters: every domain that `sslctl list` shows with the same ones, after a confirmation if these are more than 50 and
    there is a terminal. With names or filters, ports, DNS and CAA are checked even if no order is due: what would prevent the
    renewal is a warning until then.

    With --wait, what fails for now is repeated at its retry time. The wait ends early if all domains are in Success, if only a person can
    help, or if the next try is after its end; the exit code is that of the end.
    """
    require_repeatable(length, dry_run=dry_run, force_renew=force_renew, accept=accept is not None)
    query = replace(filters, pattern=pattern)
    is_filtered = query != EVERYTHING
    _require_names_or_filters(domains, from_file, is_filtered=is_filtered)
    found = read_managed(app.store, domains, from_file, required=False)
    _check_named(force=force, replace_text=replace_text, named=bool(found), listed=from_file is not None)
    is_batch = len(domains) != 1 or from_file is not None
    if accept is not None:
        if force_renew or force or replace_text or dry_run or is_filtered:
            raise click.UsageError("--accept orders nothing; it cannot be combined with other options")
        named = [domain.name for domain in found]
        return _accept(app, Code(accept), named, batch=is_batch, as_json=as_json)
    if force_renew:
        _require_renewable(found)
        maintenance.require_none(app.store, app.clock())
    if replace_text:
        _require_replaceable(found)
    checked = _choose(app, found, query, ask=not (yes or dry_run))
    if dry_run:
        return _write_plan(app, checked, as_json=as_json)
    report = Report(checked, batch=is_batch, renewing=force_renew)
    if checked:
        run_requested_passes(
            app,
            checked,
            report,
            renew=checked if force_renew else (),
            consent=Consent(force=force, replace_text=replace_text),
            check_dns=bool(found) or is_filtered,
            print_each=not as_json,
            wait=length,
        )
        if force_renew:
            _print_not_renewed(app, checked)
    if as_json:
        found_json = domains_json(app.store, checked, report.errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", found_json)
    else:
        _write_end(app, checked, report, is_filtered=is_filtered)
    return report.exit_code


def _write_end(app: App, checked: Sequence[str], report: Report, *, is_filtered: bool) -> None:
    """Write how the passes ended, or that there were none."""
    if checked:
        write_end(app, checked, report.errors)
    elif not is_filtered:
        click.echo("Nothing to recheck: no domain of source c4 is in Failure, Pending or Expired.", err=True)


def _require_names_or_filters(given: Sequence[str], file: BinaryIO | None, *, is_filtered: bool) -> None:
    """Raise `UsageError` if both names and filters are given, or if one of the names `given` is a pattern."""
    if is_filtered and (given or file is not None):
        raise click.UsageError(NAMES_OR_FILTERS)
    for text in given:
        if not {"*", "?", "["}.isdisjoint(text) and "://" not in text:
            shown = clean(text, 100)
            raise click.UsageError(
                f"'{shown}' is a pattern and no name; `sslctl recheck --match '{shown}'` checks the domains that match"
            )


def _choose(app: App, named: Sequence[Domain], query: Query, *, ask: bool) -> list[str]:
    """Return the names of the domains to check: those `named`, those that match `query`, or those of the daily recheck.

    End the command if many match, and a person who is asked on a terminal declines.
    """
    now = app.clock()
    if query == EVERYTHING:
        return [domain.name for domain in named] or domains_to_recheck(app.store, now)
    matching = [domain.name for domain in app.store.listing(query, now).domains]
    if not matching:
        click.echo(describe_no_match(app.store, query), err=True)
        return []
    counts = Counts(app.store.count_by_status(now, query), app.store.count_managed(), len(matching))
    click.echo(f"sslctl: {counts.describe()}", err=True)
    must_ask = ask and len(matching) > _MOST_UNCONFIRMED and sys.stdin.isatty()
    if must_ask and not confirm(f"Recheck {len(matching):,} domains?"):
        click.echo("Nothing was rechecked.", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED)
    return matching


def _write_plan(app: App, names: Sequence[str], *, as_json: bool) -> int:
    """Write which domains would be checked, with their statuses, and return the exit code."""
    now = app.clock()
    planned = app.store.domains_named(names)
    if as_json:
        rows = (json_shapes.domain(domain, now) for domain in planned)
        write_json_list(json_shapes.envelope(dry_run=True), "would_recheck", rows)
    else:
        write_lines(_lines(planned, app))
        click.echo(
            f"sslctl: nothing was checked; {len(names):,} {domain_or_domains(len(names))} would be",
            err=True,
        )
    return Exit.OK


def _lines(domains: Iterator[Domain], app: App) -> Iterator[str]:
    for domain in domains:
        verdict = derive_status(domain, app.clock())
        yield f"{domain.name}: {coloured(verdict.status)} {reason_codes(verdict)}".rstrip()


def _check_named(*, force: bool, replace_text: bool, named: bool, listed: bool) -> None:
    """Raise `UsageError` if an option needs domains that are `named`, or none that are `listed` in a file."""
    if (force or replace_text) and not named:
        raise click.UsageError("--force and --replace-text change what is served; name the domains")
    if replace_text and listed:
        # A list is not read name by name, as in `add`.
        raise click.UsageError(
            "--replace-text is your consent for domains on the command line; it cannot be combined with --from-file"
        )


def _print_not_renewed(app: App, names: Sequence[str]) -> None:
    """Print for which of the domains `names` no certificate was ordered, although what they serve is well."""
    for domain in app.store.domains_named(names):
        if domain.finding is None and domain.caution is not None and domain.caution.code in FINDINGS:
            reason = REASONS[domain.caution.code].explain(domain.caution.found, domain.caution.wanted)
            click.echo(f"sslctl: {domain.name}: no certificate was ordered: {reason}", err=True)


def _require_renewable(domains: list[Domain]) -> None:
    """Raise an error unless there are domains, and the certificate of each is from the CA."""
    if not domains:
        raise click.UsageError("--force-renew places an order for each domain; name the domains")
    for domain in domains:
        if domain.source is Source.TEXT:
            raise BadInput(
                f"the certificate of {domain.name} was added by text",
                hint=f"`sslctl add {domain.name}` replaces it with one from the CA",
            )


def _require_replaceable(domains: list[Domain]) -> None:
    """Raise an error if the certificate of one of `domains` was adopted: sslctl has none to install in its place."""
    for domain in domains:
        if is_adopted(domain):
            raise BadInput(
                f"the certificate of {domain.name} was kept with `sslctl adopt`, and sslctl has no other for it",
                hint=f"`sslctl add {domain.name}` replaces it with one from the CA",
            )


def _accept(app: App, code: Code, named: list[str], *, batch: bool, as_json: bool) -> int:
    """Conclude the suspicions of `code`: those of all domains, or of those that are `named`. Return the exit code."""
    suspected = {
        domain.name: domain
        for domain in app.store.suspected(None)
        if domain.suspicion is not None and domain.suspicion.code is code
    }
    checked = [name for name in named or suspected if name in suspected]
    report = Report(checked, batch=batch)
    if checked and code in CHECKED_AGAIN:
        # What C4 has now is read and recorded by a pass, which uploads what is missing.
        consent = Consent(believe=frozenset({code}))
        run_passes(app, checked, report, consent=consent, print_each=not as_json)
        exit_code = report.exit_code
    else:
        exit_code = _conclude(app, [suspected[name] for name in checked], report, print_each=not as_json)
    for name in named if checked else ():
        if name not in suspected:
            click.echo(f"{name}: not suspected of {code}; nothing was changed", err=True)
    if as_json:
        found_json = domains_json(app.store, checked, report.errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", found_json)
    elif not checked:
        click.echo(f"No domain is suspected of {code}.", err=True)
    return exit_code


def _require_no_better_answer(app: App, domain: Domain) -> None:
    """Raise `TryLater` if C4 is said not to know `domain`, and knows it by now or does not answer."""
    if domain.suspicion is None or domain.suspicion.code is not Code.C4_UNKNOWN_DOMAIN:
        return
    try:
        app.control_plane.domain(domain.name)
    except UnknownDomain:
        return
    except ControlPlaneError as error:
        raise TryLater(f"{C4} gave no usable answer about the domain: {error}") from error
    raise TryLater(f"{C4} knows this domain again; the next tick ends the suspicion")


def _conclude(app: App, domains: list[Domain], report: Report, *, print_each: bool) -> int:
    """Conclude the suspicions of `domains`, and print each. Return 0 if all are concluded, whatever their status is then."""
    for domain in domains:
        try:
            _require_no_better_answer(app, domain)
            concluded = suspicions.accept(app.store, domain, app.renewal, app.clock())
        except (Busy, TryLater) as error:
            report.errors[domain.name] = error
            print_error(domain.name, error)
            continue
        if print_each:
            write_outcome(concluded, app.clock())
    if not report.errors:
        return Exit.OK
    return Exit.TRY_LATER if len(domains) == 1 else Exit.SOME_NOT_WELL
