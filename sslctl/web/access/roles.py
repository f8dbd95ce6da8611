"""The roles of a person behind a reverse proxy, by the section `[web]` of the configuration."""

from __future__ import annotations

from collections.abc import Collection

from sslctl.config.web import EVERYONE, GROUP, WebSection
from sslctl.errors import ConfigError
from sslctl.web.access import Role


class RoleRules:
    """Which roles `section` gives to whom.

    Raise `ConfigError` if nobody has a role, or if a group is named although the proxy does not name groups: both are mistakes.
    """

    def __init__(self, section: WebSection) -> None:
        self._members = {
            Role.VIEWER: section.viewers,
            Role.OPERATOR: section.operators,
            Role.KEYS: section.keys,
        }
        members = [member for named in self._members.values() for member in named]
        if not members:
            raise ConfigError(
                "web.viewers, web.operators and web.keys are empty, so nobody could see the page",
                hint='name persons or @groups in them; viewers = ["*"] lets everyone in who is logged in',
            )
        group = next((member for member in members if member.startswith(GROUP)), None)
        if group is not None and not section.groups_header:
            raise ConfigError(
                f"{group} is a group, but web.groups_header is not set, so no person would be in it",
                hint="set web.groups_header to the header in which the proxy lists the groups of a person",
            )

    def roles_of(self, person: str, groups: Collection[str]) -> frozenset[Role]:
        """Return the roles of `person`, who is in `groups`; none if the configuration does not know that person."""
        # No member that names a person begins with "@", so a person called like a group gets nothing of it.
        known_as = {f"{GROUP}{group}" for group in groups} | (
            {person} if not person.startswith(GROUP) else set()
        )
        roles = {role for role, members in self._members.items() if known_as & set(members)}
        if roles or EVERYONE in self._members[Role.VIEWER]:
            # Nobody can use the other roles without seeing the page.
            roles.add(Role.VIEWER)
        return frozenset(roles)
