"""`sslctl acme`: the account key at the CA, and the edges that answer with its thumbprint."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import closing, suppress
from types import FrameType

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.cli.signals import handling
from sslctl.rules.stateless_answer import SERVERS, configuration
from sslctl.system.readiness import notify_ready

# A SHA-256 digest in base64url.
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_for_server = click.option(
    "--for",
    "server",
    type=click.Choice(tuple(SERVERS)),
    help="Print the lines for the configuration of this server.",
)


@click.group("acme")
def command() -> None:
    """Let the edges answer the CA's challenges by themselves: the thumbprint of the account key is all that they need."""


@command.command("thumbprint", short_help="Print what the edges must answer to challenges.")
@_for_server
@json_option
@click.pass_obj
def thumbprint(app: App, *, server: str | None, as_json: bool) -> None:
    """Print the thumbprint of the account key, or the lines with which an edge answers every challenge by itself.

    With acme.mode = "stateless" sslctl writes nothing for a challenge. Set that once all edges have the lines. If there is no
    account key yet, it is made; an installation that has an account keeps its key.
    """
    _write(app.stateless.keys().current.thumbprint, server, as_json=as_json)


@command.command("rotate", short_help="Replace the account key, in two steps.")
@_for_server
@click.option("--switch", is_flag=True, help="The second step: all edges have the new lines.")
@json_option
@click.pass_obj
def rotate(app: App, *, server: str | None, switch: bool, as_json: bool) -> None:
    """Replace the account key, in two steps.

    The first one makes the next key, and prints its lines for the edges; with --for, those of a server. From the first edge
    with these lines on, orders wait.

    The second one, --switch, asks every edge of verify.edges for a random token, or, without any, some of the domains in service. If
    all answer with the next key, it becomes the current one, here and at the CA.

    The URL of the account stays the same. Each step can be run again. Exit code 75 if an edge does not answer with the next key,
    or if the CA could not be asked: the message says which.
    """
    rotation = app.stateless.rotation()
    if not switch:
        # An account key that the CA has must be there first.
        app.stateless.keys()
        _write(rotation.prepare().thumbprint, server, as_json=as_json)
        click.echo(
            "Put this on all edges, then run `sslctl acme rotate --switch`. Until then orders wait.", err=True
        )
        return
    if server is not None:
        raise click.UsageError("--for belongs to the first step, without --switch")
    found = rotation.switch().thumbprint
    if as_json:
        _write(found, None, as_json=True)
    else:
        write_line(f"The account has the new key, with the thumbprint {found}.")
    click.echo("Make a backup: older ones have the old account key.", err=True)


def _read_thumbprint(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _THUMBPRINT.fullmatch(value):
        raise click.BadParameter("it is not a thumbprint: `sslctl acme thumbprint` prints one")
    return value


@command.command("serve", short_help="Answer challenges on this machine, until Ctrl-C.")
@click.option(
    "--thumbprint",
    "given",
    callback=_read_thumbprint,
    metavar="THUMBPRINT",
    help="What to answer; default: the thumbprint of the account key. With it no state is needed.",
)
@click.pass_obj
def serve(app: App, *, given: str | None) -> None:
    """Answer every challenge on acme.http01_address and acme.http01_port, until Ctrl-C.

    For edges that forward challenges: any machine that runs this can answer for any other, and orders may run elsewhere. Only with
    acme.mode = "stateless". After `sslctl acme rotate` start it again, with the thumbprint that was printed.
    """
    listener, where = app.stateless.listen(given)
    with closing(listener), handling(_end), suppress(KeyboardInterrupt):
        write_line(f"Every challenge is answered on {where}.")
        sys.stdout.flush()
        notify_ready()
        threading.Event().wait()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _write(found: str, server: str | None, *, as_json: bool) -> None:
    """Write a thumbprint, or the lines for `server`."""
    lines = [] if server is None else configuration(server, found)
    if as_json:
        write_json(json_shapes.envelope(thumbprint=found, server=server, lines=lines))
    else:
        for line in lines or [found]:
            write_line(line)
