"""`sslctl recheck`."""

from __future__ import annotations

import click

from sslctl import batch, management, names
from sslctl.cli import render, wire
from sslctl.cli.app import App
from sslctl.cli.options import json_option
from sslctl.cli.passes import exit_code, outcomes_json, run_passes
from sslctl.errors import BadInput
from sslctl.model import Source


@click.command("recheck")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--force-renew", is_flag=True, help="Order a new certificate even when none is due; name the domains."
)
@json_option
@click.pass_obj
def command(app: App, *, domains: tuple[str, ...], force_renew: bool, as_json: bool) -> int:
    """Check domains now.

    Without names: all of source c4 that are in Failure, Pending or Expired, as every midnight in Singapore.
    """
    found = management.managed(app.store, names.normalise_all(domains))
    if force_renew:
        if not found:
            raise click.UsageError("--force-renew spends an order for each domain, so name them")
        for domain in found:
            if domain.source is Source.TEXT:
                raise BadInput(
                    f"the certificate of {domain.name} was added by text",
                    hint=f"`sslctl add {domain.name}` gets one from the CA in its place",
                )
    if not domains:
        found = batch.rechecked(app.store, app.clock())
    outcomes = run_passes(app, found, renew=force_renew, tell=not as_json) if found else []
    if as_json:
        render.json_object(wire.envelope(domains=outcomes_json(outcomes, app.clock())))
    elif not found:
        click.echo("Nothing to recheck: no domain of source c4 is in Failure, Pending or Expired.", err=True)
    return exit_code(outcomes, app.clock(), batch=len(domains) != 1)
