"""`sslctl recheck`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import force_option, json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json
from sslctl.cli.output.stdout import write_json_list
from sslctl.cli.run_batch import run_requested_passes
from sslctl.errors import BadInput
from sslctl.fleet import enrolment
from sslctl.fleet.planning import domains_to_recheck
from sslctl.issuance.pipeline import Consent
from sslctl.issuance.report import Report
from sslctl.rules import names
from sslctl.rules.model import Source


@click.command("recheck")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--force-renew",
    is_flag=True,
    help="Order new certificates even if none is due; needs the domains' names.",
)
@force_option
@json_option
@click.pass_obj
def command(app: App, *, domains: tuple[str, ...], force_renew: bool, force: bool, as_json: bool) -> int:
    """Check domains now, and order or upload what is due.

    Without names: all domains of source c4 in Failure, Pending or Expired, as at every midnight in Singapore.
    """
    found = enrolment.require_managed(app.store, names.normalise_all(domains))
    if force and not found:
        raise click.UsageError("--force may make what is served worse; name the domains")
    if force_renew:
        if not found:
            raise click.UsageError("--force-renew places an order for each domain; name the domains")
        for domain in found:
            if domain.source is Source.TEXT:
                raise BadInput(
                    f"the certificate of {domain.name} was added by text",
                    hint=f"`sslctl add {domain.name}` replaces it with one from the CA",
                )
    checked = [domain.name for domain in found] if domains else domains_to_recheck(app.store, app.clock())
    report = Report(checked, batch=len(domains) != 1, renewing=force_renew)
    if checked:
        run_requested_passes(
            app,
            checked,
            report,
            renew=checked if force_renew else (),
            consent=Consent(force=force),
            print_each=not as_json,
        )
    if as_json:
        found_json = domains_json(app.store, checked, report.errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", found_json)
    elif not checked:
        click.echo("Nothing to recheck: no domain of source c4 is in Failure, Pending or Expired.", err=True)
    return report.exit_code
