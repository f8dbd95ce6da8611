"""`sslctl download`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.download_formats import FORMATS, LEGACY_WARNING, PKCS12, make_files, make_lines
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.files import check_absent, is_private, write_new
from sslctl.cli.output.phrases import describe_installed
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.cli.passwords import read_password
from sslctl.errors import NotManaged, StateError
from sslctl.rules import names
from sslctl.rules.model import Certificate, Domain
from sslctl.rules.versions import is_adopted
from sslctl.system.files import is_read_only
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
    type=click.Choice(FORMATS),
    default="pem",
    show_default=True,
    help="What to write; see above.",
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

    pem: cert.pem, chain.pem, fullchain.pem and privkey.pem. combined: DOMAIN.pem with key and full chain. pkcs12: DOMAIN.p12;
    pkcs12-legacy is for Windows Server 2016 and older, and weakly encrypted. nginx, apache, haproxy and caddy: the files that
    the server needs, and the lines for its configuration in place of the paths.

    The download is recorded in the history first, with the actor and the reason. If the disk of the state is read-only, it
    goes on without a record, and prints that on standard error.
    """
    if password_file is not None and kind not in PKCS12:
        raise click.UsageError("--password-file goes with --format pkcs12 and pkcs12-legacy")
    app.only_reads = True  # except for one event
    found = _find(app, names.normalise(domain))
    certificate = _choose(app, found, version)
    bundle = app.store.bundle(certificate)
    if not bundle.private_key:
        raise NotManaged(
            f"the private key of version {certificate.version} of {found.name} was destroyed after it was superseded",
            hint=f"`sslctl view {found.name}` shows when, and which versions still have their key",
        )
    password = read_password(password_file, is_new=True) if kind in PKCS12 else b""
    files = make_files(kind, bundle, found.name, password)
    lines = make_lines(kind, folder, files)
    if not force:
        check_absent(folder, files)
    # The history comes first: an unrecorded download is worse than a record of one that failed.
    _record(app, found, _detail(kind, reason), certificate.version)
    written = write_new(folder, files, force=force, require_private=kind not in PKCS12)
    _note_weakness(kind, written)
    _note_what_is_served(found, certificate)
    if as_json:
        write_json(
            json_shapes.envelope(
                domain=found.name,
                version=certificate.version,
                files=[str(path) for path in written],
                lines=lines,
            )
        )
    else:
        for line in lines or [clean(path, 4096) for path in written]:
            write_line(line)


def _record(app: App, domain: Domain, detail: str, version: int) -> None:
    """Record the download. On a read-only file system print that it could not be recorded, because people need their keys then.

    Raise `StateError` if the record fails for another reason.
    """
    try:
        app.store.record_event(domain, "key downloaded", detail, version)
    except StateError:
        if not is_read_only(app.config.state.database_path):
            raise
        click.echo(
            f"sslctl: warning: the download of version {version} of {domain.name} is not recorded in the history, because the "
            f"file system of {clean(app.config.state.dir)} is read-only",
            err=True,
        )


def _note_weakness(kind: str, written: Sequence[Path]) -> None:
    """Print a note about a file that protects its key badly."""
    if kind == "pkcs12-legacy":
        click.echo(f"sslctl: warning: {LEGACY_WARNING}", err=True)
    for path in written:
        if not is_private(path.stat()):
            click.echo(
                f"sslctl: warning: other users can read {path}: its file system cannot keep the mode 0600",
                err=True,
            )


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
