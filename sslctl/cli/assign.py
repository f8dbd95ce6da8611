"""`sslctl assign`."""

from __future__ import annotations

from dataclasses import replace

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.rules.remarks import read_assignee


@click.command("assign")
@remarks.value_arguments(
    "WHO", "--to", "Who takes care, if several domains are named.", "Assign the domains to nobody."
)
def command(app: App, given: remarks.Given) -> int:
    """Record who takes care of a domain: sslctl assign shop.example.com alice.

    WHO is any name of at most 100 characters. Nobody is notified, and nothing else of the domain changes.
    """
    return remarks.record_value(
        app,
        given,
        read_assignee,
        lambda domain, assignee: replace(domain.remarks, assignee=assignee),
        lambda domain: f"assigned to {domain.remarks.assignee or 'nobody'}",
    )
