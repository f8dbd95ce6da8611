"""The apprise URLs for notifications, from the configuration and from a file."""

from __future__ import annotations

from pathlib import Path

from sslctl.config.routes import RouteSection
from sslctl.config.secret_file import read_secret
from sslctl.config.settings import NotifySection
from sslctl.config.values import notify_url
from sslctl.errors import ConfigError
from sslctl.text import clean


def read_urls(section: NotifySection) -> tuple[str, ...]:
    """Return the URLs of `notify.urls`, then those of `notify.urls_file`.

    Raise `ConfigError`, which names a line and never a URL.
    """
    if section.urls_file is None:
        return section.urls
    return (*section.urls, *read_urls_file(section.urls_file, "notify.urls_file"))


def try_route_urls(section: NotifySection) -> list[tuple[RouteSection, tuple[str, ...] | ConfigError]]:
    """Return each `[[notify.route]]` with the URLs of its file, or with the error if these cannot be used.

    Raise `ConfigError` if there are no URLs without a route: what no route matches would reach nobody.
    """
    if section.route and not read_urls(section):
        raise ConfigError(
            "notify.route is set, but neither notify.urls nor notify.urls_file: what no route matches would reach nobody",
            hint="set notify.urls_file",
        )
    return [
        (route, _try_route(route, f"notify.route {number}: urls_file"))
        for number, route in enumerate(section.route, 1)
    ]


def _try_route(route: RouteSection, key: str) -> tuple[str, ...] | ConfigError:
    try:
        urls = read_urls_file(route.urls_file, key)
    except ConfigError as error:
        return error
    return urls or ConfigError(f"{key}: {clean(route.urls_file)} contains no URL", hint="write one a line")


def read_urls_file(path: Path, key: str) -> tuple[str, ...]:
    """Return the URLs in the file `path`, which `key` names: one a line, `#` begins a comment line.

    Raise `ConfigError`, which names a line and never a URL.
    """
    text = read_secret(path, key, "URLs of apprise, one a line")
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        try:
            found.append(notify_url(url))
        except ValueError as error:
            raise ConfigError(
                f"{key}: {clean(path)}, line {number} {error}",
                hint="https://appriseit.com/services/ lists them",
            ) from None
    return tuple(found)


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, the only part that may be shown."""
    return url.partition("://")[0].lower()
