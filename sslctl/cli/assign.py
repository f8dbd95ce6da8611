"""`sslctl assign`."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option
from sslctl.cli.options import json_option
from sslctl.rules.remarks import read_assignee


@click.command("assign")
@click.argument("words", metavar="[DOMAIN]... [WHO]", nargs=-1, shell_complete=complete_name)
@click.option("--to", "who", metavar="WHO", help="Who takes care, if several domains are named.")
@click.option("--clear", is_flag=True, help="Assign the domains to nobody.")
@from_file_option
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    words: tuple[str, ...],
    who: str | None,
    clear: bool,
    from_file: BinaryIO | None,
    as_json: bool,
) -> int:
    """Record who takes care of a domain: sslctl assign shop.example.com alice.

    WHO is any name of at most 100 characters. Nobody is notified, and nothing else of the domain changes.
    """
    names, value = remarks.split_words(
        app, words, who, clear=clear, has_file=from_file is not None, metavar="WHO", option="--to"
    )
    assignee = read_assignee(value)
    return remarks.record(
        app,
        names,
        from_file,
        lambda domain: replace(domain.remarks, assignee=assignee),
        lambda domain: f"assigned to {domain.remarks.assignee or 'nobody'}",
        as_json=as_json,
    )
