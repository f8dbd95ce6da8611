"""`sslctl revoke`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.confirmation import confirm, require_terminal
from sslctl.cli.options import AnyCase, json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.run_batch import run_requested_passes
from sslctl.errors import Exit, SslctlError
from sslctl.fleet import maintenance, revocation
from sslctl.issuance.report import Report
from sslctl.issuer import IssueError
from sslctl.rules import names
from sslctl.rules.model import Certificate, Domain
from sslctl.rules.revocation import Revocation, RevocationReason


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of `certificate` of the domain `name`: `state` is one of the values in the JSON."""

    name: str
    certificate: Certificate
    state: str
    error: str = ""


@click.command("revoke")
@click.argument("domain", shell_complete=complete_name)
@click.option(
    "--reason",
    required=True,
    type=AnyCase(reason.value for reason in RevocationReason),
    help="Why: the key may be known to others, another certificate takes its place, or the site ends.",
)
@click.option("--replace", is_flag=True, help="Install a new certificate with a new key first.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_obj
def command(app: App, *, domain: str, reason: str, replace: bool, yes: bool, as_json: bool) -> int:
    """Revoke the certificate of a domain at the CA; the domain stays managed.

    Without --replace the edge serves the revoked certificate, which browsers may refuse, until the next tick has replaced it. With
    --replace a new one is installed first. If that fails, nothing is revoked yet, and the ticks go on; but for keyCompromise the
    old one is revoked all the same.

    A key that was compromised is never used again: every certificate with it that was issued here is revoked, and none is uploaded, accepted
    with `add --cert`, or downloaded. If the CA does not answer, the ticks try again.
    """
    name, why = names.normalise(domain), RevocationReason(reason)
    found, certificates = revocation.find_revocable(app.store, name)
    consequence = _describe_consequence(found, certificates, why, replace=replace)
    if not yes and not _confirm(name, certificates, why, consequence):
        click.echo("Nothing was revoked.", err=True)
        return Exit.INTERRUPTED
    if replace:
        app.require_outside()
    if replace and why is not RevocationReason.KEY_COMPROMISE:
        maintenance.require_none(app.store, app.clock())
    requested = revocation.request(app.store, name, why, replace=replace)
    exit_code = _replace(app, name, certificates, print_each=not as_json) if replace else Exit.OK
    results = [_carry_out(app, each) for each in requested.revocations]
    known = {one.certificate.id for one in results}
    revoked = [_Result(name, one, "revoked") for one in certificates if one.id not in known]
    texts = [_Result(holder, one, "added_by_text") for holder, one in requested.texts]
    everything = [*revoked, *results, *texts]
    _report(everything, why, as_json=as_json)
    if as_json:
        write_json_list(json_shapes.envelope(reason=why.value), "certificates", _json(app, everything, found))
    elif yes and not replace and consequence:
        click.echo(f"sslctl: {name}: {consequence}", err=True)
    is_open = any(one.state in ("failed", "waiting") for one in results)
    return exit_code or (Exit.TRY_LATER if is_open else Exit.OK)


def _describe_consequence(
    domain: Domain, certificates: Sequence[Certificate], reason: RevocationReason, *, replace: bool
) -> str:
    """Return what the revocation means for visitors, in words; empty if none of `certificates` is served."""
    if domain.serving is None or domain.serving.id not in {one.id for one in certificates}:
        return ""
    if not replace:
        return (
            "browsers may refuse the certificate that the edge serves until the next tick has replaced it; "
            "--replace installs a new one first"
        )
    if reason is RevocationReason.KEY_COMPROMISE:
        return (
            "a new certificate is installed first; if that fails, the old one is revoked all the same, "
            "and browsers may refuse it"
        )
    return "a new certificate is installed first; if that fails, nothing is revoked yet"


def _confirm(
    name: str, certificates: Sequence[Certificate], reason: RevocationReason, consequence: str
) -> bool:
    require_terminal(f"the revocation for {name}")
    versions = ", ".join(f"{one.version} (serial {one.leaf.serial})" for one in certificates)
    if consequence:
        click.echo(f"{consequence[0].upper()}{consequence[1:]}.", err=True)
    return confirm(f"Revoke version {versions} of {name} for {reason}? This cannot be undone.")


def _replace(app: App, name: str, certificates: Sequence[Certificate], *, print_each: bool) -> int:
    """Install a new certificate in place of `certificates`, unless an earlier command did so; return the exit code of the pass."""
    domain = app.store.domain(name)
    is_old = domain.wanted is None or domain.wanted.id in {one.id for one in certificates}
    report = Report([name], batch=False, renewing=True)
    run_requested_passes(app, [name], report, renew=[name] if is_old else (), print_each=print_each)
    return report.exit_code


def _carry_out(app: App, requested: Revocation) -> _Result:
    name, certificate = requested.name, requested.certificate
    try:
        is_revoked = revocation.carry_out(app.store, app.issuer, requested, app.clock())
    except IssueError as error:
        return _Result(name, certificate, "failed", error.found)
    except SslctlError as error:
        return _Result(name, certificate, "failed", error.message)
    return _Result(name, certificate, "revoked" if is_revoked else "waiting")


def _report(results: Sequence[_Result], reason: RevocationReason, *, as_json: bool) -> None:
    """Print what became of each certificate: what needs attention on standard error, the rest on standard output."""
    for one in results:
        version = f"{one.name}: version {one.certificate.version}"
        if one.state == "failed":
            click.echo(
                f"sslctl: error: {version} could not be revoked: {one.error}; the ticks try again, at most once an hour",
                err=True,
            )
        elif one.state == "waiting":
            click.echo(
                f"sslctl: {version} is not revoked yet: it waits for its replacement, and the next tick tries again",
                err=True,
            )
        elif one.state == "added_by_text":
            click.echo(
                f"sslctl: warning: {version} was added by text and has the same key: only its owner can revoke it; "
                f"`sslctl add {one.name}` replaces it",
                err=True,
            )
        elif not as_json:
            write_line(f"{version} is revoked ({reason})")


def _json(app: App, results: Sequence[_Result], domain: Domain) -> Iterator[dict[str, object]]:
    times = {one.id: one.revoked_at for one in app.store.certificates(domain)}
    for one in results:
        revoked_at = times.get(one.certificate.id) or (app.clock() if one.state == "revoked" else None)
        yield {
            "domain": one.name,
            "version": one.certificate.version,
            "serial": one.certificate.leaf.serial,
            "state": one.state,
            "revoked_at": json_shapes.instant(revoked_at),
        }
