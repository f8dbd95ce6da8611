"""`sslctl note`."""

from __future__ import annotations

from dataclasses import replace

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.rules.remarks import read_note


@click.command("note")
@remarks.value_arguments(
    "TEXT", "--text", "The note, if several domains are named.", "Remove the notes of the domains."
)
def command(app: App, given: remarks.Given) -> int:
    """Write a note on a domain, for other people: sslctl note shop.example.com "mailed Tuesday".

    A domain has one note, of at most 500 characters: a new one replaces it, and an empty one removes it. The history keeps all
    of them. Nothing else of the domain changes.
    """
    return remarks.record_value(
        app,
        given,
        read_note,
        lambda domain, note: replace(domain.remarks, note=note),
        lambda domain: f"note {remarks.shown(domain.remarks.note)}",
    )
