"""`sslctl view`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes, render
from sslctl.errors import NotManaged
from sslctl.rules import names


@click.command("view")
@click.argument("domain")
@json_option
@click.pass_obj
def command(app: App, *, domain: str, as_json: bool) -> None:
    """Show all there is to know of a domain: the facts of now, every certificate version, and the history.

    A deleted domain can be viewed too.
    """
    name = names.normalise(domain)
    found = app.store.find(name)
    if found is None:
        raise NotManaged(
            f"{name} is not managed here",
            hint=f"`sslctl list` shows what is; `sslctl add {name}` takes it in",
        )
    now = app.clock()
    certificates, events = app.store.certificates(found), app.store.events(found)
    for certificate in certificates:
        app.store.require_unchanged(certificate)
    if as_json:
        view = json_shapes.domain(found, now)
        view["certificates"] = [
            json_shapes.certificate(certificate, found, now) for certificate in certificates
        ]
        view["events"] = [json_shapes.event(event) for event in events]
        render.json_object(json_shapes.envelope(domain=view))
    else:
        render.domain_view(found, certificates, events, now)
