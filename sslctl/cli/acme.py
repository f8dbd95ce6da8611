"""`sslctl acme`: the account key at the CA, and the edges that answer with its thumbprint."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.rules.stateless_answer import SERVERS, configuration


@click.group("acme")
def command() -> None:
    """Let the edges answer the CA's challenges by themselves: the thumbprint of the account key is all that they need."""


@command.command("thumbprint", short_help="Print what the edges must answer to challenges.")
@click.option(
    "--for",
    "server",
    type=click.Choice(tuple(SERVERS)),
    help="Print the lines for the configuration of this server.",
)
@json_option
@click.pass_obj
def thumbprint(app: App, *, server: str | None, as_json: bool) -> None:
    """Print the thumbprint of the account key, or the lines with which an edge answers every challenge by itself.

    With acme.mode = "stateless" sslctl writes nothing for a challenge. Set that once all edges have the lines. If there is no
    account key yet, it is made; an installation that has an account keeps its key.
    """
    _write(app.account_keys().current.thumbprint, server, as_json=as_json)


def _write(found: str, server: str | None, *, as_json: bool) -> None:
    """Write a thumbprint, or the lines for `server`."""
    lines = [] if server is None else configuration(server, found)
    if as_json:
        write_json(json_shapes.envelope(thumbprint=found, server=server, lines=lines))
    else:
        for line in lines or [found]:
            write_line(line)
