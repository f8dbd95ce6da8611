"""The routes of messages: the array of tables `[[notify.route]]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sslctl.config import values as read
from sslctl.rules.reasons import Owner


@dataclass(frozen=True, slots=True)
class RouteSection:
    """A `[[notify.route]]`: messages about domains of `customers` for which one of `owners` must act go to other URLs.

    `urls_file` has these URLs. An empty tuple restricts nothing; one of both names something.
    """

    owners: tuple[str, ...]
    customers: tuple[str, ...]
    urls_file: Path

    @property
    def key(self) -> str:
        """The owners and customers as text: it identifies the route, also after others were added or moved."""
        parts = {"owners": self.owners, "customers": self.customers}
        return " ".join(f"{name}={','.join(sorted(set(words)))}" for name, words in parts.items() if words)


def read_routes(value: object) -> tuple[RouteSection, ...]:
    """Read the array of tables `[[notify.route]]`."""
    read_owners, read_customers = read.many(read.choice(*Owner)), read.many(read.customer)
    routes: list[RouteSection] = []
    for number, table in enumerate(read.tables(value, ("owners", "customers", "urls_file")), 1):
        try:
            route = RouteSection(
                read_owners(table.get("owners", [])),
                read_customers(table.get("customers", [])),
                read.path(table.get("urls_file")),
            )
        except ValueError as error:
            raise ValueError(f"{number}: owners, customers or urls_file {error}") from None
        if not route.key:
            raise ValueError(f"{number} must name owners or customers")
        if route.key in {each.key for each in routes}:
            raise ValueError(f"{number} names the same owners and customers as an earlier one")
        routes.append(route)
    return tuple(routes)
