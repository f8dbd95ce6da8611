"""The notifiers that the configuration names: for the URLs of `[notify]`, and for each of its routes."""

from __future__ import annotations

from sslctl.config.settings import NotifySection
from sslctl.notify import Notifier, Route
from sslctl.notify.sender import AppriseNotifier
from sslctl.notify.urls import read_route_urls, read_urls
from sslctl.rules.reasons import Owner


def make_notifier(section: NotifySection) -> Notifier | None:
    """Return the notifier for the URLs without a route; None if there are none. Raise `ConfigError` if a URL cannot be used."""
    urls = read_urls(section)
    return AppriseNotifier(urls) if urls else None


def make_routes(section: NotifySection) -> list[Route]:
    """Return the routes with their notifiers. Raise `ConfigError` if one cannot be used."""
    return [
        Route(
            route.key,
            frozenset(map(Owner, route.owners)),
            frozenset(route.customers),
            AppriseNotifier(urls),
        )
        for route, urls in read_route_urls(section)
    ]
