"""`sslctl note`."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option
from sslctl.cli.options import json_option
from sslctl.rules.remarks import read_note


@click.command("note")
@click.argument("words", metavar="[DOMAIN]... [TEXT]", nargs=-1, shell_complete=complete_name)
@click.option("--text", metavar="TEXT", help="The note, if several domains are named.")
@click.option("--clear", is_flag=True, help="Remove the notes of the domains.")
@from_file_option
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    words: tuple[str, ...],
    text: str | None,
    clear: bool,
    from_file: BinaryIO | None,
    as_json: bool,
) -> int:
    """Write a note on a domain, for other people: sslctl note shop.example.com "mailed Tuesday".

    A domain has one note, of at most 500 characters: a new one replaces it, and an empty one removes it. The history keeps all
    of them. Nothing else of the domain changes.
    """
    names, value = remarks.split_words(
        app, words, text, clear=clear, has_file=from_file is not None, metavar="TEXT", option="--text"
    )
    note = read_note(value)
    return remarks.record(
        app,
        names,
        from_file,
        lambda domain: replace(domain.remarks, note=note),
        lambda domain: f"note {remarks.shown(domain.remarks.note)}",
        as_json=as_json,
    )
