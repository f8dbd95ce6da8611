"""`sslctl view`."""

from __future__ import annotations

from dataclasses import asdict

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.domain_view import write_domain
from sslctl.cli.output.shell import write_next
from sslctl.cli.output.stdout import write_json
from sslctl.rules import names, schedule
from sslctl.rules.model import Domain
from sslctl.rules.next_command import next_words_for


@click.command("view")
@click.argument("domain", shell_complete=complete_name)
@json_option
@click.pass_obj
def command(app: App, *, domain: str, as_json: bool) -> None:
    """Show everything about a domain: its status, every certificate version, and its history.

    Deleted domains can be viewed too. Another name of a certificate shows the domain that has it.
    """
    app.only_reads = True
    found = _find(app, names.normalise(domain))
    now = app.clock()
    maintenance = app.store.maintenance_pause(now)
    certificates, events = app.store.certificates(found), app.store.events(found)
    cut = app.store.history_cut()
    for certificate in certificates:
        app.store.require_unchanged(certificate)
    if as_json:
        view = json_shapes.domain(found, now)
        view["certificates"] = [
            json_shapes.certificate(certificate, found, now) for certificate in certificates
        ]
        view["events"] = [json_shapes.event(event) for event in events]
        view |= json_shapes.history_archived_until(cut)
        view["customer_recorded"] = found.remarks.customer or None
        view["choice"] = {key: value or None for key, value in asdict(found.choice).items()}
        view["before_cutover_since"] = json_shapes.instant(found.before_cutover_since)
        view["renewal"] = json_shapes.renewal(schedule.next_renewal(found, now, app.renewal))
        write_json(json_shapes.envelope(domain=view, maintenance=json_shapes.maintenance(maintenance)))
    else:
        warnings.print_maintenance(maintenance)
        write_domain(found, certificates, events, cut, now, app.renewal)
        write_next(next_words_for(found, now, app.renewal), gap=True)


def _find(app: App, name: str) -> Domain:
    """Return the domain `name`, or the one whose certificate has that name too. Raise `NotManaged`."""
    found = app.store.find(name)
    if found is not None and found.deleted_at is None:
        return found
    holder = app.store.holders([name]).get(name)
    if holder is None:
        return found or app.store.domain(name)
    click.echo(f"sslctl: {name} is another name of the certificate of {holder}", err=True)
    return app.store.domain(holder)
