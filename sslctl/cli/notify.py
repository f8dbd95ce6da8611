"""`sslctl notify`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.cli.output.table import table
from sslctl.errors import ConfigError, TryLater
from sslctl.notify import Message, MessageKind

_TEST = Message(
    MessageKind.TEST,
    "sslctl: a test",
    "This is a test. sslctl will report here which domains need a person, and which commands to run.",
)


@click.command("notify")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> None:
    """Send a test message to every URL of [notify], and print to which it was delivered.

    `sslctl daemon-tick` sends the real messages. Exit code 75 if the message was not delivered to every URL.
    """
    notifier = app.notifier
    if notifier is None:
        raise ConfigError(
            "notify.urls and notify.urls_file are not set, so nobody can be notified",
            hint=f"set one in {app.config.path or 'a configuration file'}; see docs/configuration.md",
        )
    missed = {each.position: each.why for each in notifier.send(_TEST, range(1, len(notifier.schemes) + 1))}
    tried = [(number, scheme, missed.get(number)) for number, scheme in enumerate(notifier.schemes, 1)]
    if as_json:
        write_json(json_shapes.envelope(urls=[json_shapes.delivery(*each) for each in tried]))
    else:
        rows = [
            (f"URL {number} ({scheme}):", "delivered" if error is None else f"not delivered ({error})")
            for number, scheme, error in tried
        ]
        write_line(table(rows))
    if missed:
        raise TryLater(
            f"the message was not delivered to {len(missed)} of {len(tried)} URLs",
            hint="check these URLs in notify.urls or notify.urls_file",
        )
