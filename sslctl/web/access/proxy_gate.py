"""The gate of a server behind a reverse proxy with a login: the proxy names the person in a header."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import request

from sslctl.config.web import WebSection, is_name
from sslctl.errors import ConfigError
from sslctl.web.access import Person
from sslctl.web.access.guard import LOG, Address, Guard
from sslctl.web.access.limits import Limiter
from sslctl.web.access.roles import RoleRules
from sslctl.web.access.sessions import Session


class ProxyGate(Guard):
    """A gate that believes the headers of `section` about who sent a request. `monotonic` is a clock in seconds.

    Only a proxy may reach the server, through a Unix socket, and the server must remove each of `trusted_headers` that was sent
    twice (`server.serve`). `scheme` is how browsers reach the proxy. Raise `ConfigError` if `section` lacks something.
    """

    refusal_of_unknown = "refusal.no_login"

    def __init__(self, section: WebSection, monotonic: Callable[[], float]) -> None:
        for key in ("public_url", "person_header"):
            if not getattr(section, key):
                raise ConfigError(
                    f"web.{key} is not set, so the page cannot run behind a reverse proxy",
                    hint="docs/page-access.md describes what the proxy and [web] need",
                )
        if section.person_header.lower() == section.groups_header.lower():
            raise ConfigError("web.person_header and web.groups_header are the same header")
        parts = urlsplit(section.public_url)
        super().__init__(Address.of(parts.scheme, parts.hostname or "", parts.port), Limiter(monotonic))
        self.scheme = parts.scheme
        self.trusted_headers = tuple(filter(None, (section.person_header, section.groups_header)))
        self._person_header = section.person_header
        self._groups_header = section.groups_header
        self._rules = RoleRules(section)
        self._secret = secrets.token_bytes(32)

    def find_session(self) -> Session | None:
        """Return a session of the person whom the proxy names. It has no state: the proxy decides when a login ends."""
        name = _decode(request.headers.get(self._person_header, ""))
        if not is_name(name):
            # The log, and not the page, names the header: whoever is not logged in must not learn it.
            LOG.warning(
                "refused: the header %s is missing, was sent twice, or is not a name", self._person_header
            )
            return None
        person = Person(name, self._rules.roles_of(name, self._find_groups()))
        # A page of another site cannot read the token, and the token of one person is of no use against another.
        token = hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
        return Session(person, token, 0, 0)

    def _find_groups(self) -> list[str]:
        header = request.headers.get(self._groups_header, "") if self._groups_header else ""
        groups = [group.strip() for group in _decode(header).split(",")]
        return [group for group in groups if is_name(group)]


def _decode(header: str) -> str:
    """Return the text of `header` as UTF-8, empty if it is not. WSGI passes bytes as Latin-1 (PEP 3333)."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return ""
