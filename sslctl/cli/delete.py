"""`sslctl delete`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.confirmation import confirm, require_terminal
from sslctl.cli.name_lists import from_file_option, read_managed
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json, print_not_done, print_removed
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import Phrase, print_done
from sslctl.control_plane import ControlPlane
from sslctl.errors import Exit, SslctlError, StateBusy
from sslctl.fleet import removal
from sslctl.rules.installed import describe_installed
from sslctl.rules.model import Domain, Installed
from sslctl.wording import C4

_MOST_SHOWN = 5
_DELETED = Phrase("was deleted", "were deleted")


@click.command("delete")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@from_file_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--keep-on-c4", is_flag=True, help="Leave the certificates on C4.")
@click.option(
    "--force",
    is_flag=True,
    help="Also remove certificates that sslctl did not install, and revoke one that C4 has no more.",
)
@click.option("--revoke", is_flag=True, help="Revoke the certificates at the CA.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    from_file: BinaryIO | None,
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
        raise click.UsageError("--force removes what --keep-on-c4 leaves: give one of them")
    found = read_managed(app.store, domains, from_file)
    control_plane = None if keep_on_c4 else _changeable_c4(app)
    agreed: set[str] = set()
    if not yes:
        require_terminal(f"the deletion of {_listed(found)}")
        # A person agrees to the removal of the certificates that the question names, and of no later ones.
        on_c4 = {} if keep_on_c4 else removal.find_installed(app.store, app.control_plane, found)
        if not _confirm(found, on_c4, force=force, revoke=revoke):
            click.echo("Nothing was deleted.", err=True)
            return Exit.INTERRUPTED
        agreed = {each.installed.fingerprint for each in on_c4.values() if each.installed is not None}

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
                force=force,
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
    else:
        print_done(len(removals), len(found), _DELETED)
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _changeable_c4(app: App) -> ControlPlane:
    """Return C4. Raise `TryLater` while changes there are paused, before anybody is asked."""
    removal.require_no_pause(app.store, app.clock(), "nothing was deleted")
    return app.control_plane


def _report(name: str, removed: removal.Removal, *, write_each: bool) -> None:
    """Report that `name` was deleted, and what became of a certificate on C4 that sslctl did not install."""
    if removed.removed_foreign is not None:
        print_removed(name, removed.removed_foreign)
    if removed.is_missing:
        click.echo(
            f"sslctl: {name}: {C4} has no certificate for it, although it had ours when it was last looked at",
            err=True,
        )
    if not write_each:
        return
    write_line(f"{name}: deleted")
    if removed.foreign is not None:
        write_line(f"  {C4:The} keeps {describe_installed(removed.foreign)}, which sslctl did not install")


def _on_c4(removals: Mapping[str, removal.Removal], name: str) -> str | None:
    """Return what became of the certificate on C4, None if the domain was not deleted."""
    return removals[name].on_c4 if name in removals else None


def _listed(domains: list[Domain]) -> str:
    listed = ", ".join(domain.name for domain in domains[:_MOST_SHOWN])
    if len(domains) == 1:
        return listed
    return f"{len(domains)} domains ({listed}{', …' if domains[_MOST_SHOWN:] else ''})"


def _confirm(domains: list[Domain], on_c4: Mapping[str, removal.Found], *, force: bool, revoke: bool) -> bool:
    """Ask whether to delete `domains`; `on_c4` is what C4 has for them, empty if it keeps that."""
    for name, found in on_c4.items():
        if found.installed is not None and not found.is_ours:
            certificate = (
                f"{name}: {C4} has {describe_installed(found.installed)}, which sslctl did not install."
            )
            click.echo(
                f"{certificate} It would be removed, and sslctl has no copy."
                if force
                else f"{certificate} {C4:The} would keep it.",
                err=True,
            )
    consequence = _describe_consequence(on_c4, force=force)
    if revoke:
        consequence += ", and the certificates in use would be revoked for good"
    return confirm(f"Delete {_listed(domains)}? {consequence}.")


def _describe_consequence(on_c4: Mapping[str, removal.Found], *, force: bool) -> str:
    """Return what the edge would serve after the deletion, in words; `on_c4` is empty if C4 keeps what it has."""
    if not on_c4:
        return f"{C4:The} would keep what it serves"
    stopped = sum(each.installed is not None and (each.is_ours or force) for each in on_c4.values())
    if stopped == len(on_c4):
        return "HTTPS would stop working on the edge"
    if stopped:
        return f"HTTPS would stop working on the edge for {stopped} of them"
    if any(each.installed is not None for each in on_c4.values()):
        return "The edge would serve what it serves now"
    return f"{C4:The} has no certificate to remove"
