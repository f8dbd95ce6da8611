"""`sslctl adopt`."""

from __future__ import annotations

from datetime import datetime

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json, print_error, print_not_done, write_outcome
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import NOT_DONE, Phrase, print_done
from sslctl.errors import Exit, SslctlError, StateBusy
from sslctl.fleet import enrolment
from sslctl.fleet.enrolment import Adoption
from sslctl.rules import names
from sslctl.rules.installed import describe_installed
from sslctl.rules.model import Domain
from sslctl.wording import C4

_ADOPTED = Phrase("is adopted", "are adopted")
_OURS = Phrase("has sslctl's own certificate", "have sslctl's own certificate")


@click.command("adopt")
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True, shell_complete=complete_name)
@json_option
@click.pass_obj
def command(app: App, *, domains: tuple[str, ...], as_json: bool) -> int:
    """Keep the certificates that others installed on C4.

    Each becomes its domain's text certificate: it is watched for its expiry, and never renewed or replaced. sslctl does not
    have its key. `sslctl add` replaces it by one from the CA. One that has expired is refused.
    """
    found = enrolment.require_managed(app.store, names.normalise_all(domains))
    errors: dict[str, Exception] = {}
    ours = 0
    for domain in found:
        try:
            adopted, adoption = enrolment.adopt(app.store, app.control_plane, domain.name, app.clock())
        except StateBusy:
            # Nothing more can be recorded, so nothing more is tried.
            print_not_done("adopted", [one.name for one in found[found.index(domain) :]])
            raise
        except SslctlError as error:
            if len(found) == 1:
                raise
            errors[domain.name] = error
            print_error(domain.name, error)
            continue
        if adoption is Adoption.OURS:
            ours += 1
            click.echo(f"{domain.name}: {C4} has sslctl's own certificate; nothing was changed", err=True)
        if not as_json:
            _write(adopted, adoption, app.clock())
    if as_json:
        rows = domains_json(app.store, [domain.name for domain in found], errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", rows)
    else:
        print_done(
            len(found) - len(errors) - ours, len(found), _ADOPTED, [(ours, _OURS), (len(errors), NOT_DONE)]
        )
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _write(domain: Domain, adoption: Adoption, now: datetime) -> None:
    """Write which certificate was adopted, and the status of `domain`."""
    if adoption is not Adoption.OURS and domain.foreign is not None:
        already = "" if adoption is Adoption.ADOPTED else "had already "
        write_line(f"{domain.name}: {already}adopted {describe_installed(domain.foreign)}")
    write_outcome(domain, now)
