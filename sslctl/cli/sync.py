"""`sslctl sync`."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import click

from sslctl.app import App
from sslctl.cli.add_plan import write_plan
from sslctl.cli.confirmation import confirm, require_terminal
from sslctl.cli.options import json_option, parse_pattern
from sslctl.cli.output import differences, json_shapes
from sslctl.cli.output.outcomes import domains_json, print_error
from sslctl.cli.output.stdout import write_json_list
from sslctl.cli.output.summary import NOT_DONE, Phrase, print_done
from sslctl.control_plane import Record
from sslctl.errors import Exit
from sslctl.fleet import enrolment, inventory
from sslctl.fleet.inventory import Comparison, Difference, Group
from sslctl.rules.name_pattern import NamePattern

_ADDED = Phrase("was added", "were added")
_MOST_UNASKED = 20
_MOST_SHOWN = 5


@click.command("sync")
@click.option(
    "--add-missing",
    is_flag=True,
    help="Add the domains in C4 that were never added here; the next ticks order the certificates.",
)
@click.option(
    "--match",
    "pattern",
    metavar="PATTERN",
    callback=parse_pattern,
    help="Of the domains that nobody manages only those whose name matches, as in `sslctl list PATTERN`.",
)
@click.option(
    "--customer",
    "customers",
    multiple=True,
    metavar="NAME",
    help="Of the domains that nobody manages only those for which C4 names this customer; may be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --add-missing: add at most so many domains, the first by name.",
)
@click.option("--yes", is_flag=True, help="With --add-missing: do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="With --add-missing: only print what would be added.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    add_missing: bool,
    pattern: NamePattern | None,
    customers: tuple[str, ...],
    limit: int | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Compare C4's list of domains with the domains that are managed here.

    Shows the domains in C4 that nobody manages, the managed domains that C4 does not have any more, and the certificates on C4
    that sslctl does not know. Nothing is changed: a tick decides about managed domains.

    --add-missing adds the domains that nobody manages. Nothing is ordered at once. More than 20 are added only after a
    confirmation. The certificate that C4 has for a domain stays until it is due, and a valid text certificate stays until
    `adopt` or `recheck --replace-text`. What a person deleted here is not added; `sslctl add DOMAIN` does that.

    If C4 cannot give all of its list, or the list is empty or lacks many managed domains, nothing is compared, and the exit
    code is 75.
    """
    _check_usage(add_missing=add_missing, limit=limit, yes=yes, dry_run=dry_run, customers=customers)
    app.only_reads = dry_run or not add_missing

    def accept(records: Sequence[Record]) -> set[str]:
        return {
            record.name
            for record in records
            if (pattern is None or pattern.matches([record.name]))
            and (not customers or record.customer in customers)
        }

    compared = inventory.compare(app.store, app.control_plane, app.suspicion_limit, accept=accept)
    if not add_missing:
        differences.write(compared, app.clock(), as_json=as_json)
        return Exit.TRY_LATER if compared.trouble else Exit.OK
    missing = sorted(compared.groups[Group.UNMANAGED].first)[:limit]
    if dry_run:
        return _write_plan(app, missing, as_json=as_json)
    if len(missing) > _MOST_UNASKED and not yes and not _confirm(missing):
        click.echo("Nothing was added.", err=True)
        return Exit.INTERRUPTED
    return _add(app, missing, compared, as_json=as_json)


def _check_usage(
    *, add_missing: bool, limit: int | None, yes: bool, dry_run: bool, customers: Sequence[str]
) -> None:
    if not add_missing and (limit is not None or yes or dry_run):
        raise click.UsageError("--limit, --yes and --dry-run go with --add-missing")
    if not all(customer.strip() for customer in customers):
        raise click.UsageError("--customer is empty; is a shell variable not set?")


def _write_plan(app: App, missing: Sequence[Difference], *, as_json: bool) -> int:
    planned = enrolment.plan_enrolment(
        app.store,
        [each.name for each in missing],
        sans_of=MappingProxyType({}),
        customers=MappingProxyType({}),
        drop_sans=False,
        new=False,
        consents=False,
    )
    return write_plan(planned, as_json=as_json)


def _confirm(missing: Sequence[Difference]) -> bool:
    """Ask whether to add `missing`. Raise `UsageError` if there is nobody to ask."""
    listed = ", ".join(each.name for each in missing[:_MOST_SHOWN])
    what = f"{len(missing):,} domains ({listed}, …)"
    require_terminal(f"that {what} are to be added")
    return confirm(f"Add {what}? The next ticks order a certificate for each, within the limits of the CA.")


def _add(app: App, missing: Sequence[Difference], compared: Comparison, *, as_json: bool) -> int:
    """Add `missing`, print the result, and return the exit code. A domain that is refused does not stop the others."""
    names = [each.name for each in missing]
    enrolled = enrolment.enrol_many(app.store, names, app.clock(), consents=False)
    app.store.record_customers(
        {each.name: each.customer for each in missing if each.customer and each.name not in enrolled.refused}
    )
    for name, error in enrolled.refused.items():
        print_error(name, error)
    if as_json:
        answer = json_shapes.envelope(**differences.numbers_json(compared))
        write_json_list(
            answer, "domains", domains_json(app.store, names, dict(enrolled.refused), app.clock())
        )
    else:
        differences.write_added(compared, enrolled.added)
        print_done(enrolled.added, len(names), _ADDED, [(len(enrolled.refused), NOT_DONE)])
    return Exit.SOME_NOT_WELL if enrolled.refused else Exit.OK
