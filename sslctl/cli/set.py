"""`sslctl set`."""

from __future__ import annotations

from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.choice_options import choice_options
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option, read_managed
from sslctl.cli.options import json_option
from sslctl.cli.remarks import report_changed
from sslctl.fleet import choices
from sslctl.rules.certificate_choice import CertificateChange
from sslctl.rules.model import Domain
from sslctl.rules.schedule import next_renewal
from sslctl.rules.singapore import format_sgt


@click.command("set")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@from_file_option
@choice_options
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: BinaryIO | None,
    change: CertificateChange,
    as_json: bool,
) -> int:
    """Choose key type, profile or chain of the certificates of domains.

    The choice counts from the next order on, and is kept over renewals until it is set again; `default` goes back to what the
    configuration says. The certificate in service stays until its renewal. `sslctl recheck --force-renew NAME` orders at once.
    """
    if change.is_empty:
        raise click.UsageError("nothing to set; give --key-type, --profile or --preferred-chain")
    managed = read_managed(app.store, domains, from_file)
    errors = choices.record(app.store, managed, change, configured_profile=app.config.acme.profile)

    def describe(domain: Domain) -> str:
        renewal = next_renewal(domain, app.clock(), app.renewal)
        used = f"; used at the next renewal, {format_sgt(renewal.at)}" if renewal and domain.serving else ""
        return f"{domain.choice.describe()}{used}"

    return report_changed(app, managed, errors, describe, as_json=as_json)
