"""`sslctl claims`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_json_list, write_line
from sslctl.cli.output.table import table
from sslctl.errors import BadInput, NotManaged
from sslctl.rules import names
from sslctl.rules.claim_names import describe, describe_owner, domain_claim
from sslctl.rules.model import Claim, Milestone, Process
from sslctl.rules.singapore import format_sgt
from sslctl.text import clean

_HEADERS = ("CLAIM", "ABOUT", "HOST", "PID", "SINCE", "OWNER")


@click.group("claims", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the claims: which process works on which domain, runs the tick, or rotates the keys.

    An owner is alive, dead, or unknown if that cannot be found out. The claim of a dead owner is void: the next command that
    needs it takes it.
    """
    if context.invoked_subcommand is not None:
        return
    app: App = context.obj
    app.only_reads = True
    found = app.store.claims()
    broken = app.store.milestones().get(Milestone.CLAIM_BROKEN)
    if as_json:
        last = None if broken is None else json_shapes.mark(broken)
        write_json_list(json_shapes.envelope(last_broken=last), "claims", map(json_shapes.claim, found))
        return
    if found:
        write_line(table([_row(claim, claim.owner) for claim in found], _HEADERS))
    else:
        write_line(
            "There are no claims: no sslctl process works on a domain, runs a tick, or rotates the keys."
        )
    if broken is not None:
        write_line(
            f"The last claim that was broken: {broken.detail}; {format_sgt(broken.at)}, by {broken.actor}"
        )


def _row(claim: Claim, owner: Process) -> tuple[str, ...]:
    since = format_sgt(owner.since) if owner.since else "-"
    return (clean(claim.name), clean(describe(claim.name)), owner.host, str(owner.pid), since, claim.life)


@command.command("break", short_help="Delete a claim, so that other processes can take it.")
@click.argument("name")
@click.option("--force", is_flag=True, help="Break the claim even if its owner is alive.")
@json_option
@click.pass_obj
def break_(app: App, *, name: str, force: bool, as_json: bool) -> None:
    """Delete the claim NAME: a domain, `tick` or `keys rotate`.

    The claim of a process that is or may be alive is broken only with --force. Such a process stops before its next change
    at the CA, on C4 or in the state. `sslctl claims` shows the last claim that was broken, and by whom; for a domain it is also
    in the history.
    """
    broken = app.break_claim(_find(app, name), force=force)
    if broken is None:
        raise _missing(name)
    if as_json:
        write_json(json_shapes.envelope(claim=json_shapes.claim(broken)))
        return
    write_line(
        clean(
            f"Broke the claim on {describe(broken.name)}: held by {describe_owner(broken.owner)}, {broken.life}"
        )
    )


def _find(app: App, name: str) -> str:
    """Return the claim that a person means by `name`. Raise `NotManaged` if there is none."""
    known = [claim.name for claim in app.store.claims()]
    if name in known:
        return name
    try:
        claim = domain_claim(names.normalise(name))
    except BadInput:
        claim = name
    if claim not in known:
        raise _missing(name)
    return claim


def _missing(name: str) -> NotManaged:
    # No similar name: it would be that of another process, whose claim should stay.
    return NotManaged(f"there is no claim {clean(name)!r}", hint="`sslctl claims` lists the claims")
