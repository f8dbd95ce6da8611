"""`sslctl delete`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json, print_not_done, print_removed
from sslctl.cli.output.phrases import describe_installed
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.errors import Exit, SslctlError, StateBusy
from sslctl.fleet import enrolment, removal
from sslctl.rules import names
from sslctl.rules.model import Domain, Installed

_MOST_SHOWN = 5


@click.command("delete")
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--keep-on-c4", is_flag=True, help="Leave the certificates on C4.")
@click.option("--force", is_flag=True, help="Remove certificates from C4 that sslctl did not install, too.")
@click.option("--revoke", is_flag=True, help="Revoke the certificates at the CA.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    yes: bool,
    keep_on_c4: bool,
    force: bool,
    revoke: bool,
    as_json: bool,
) -> int:
    """Stop managing domains, and remove their certificates from the edge.

    A certificate on C4 that sslctl did not install stays there, and the edge serves it as before.

    The history is kept (`list --deleted`). If a domain is added again while its certificate is valid, that certificate is
    installed again.
    """
    if force and keep_on_c4:
        raise click.UsageError("--force removes from C4 what --keep-on-c4 leaves there: give one of them")
    found = enrolment.require_managed(app.store, names.normalise_all(domains))
    control_plane = None if keep_on_c4 else app.control_plane
    # A person agrees to the removal of the certificates that the question names, and of no later ones.
    foreign = removal.find_foreign(app.store, app.control_plane, found) if force and not yes else {}
    if not (yes or _confirm(found, foreign, keep_on_c4=keep_on_c4, revoke=revoke)):
        click.echo("Nothing was deleted.", err=True)
        return Exit.INTERRUPTED
    agreed = {installed.fingerprint for installed in foreign.values()}

    def may_remove(installed: Installed) -> bool:
        return force and (yes or installed.fingerprint in agreed)

    removals: dict[str, removal.Removal] = {}
    errors: dict[str, Exception] = {}
    for domain in found:
        try:
            removed = removal.remove(
                app.store,
                control_plane,
                app.issuer,
                domain.name,
                app.clock(),
                revoke=revoke,
                may_remove=may_remove,
            )
        except StateBusy:
            # Nothing more can be recorded, so nothing more is tried.
            print_not_done("deleted", [one.name for one in found[found.index(domain) :]])
            raise
        except SslctlError as error:
            if len(found) == 1:
                raise
            errors[domain.name] = error
            click.echo(f"sslctl: error: {error.message}", err=True)
            continue
        removals[domain.name] = removed
        _report(domain.name, removed, write_each=not as_json)
    if as_json:
        rows = domains_json(app.store, [domain.name for domain in found], errors, app.clock())
        deleted = ({**row, "certificate_on_c4": _on_c4(removals, str(row["domain"]))} for row in rows)
        write_json_list(json_shapes.envelope(), "domains", deleted)
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _report(name: str, removed: removal.Removal, *, write_each: bool) -> None:
    """Report that `name` was deleted, and what became of a certificate on C4 that sslctl did not install."""
    if removed.removed_foreign is not None:
        print_removed(name, removed.removed_foreign)
    if not write_each:
        return
    write_line(f"{name}: deleted")
    if removed.foreign is not None:
        write_line(f"  C4 keeps {describe_installed(removed.foreign)}, which sslctl did not install")


def _on_c4(removals: Mapping[str, removal.Removal], name: str) -> str | None:
    """Return what became of the certificate on C4, None if the domain was not deleted."""
    return removals[name].on_c4 if name in removals else None


def _confirm(
    domains: list[Domain], foreign: Mapping[str, Installed], *, keep_on_c4: bool, revoke: bool
) -> bool:
    listed = ", ".join(domain.name for domain in domains[:_MOST_SHOWN])
    what = (
        listed
        if len(domains) == 1
        else f"{len(domains)} domains ({listed}{', …' if domains[_MOST_SHOWN:] else ''})"
    )
    consequence = "C4 keeps what it serves" if keep_on_c4 else "HTTPS stops working on the edge"
    for name, installed in foreign.items():
        click.echo(
            f"{name}: C4 has {describe_installed(installed)}, which sslctl did not install. It is removed, and sslctl has no copy.",
            err=True,
        )
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
