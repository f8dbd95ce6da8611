"""The notifiers that the configuration names: for the URLs of `[notify]`, and for each of its routes."""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.config.routes import RouteSection
from sslctl.config.settings import NotifySection
from sslctl.errors import ConfigError
from sslctl.notify import Notifier, Route, UnusableRoute
from sslctl.notify.sender import AppriseNotifier
from sslctl.notify.urls import read_urls, try_route_urls
from sslctl.rules.reasons import Owner


def make_notifier(section: NotifySection) -> Notifier | None:
    """Return the notifier for the URLs without a route; None if there are none. Raise `ConfigError` if a URL cannot be used."""
    urls = read_urls(section)
    return AppriseNotifier(urls) if urls else None


def make_routes(section: NotifySection) -> list[Route]:
    """Return the routes with their notifiers. Raise `ConfigError` if one cannot be used."""
    routes = []
    for route, urls in try_route_urls(section):
        if isinstance(urls, ConfigError):
            raise urls
        routes.append(_make_route(route, urls))
    return routes


def make_usable_routes(section: NotifySection) -> tuple[list[Route], list[UnusableRoute]]:
    """Return the routes that can be used with their notifiers, and those that cannot.

    Raise `ConfigError` if there are no URLs without a route, or if these cannot be used.
    """
    usable, unusable = [], []
    for route, urls in try_route_urls(section):
        if isinstance(urls, ConfigError):
            unusable.append(UnusableRoute(route.key, urls.message))
        else:
            usable.append(_make_route(route, urls))
    return usable, unusable


def _make_route(route: RouteSection, urls: Sequence[str]) -> Route:
    owners = frozenset(map(Owner, route.owners))
    return Route(route.key, owners, frozenset(route.customers), AppriseNotifier(urls))
