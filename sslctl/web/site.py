"""The site: its views, templates and error pages, put together."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote, urlencode

from flask import Flask, Response, request

from sslctl.app import App
from sslctl.web import errors, language, running, times
from sslctl.web.access import Gate
from sslctl.web.jobs import Jobs
from sslctl.web.pages import actions, add, charts, domain, download, job, overview

_YEAR = 365 * 86_400


def make_site(make_app: Callable[[], App], gate: Gate, jobs: Jobs) -> Flask:
    """Return the site over the state that each `App` of `make_app` opens, guarded by `gate`. Slow work runs in `jobs`.

    A view gets the `App` of its request from `running.request_app`. The gate runs before everything else.
    """
    site = Flask("sslctl.web")
    site.jinja_env.trim_blocks = site.jinja_env.lstrip_blocks = True
    gate.install(site)
    running.install(site, make_app, jobs)
    site.after_request(_remember_language)
    version = _version_of_files()
    site.context_processor(
        lambda: {
            "t": language.request_texts(),
            "files_version": version,
            "url_with": url_with,
            "url_without": url_without,
            "can_leave": "leave" in site.view_functions,
        }
    )
    times.install(site)
    errors.install(site)
    for page in (overview, domain, charts, add, actions, download, job):
        site.register_blueprint(page.blueprint)
    return site


def url_with(**changes: str) -> str:
    """Return the address of the current page with `changes` of its parameters; an empty value removes one."""
    kept = [(key, value) for key, value in request.args.items(multi=True) if key not in changes]
    return _address(kept + [(key, value) for key, value in changes.items() if value])


def url_without(key: str, value: str) -> str:
    """Return the address of the first page of the list without one value of the parameter `key`."""
    return _address(
        [each for each in request.args.items(multi=True) if each != (key, value) and each[0] != "page"]
    )


def _address(arguments: list[tuple[str, str]]) -> str:
    query = urlencode(arguments)
    # Two slashes or a backslash at the start of a path would name another host.
    path = "/" + quote(request.path.lstrip("/"))
    return f"{path}?{query}" if query else path


def _remember_language(response: Response) -> Response:
    chosen = language.request_texts().language
    if request.args.get(language.PARAMETER) == chosen:
        response.set_cookie(
            language.COOKIE,
            chosen,
            max_age=_YEAR,
            secure=request.is_secure,
            httponly=True,
            samesite="Strict",
        )
    response.vary.update(["Accept-Language", "Cookie"])
    return response


def _version_of_files() -> str:
    """Return a part of the address of the static files that changes with them, so that no browser keeps old ones."""
    static = files("sslctl.web") / "static"
    content = b"".join((static / name).read_bytes() for name in ("page.css", "charts.css", "page.js"))
    return sha256(content).hexdigest()[:12]
