"""`sslctl download`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import click

from sslctl.app import App
from sslctl.certificates.download_formats import FORMATS, LEGACY_WARNING, PKCS12, make_files, make_lines
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option, read_managed
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.files import check_absent, is_private, write_new
from sslctl.cli.output.outcomes import print_error
from sslctl.cli.output.stdout import write_json, write_json_list, write_line
from sslctl.cli.output.summary import Phrase, print_done
from sslctl.cli.passwords import read_password
from sslctl.errors import BadInput, Exit, NotManaged, StateError
from sslctl.fleet import downloads
from sslctl.rules import names
from sslctl.rules.model import Domain
from sslctl.system.files import is_read_only
from sslctl.text import clean

_DOWNLOADED = Phrase("was downloaded", "were downloaded")


@click.command("download")
@click.argument("domain", metavar="[DOMAIN]", required=False, shell_complete=complete_name)
@from_file_option
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
    domain: str | None,
    from_file: BinaryIO | None,
    version: int | None,
    folder: Path,
    kind: str,
    password_file: Path | None,
    reason: str,
    force: bool,
    as_json: bool,
) -> int:
    """Write a certificate and its key into files, mode 0600.

    pem: cert.pem, chain.pem, fullchain.pem and privkey.pem. combined: DOMAIN.pem with key and full chain. pkcs12: DOMAIN.p12;
    pkcs12-legacy is for Windows Server 2016 and older, and weakly encrypted. nginx, apache, haproxy and caddy: the files that
    the server needs, and the lines for its configuration in place of the paths.

    With --from-file, each domain gets a folder of its own name in DIR.

    The download is recorded in the history first, with the actor and the reason. If the disk of the state is read-only, it
    goes on without a record, and prints that on standard error.
    """
    if password_file is not None and kind not in PKCS12:
        raise click.UsageError("--password-file goes with --format pkcs12 and pkcs12-legacy")
    if from_file is not None and (domain is not None or version is not None):
        raise click.UsageError("--from-file cannot be combined with a domain or --version")
    app.only_reads = True  # except for one event of each domain
    download = _Download(app, version, kind, password_file, reason, force)
    if from_file is not None:
        return _write_list(download, read_managed(app.store, (), from_file), folder, as_json=as_json)
    if domain is None:
        raise click.UsageError("name a domain, or give --from-file FILE")
    _write_result(download.write(downloads.find(app.store, names.normalise(domain)), folder), as_json=as_json)
    return Exit.OK


@dataclass
class _Download:
    """What is to be written of each domain, and how."""

    app: App
    version: int | None
    kind: str
    password_file: Path | None
    reason: str
    force: bool

    @cached_property
    def password(self) -> bytes:
        """The password of the PKCS#12 files. It is asked for once, and only if there is a certificate to write."""
        return read_password(self.password_file, is_new=True) if self.kind in PKCS12 else b""

    def write(self, domain: Domain, folder: Path) -> dict[str, Any]:
        """Write the files of `domain` into `folder`, and return the fields of the JSON. Raise `NotManaged`, `BadInput`."""
        certificate, bundle = downloads.read(self.app.store, domain, self.version)
        files = make_files(self.kind, bundle, domain.name, self.password)
        lines = make_lines(self.kind, folder, files)
        if not self.force:
            check_absent(folder, files)
        # The history comes first: an unrecorded download is worse than a record of one that failed.
        _record(self.app, domain, downloads.describe_event(self.kind, self.reason), certificate.version)
        written = write_new(folder, files, force=self.force, require_private=self.kind not in PKCS12)
        _note_weakness(self.kind, written)
        difference = downloads.describe_difference(domain, certificate)
        if difference:
            click.echo(f"sslctl: {domain.name}: {difference}", err=True)
        paths = [str(path) for path in written]
        return {"domain": domain.name, "version": certificate.version, "files": paths, "lines": lines}


def _write_list(download: _Download, domains: Sequence[Domain], folder: Path, *, as_json: bool) -> int:
    """Write the files of each of `domains` into a folder of its own in `folder`, and return the exit code."""
    results: list[dict[str, Any]] = []
    for domain in domains:
        try:
            results.append(download.write(domain, folder / domain.name))
        except (NotManaged, BadInput) as error:
            # The rest of the list is written all the same.
            print_error(domain.name, error)
            continue
        if not as_json:
            _write_result(results[-1], as_json=False)
    if as_json:
        write_json_list(json_shapes.envelope(), "downloads", results)
    else:
        print_done(len(results), len(domains), _DOWNLOADED)
    return Exit.OK if len(results) == len(domains) else Exit.SOME_NOT_WELL


def _write_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Write the fields of one download: as JSON, or the lines for a web server, or the paths of the files."""
    if as_json:
        write_json(json_shapes.envelope(**result))
        return
    for line in result["lines"] or [clean(path, 4096) for path in result["files"]]:
        write_line(line)


def _record(app: App, domain: Domain, detail: str, version: int) -> None:
    """Record the download. On a read-only file system print that it could not be recorded, because people need their keys then.

    Raise `StateError` if the record fails for another reason.
    """
    try:
        app.store.record_event(domain, downloads.EVENT, detail, version)
    except StateError:
        if app.config.state.is_on_server or not is_read_only(app.config.state.database_path):
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
