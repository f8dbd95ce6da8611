"""`sslctl delete`."""

from __future__ import annotations

import sys

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.cli.output.outcomes import domains_json
from sslctl.errors import Exit, SslctlError
from sslctl.fleet import enrolment
from sslctl.rules import names
from sslctl.rules.model import Domain

_MOST_SHOWN = 5


@click.command("delete")
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--keep-on-c4", is_flag=True, help="Leave the certificate on C4.")
@click.option("--revoke", is_flag=True, help="Revoke the certificate at the CA.")
@json_option
@click.pass_obj
def command(
    app: App, *, domains: tuple[str, ...], yes: bool, keep_on_c4: bool, revoke: bool, as_json: bool
) -> int:
    """Take domains out of management, and their certificates off the edge.

    The history is kept (`list --deleted`), and adding a domain again puts its certificate back while that is valid.
    """
    found = enrolment.require_managed(app.store, names.normalise_all(domains))
    if not (yes or _ask(found, keep_on_c4=keep_on_c4, revoke=revoke)):
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
            if len(found) == 1:
                raise
            errors[domain.name] = error
            click.echo(f"sslctl: error: {error.message}", err=True)
            continue
        if not as_json:
            render.line(f"{gone.name}: deleted")
    if as_json:
        told = domains_json(app.store, [domain.name for domain in found], errors, app.clock())
        render.json_list(json_shapes.envelope(), "domains", told)
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _ask(domains: list[Domain], *, keep_on_c4: bool, revoke: bool) -> bool:
    listed = ", ".join(domain.name for domain in domains[:_MOST_SHOWN])
    what = (
        listed
        if len(domains) == 1
        else f"{len(domains)} domains ({listed}{', …' if domains[_MOST_SHOWN:] else ''})"
    )
    consequence = "what C4 serves stays" if keep_on_c4 else "HTTPS stops working on the edge"
    if revoke:
        consequence += ", and what is in use is revoked for good"
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"deleting {what} must be confirmed; there is no terminal to ask, so say --yes"
        )
    try:
        return click.confirm(f"Delete {what}? {consequence[0].upper()}{consequence[1:]}.", err=True)
    except click.Abort:
        click.echo(err=True)  # the prompt's line is not at its end
        raise
