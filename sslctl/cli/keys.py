"""`sslctl keys`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import blocks, discard_stdout, write_json, write_json_list, write_line
from sslctl.cli.output.table import StreamedTable
from sslctl.errors import Exit
from sslctl.fleet import key_pruning
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import SpareKey


@click.group("keys")
def command() -> None:
    """Manage the encryption key of the key file, and the private keys of old certificates."""


@command.command("rotate", short_help="Re-encrypt all private keys with a new key.")
@json_option
@click.pass_obj
def rotate(app: App, *, as_json: bool) -> None:
    """Re-encrypt all private keys with a new key, and remove the old key from the key file.

    Ticks and other commands may run meanwhile. If the command is killed, nothing is lost: the key file then contains both
    keys, and the next `keys rotate` completes the rotation. Backups made before can only be restored with the old key
    file.
    """
    rotated = app.store.rotate_keys()
    path = app.keyring.path
    if as_json:
        fields = {"rewrapped": rotated.rewrapped, "went_on": rotated.went_on, "left": rotated.left}
        write_json(json_shapes.envelope(key_file=str(path), **fields))
    else:
        secrets = "1 secret" if rotated.rewrapped == 1 else f"{rotated.rewrapped:,} secrets"
        write_line(f"Re-encrypted {secrets} with the new key in {path}.")
    if rotated.went_on:
        click.echo("An earlier rotation was interrupted; its new key was used.", err=True)
    if rotated.left:
        click.echo(
            f"sslctl may not write the key file; now delete all of its lines except the first ({rotated.left}).",
            err=True,
        )
    else:
        click.echo(
            "Back the key file up, and make a new backup: older backups need the old key file.", err=True
        )


@command.command("prune", short_help="Destroy the private keys of superseded certificates.")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(0, 36500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Only of certificates superseded for at least so many days.",
)
@click.option("--dry-run", is_flag=True, help="Only list these keys.")
@json_option
@click.pass_obj
def prune(app: App, *, days: int, dry_run: bool, as_json: bool) -> int:
    """Destroy the private keys of certificates that were replaced, revoked or never installed, or have expired.

    Never destroys the key of a certificate that is served or about to be, nor, of a deleted domain, of the certificate
    that would be installed if the domain were added again. The certificates and the history are kept.
    """
    now, older_than = app.clock(), timedelta(days=days)
    app.only_reads = dry_run
    if dry_run:
        _write(
            key_pruning.find(app.store, now, older_than), dry_run=True, as_json=as_json, count_busy=lambda: 0
        )
        return Exit.OK
    pruning = key_pruning.Pruning(app.store, now, older_than)
    keys = iter(pruning)
    try:
        _write(keys, dry_run=False, as_json=as_json, count_busy=lambda: pruning.busy)
    except BrokenPipeError:
        # The reader of the output has left; the other keys are destroyed all the same.
        discard_stdout()
        deque(keys, maxlen=0)
    if pruning.busy:
        domains = "1 domain" if pruning.busy == 1 else f"{pruning.busy} domains"
        click.echo(f"sslctl: skipped {domains} that another command works on; try again later", err=True)
        return Exit.TRY_LATER
    return Exit.OK


def _write(keys: Iterable[SpareKey], *, dry_run: bool, as_json: bool, count_busy: Callable[[], int]) -> None:
    """Write the keys as they come: a large fleet has a million. `count_busy` is called after the last one."""
    if as_json:
        shown = map(json_shapes.spare_key, keys)
        write_json_list(
            json_shapes.envelope(dry_run=dry_run), "keys", shown, last=lambda: {"busy": count_busy()}
        )
        return
    rows = StreamedTable(("DOMAIN", "VERSION", "SUPERSEDED"))
    number = 0
    for block in blocks(keys):
        number += len(block)
        write_line(
            rows.lay_out(
                [
                    (key.domain.name, str(key.certificate.version), format_sgt(key.superseded_at))
                    for key in block
                ]
            )
        )
    done = "would be destroyed (--dry-run)" if dry_run else "destroyed"
    write_line(f"{number} private {'key' if number == 1 else 'keys'} {done}")
