"""`sslctl notify`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.errors import ConfigError, TryLater
from sslctl.notify import Message, MessageKind

_TEST = Message(
    MessageKind.TEST,
    "sslctl: a test",
    "This is a test. Here sslctl will tell of domains that need somebody, and what to type.",
)


@click.command("notify")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> None:
    """Send a test message to every URL of [notify], and say which took it.

    The real messages are sent by `sslctl daemon-tick`. Exit code 75 when a URL did not take it.
    """
    notifier = app.notifier
    if notifier is None:
        raise ConfigError(
            "notify.urls and notify.urls_file are not set, so nobody would be told",
            hint=f"set one in {app.config.path or 'a configuration file'}; docs/configuration.md lists every key",
        )
    missed = {each.position: each.why for each in notifier.send(_TEST, range(1, len(notifier.schemes) + 1))}
    tried = [(number, scheme, missed.get(number)) for number, scheme in enumerate(notifier.schemes, 1)]
    if as_json:
        render.json_object(json_shapes.envelope(urls=[json_shapes.delivery(*each) for each in tried]))
    else:
        render.lines(f"URL {number} ({scheme}) {why or 'took it'}" for number, scheme, why in tried)
    if missed:
        raise TryLater(f"{len(missed)} of {len(tried)} URLs did not take the message")
