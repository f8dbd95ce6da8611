"""The `App` of the current request. It is new for each request, so a restored database or a new configuration is seen at once."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, current_app, g

from sslctl.app import App

_KEY = "sslctl_app"


def install(site: Flask, make_app: Callable[[], App]) -> None:
    """Let each request of `site` have an `App` of its own. It only reads unless its view sets `only_reads` to False first."""
    site.extensions[_KEY] = make_app
    site.teardown_appcontext(_close)


def request_app() -> App:
    """Return the `App` of the current request; it is made when it is first needed."""
    if _KEY not in g:
        app: App = current_app.extensions[_KEY]()
        app.only_reads = True
        setattr(g, _KEY, app)
    found: App = g.get(_KEY)
    return found


def _close(_error: BaseException | None) -> None:
    app: App | None = g.pop(_KEY, None)
    if app is not None:
        app.close()
