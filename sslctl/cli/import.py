"""`sslctl import`."""
# ruff: noqa: N999 - a module is called like its command, and only `cli.main` imports it, by name

from __future__ import annotations

import click

from sslctl.cli import import_certbot, import_csv


@click.group("import")
def command() -> None:
    """Take over certificates that certbot ordered by itself, or record domains from a spreadsheet."""


command.add_command(import_certbot.command)
command.add_command(import_csv.command)
