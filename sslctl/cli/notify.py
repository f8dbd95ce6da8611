"""`sslctl notify`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.cli.output.table import table
from sslctl.errors import ConfigError, TryLater
from sslctl.notify import Message, MessageKind, Notifier
from sslctl.notify.webhook import make_webhook, send_test
from sslctl.text import clean

_TEXT = "This is a test. sslctl will report here which domains need a person, and which commands to run."


@click.command("notify")
@json_option
@click.pass_obj
def command(app: App, *, as_json: bool) -> None:
    """Send a test message to every URL of [notify], its routes and its webhook, and print to which it was delivered.

    `sslctl daemon-tick` sends the real messages. Exit code 75 if the message was not delivered to every URL.
    """
    notifier, webhook = app.notifier, make_webhook(app.config.notify)
    if notifier is None and webhook is None and not app.config.notify.route:
        raise ConfigError(
            "notify.urls and notify.urls_file are not set, so nobody can be notified",
            hint=f"set one in {app.config.path or 'a configuration file'}; see docs/configuration.md",
        )
    routes = app.notify_routes
    notifiers = [("", notifier)] if notifier is not None else []
    notifiers += [(route.key, route.notifier) for route in routes]
    tried = [(*each, route) for route, one in notifiers for each in _send(one, route)]
    webhook_error = None if webhook is None else send_test(webhook, app.clock())
    if as_json:
        write_json(
            json_shapes.envelope(
                urls=[json_shapes.delivery(*each) for each in tried],
                webhook=None
                if webhook_error is None
                else {"delivered": not webhook_error, "why": webhook_error or None},
            )
        )
    else:
        rows = [
            (
                f"{f'{route}, ' if route else ''}URL {number} ({scheme}):",
                _outcome(error or ""),
            )
            for number, scheme, error, route in tried
        ]
        if webhook_error is not None:
            rows.append(("webhook:", _outcome(webhook_error)))
        write_line(table(rows))
    errors = [error or "" for _, _, error, _ in tried] + ([] if webhook_error is None else [webhook_error])
    missed = sum(map(bool, errors))
    if missed:
        raise TryLater(
            f"the message was not delivered to {missed} of {len(errors)} URLs",
            hint="check these URLs in notify.urls, notify.urls_file, the urls_file of the route or notify.webhook_url",
        )


def _outcome(error: str) -> str:
    return f"not delivered ({error})" if error else "delivered"


def _send(notifier: Notifier, route: str) -> list[tuple[int, str, str | None]]:
    """Send the test message to all URLs of `notifier`; return position, scheme and error of each, None if it was delivered."""
    text = f"{_TEXT} This URL receives the messages of the route {clean(route)}." if route else _TEXT
    message = Message(MessageKind.TEST, "sslctl: a test", text)
    missed = {each.position: each.why for each in notifier.send(message, range(1, len(notifier.schemes) + 1))}
    return [(number, scheme, missed.get(number)) for number, scheme in enumerate(notifier.schemes, 1)]
