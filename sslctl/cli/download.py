"""`sslctl download`."""

from __future__ import annotations

from pathlib import Path

import click

from sslctl.app import App
from sslctl.certificates import x509
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.files import check_absent, write_new
from sslctl.cli.output.phrases import describe_installed
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.cli.passwords import read_password
from sslctl.errors import NotManaged
from sslctl.rules import names
from sslctl.rules.model import Bundle, Certificate, Domain
from sslctl.rules.versions import is_adopted
from sslctl.text import clean


@click.command("download")
@click.argument("domain")
@click.option(
    "--version",
    "version",
    type=click.IntRange(min=1),
    metavar="N",
    help="The version to write; default: the current one.",
)
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="DIR",
    help="The folder to write into, created if it is missing; default: the current one.",
)  # fmt: skip
@click.option(
    "--format",
    "kind",
    type=click.Choice(["pem", "pkcs12"]),
    default="pem",
    show_default=True,
    help="PEM files, or one PKCS#12 file.",
)
@click.option(
    "--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="The file with the password of the PKCS#12 file; default: ask for it.",
)  # fmt: skip
@click.option("--reason", default="", metavar="TEXT", help="The reason, recorded in the history.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domain: str,
    version: int | None,
    folder: Path,
    kind: str,
    password_file: Path | None,
    reason: str,
    force: bool,
    as_json: bool,
) -> None:
    """Write a certificate and its key into files, mode 0600.

    PEM: cert.pem, chain.pem, fullchain.pem and privkey.pem. PKCS#12: DOMAIN.p12. The download is recorded in the history
    first, with the actor and the reason.
    """
    if password_file is not None and kind != "pkcs12":
        raise click.UsageError("--password-file goes with --format pkcs12")
    app.only_reads = True  # except for one event
    found = _find(app, names.normalise(domain))
    certificate = _choose(app, found, version)
    bundle = app.store.bundle(certificate)
    if not bundle.private_key:
        raise NotManaged(
            f"the private key of version {certificate.version} of {found.name} was destroyed after it was superseded",
            hint=f"`sslctl view {found.name}` shows when, and which versions still have their key",
        )
    files = (
        _pem_files(bundle)
        if kind == "pem"
        else {
            f"{found.name}.p12": x509.to_pkcs12(bundle, found.name, read_password(password_file, is_new=True))
        }
    )
    if not force:
        check_absent(folder, files)
    # The history comes first: an unrecorded download is worse than a record of one that failed.
    app.store.record_event(found, "key downloaded", _detail(kind, reason), certificate.version)
    written = write_new(folder, files, force=force)
    _note_what_is_served(found, certificate)
    if as_json:
        write_json(
            json_shapes.envelope(
                domain=found.name, version=certificate.version, files=[str(path) for path in written]
            )
        )
    else:
        for path in written:
            write_line(clean(path, 4096))


def _detail(kind: str, reason: str) -> str:
    cleaned = clean(reason)
    return f"{kind}: {cleaned}" if cleaned else kind


def _find(app: App, name: str) -> Domain:
    found = app.store.find(name)
    return app.store.domain(name) if found is None else found


def _choose(app: App, domain: Domain, version: int | None) -> Certificate:
    held = app.store.certificates(domain)
    if version is None:
        _require_ours(domain)
        current = domain.serving or domain.wanted or (held[0] if held else None)
        if current is None:
            raise NotManaged(
                f"{domain.name} has no certificate yet", hint=f"`sslctl view {domain.name}` shows why"
            )
        return current
    for certificate in held:
        if certificate.version == version:
            return certificate
    known = ", ".join(str(certificate.version) for certificate in reversed(held)) or "none"
    raise NotManaged(f"{domain.name} has no version {version}", hint=f"existing versions: {known}")


def _require_ours(domain: Domain) -> None:
    """Raise `NotManaged` if the certificate of `domain` was adopted."""
    if domain.deleted_at is None and domain.foreign is not None and is_adopted(domain):
        raise NotManaged(
            f"the certificate of {domain.name} was kept with `sslctl adopt`, so its key is not stored here",
            hint=f"`sslctl view {domain.name}` shows earlier versions; --version N writes one",
        )


def _note_what_is_served(domain: Domain, certificate: Certificate) -> None:
    """Print a note if `certificate` is not what the edge serves, as far as C4 was last seen."""
    if domain.deleted_at is not None:
        return
    if domain.foreign is not None:
        served = f"C4 has {describe_installed(domain.foreign)}, which sslctl did not install"
    elif domain.serving is None:
        served = "C4 was last seen without a certificate of this domain"
    elif domain.serving.fingerprint == certificate.fingerprint:
        return
    else:
        served = f"C4 has version {domain.serving.version}"
    click.echo(f"sslctl: {domain.name}: these files are not what the edge serves: {served}", err=True)


def _pem_files(bundle: Bundle) -> dict[str, bytes]:
    return {
        "cert.pem": bundle.certificate.encode(),
        "chain.pem": bundle.chain.encode(),
        "fullchain.pem": bundle.fullchain.encode(),
        "privkey.pem": bundle.private_key.encode(),
    }
