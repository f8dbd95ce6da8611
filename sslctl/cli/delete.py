"""`sslctl delete`."""

from __future__ import annotations

import sys

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.errors import Exit, SslctlError, StateBusy
from sslctl.fleet import enrolment
from sslctl.rules import names
from sslctl.rules.model import Domain

_MOST_SHOWN = 5


@click.command("delete")
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--keep-on-c4", is_flag=True, help="Leave the certificates on C4.")
@click.option("--revoke", is_flag=True, help="Revoke the certificates at the CA.")
@json_option
@click.pass_obj
def command(
    app: App, *, domains: tuple[str, ...], yes: bool, keep_on_c4: bool, revoke: bool, as_json: bool
) -> int:
    """Stop managing domains, and remove their certificates from the edge.

    The history is kept (`list --deleted`). If a domain is added again while its certificate is valid, that certificate is
    installed again.
    """
    found = enrolment.require_managed(app.store, names.normalise_all(domains))
    if not (yes or _confirm(found, keep_on_c4=keep_on_c4, revoke=revoke)):
        click.echo("Nothing was deleted.", err=True)
        return Exit.INTERRUPTED
    control_plane = None if keep_on_c4 else app.control_plane
    errors: dict[str, Exception] = {}
    for domain in found:
        try:
            gone = enrolment.remove(
                app.store, control_plane, app.issuer, domain.name, app.clock(), revoke=revoke
            )
        except SslctlError as error:
            if len(found) == 1 or isinstance(error, StateBusy):
                raise
            errors[domain.name] = error
            click.echo(f"sslctl: error: {error.message}", err=True)
            continue
        if not as_json:
            write_line(f"{gone.name}: deleted")
    if as_json:
        deleted = domains_json(app.store, [domain.name for domain in found], errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", deleted)
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _confirm(domains: list[Domain], *, keep_on_c4: bool, revoke: bool) -> bool:
    listed = ", ".join(domain.name for domain in domains[:_MOST_SHOWN])
    what = (
        listed
        if len(domains) == 1
        else f"{len(domains)} domains ({listed}{', …' if domains[_MOST_SHOWN:] else ''})"
    )
    consequence = "C4 keeps what it serves" if keep_on_c4 else "HTTPS stops working on the edge"
    if revoke:
        consequence += ", and the certificates in use are revoked for good"
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"there is no terminal to confirm the deletion of {what}; confirm it with --yes"
        )
    try:
        return click.confirm(f"Delete {what}? {consequence[0].upper()}{consequence[1:]}.", err=True)
    except click.Abort:
        click.echo(err=True)  # end the line of the prompt
        raise
