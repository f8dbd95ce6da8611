"""`sslctl keys`."""

from __future__ import annotations

from datetime import timedelta

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.errors import Exit
from sslctl.fleet import key_pruning
from sslctl.rules.singapore import format_sgt


@click.group("keys")
def command() -> None:
    """Look after the keys: the one that seals, and the private keys of certificates."""


@command.command("rotate", short_help="Seal all private keys with a new key, and drop the old one.")
@json_option
@click.pass_obj
def rotate(app: App, *, as_json: bool) -> None:
    """Seal all private keys with a new key, and drop the old one from the key file.

    Ticks and other commands may run meanwhile. Killed at any moment, nothing is lost: the file then holds both keys, and
    the next `keys rotate` does the rest. A backup made before is opened by the key file of before alone.
    """
    rotated = app.store.rotate_keys()
    path = app.keyring.path
    if as_json:
        fields = {"rewrapped": rotated.rewrapped, "went_on": rotated.went_on, "left": rotated.left}
        render.json_object(json_shapes.envelope(key_file=str(path), **fields))
    else:
        render.line(f"{rotated.rewrapped} private keys and checks are sealed with the first key of {path}")
    if rotated.went_on:
        click.echo("The file held a new key already, so no other one was made.", err=True)
    if rotated.left:
        click.echo(
            f"It is not sslctl's to write: now delete all of its lines but the first ({rotated.left}).",
            err=True,
        )
    else:
        click.echo(
            "Back the key file up, and make a new backup: the old ones need the old key file.", err=True
        )


@command.command("prune", short_help="Destroy the private keys of superseded certificates.")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(0, 36500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Only of certificates superseded for so long.",
)
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
@click.pass_obj
def prune(app: App, *, days: int, dry_run: bool, as_json: bool) -> int:
    """Destroy the private keys of certificates that were replaced, revoked, passed over or have expired.

    Never of what is served or is to be, and of a deleted domain never of the certificate that adding it again would put
    back. The certificates stay, and so does the history.
    """
    now, older_than = app.clock(), timedelta(days=days)
    busy = 0
    if dry_run:
        keys = list(key_pruning.find(app.store, now, older_than))
    else:
        pruned = key_pruning.prune(app.store, now, older_than)
        keys, busy = pruned.keys, pruned.busy
    if as_json:
        render.json_list(
            json_shapes.envelope(dry_run=dry_run, busy=busy), "keys", map(json_shapes.spare_key, keys)
        )
    else:
        render.lines(
            f"{key.domain.name}: version {key.certificate.version}, superseded {format_sgt(key.superseded_at)}"
            for key in keys
        )
        done = "would be destroyed (--dry-run)" if dry_run else "destroyed"
        render.line(f"{len(keys)} private {'key' if len(keys) == 1 else 'keys'} {done}")
    if busy:
        click.echo(
            f"sslctl: {busy} domains left out: another sslctl works on them; try again later", err=True
        )
        return Exit.TRY_LATER
    return Exit.OK
