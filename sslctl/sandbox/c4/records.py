"""The records of the reference C4 on disk: its domains and their certificates."""

from __future__ import annotations

import json
import re
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sslctl.errors import StateError
from sslctl.sandbox.c4.problems import Problem
from sslctl.system.files import replacing

DOMAIN_NAME = re.compile(
    r"(?=.{3,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An uploaded certificate as PEM text. The edge serves it from `active_at` on. The repr does not show the key."""

    source: str
    certificate: str
    chain: str
    private_key: str = field(repr=False)
    fingerprint: str
    not_after: datetime
    active_at: datetime


@dataclass(frozen=True, slots=True)
class Site:
    """A domain of the CDN, of `customer` if that is not empty. `latest` is the last upload; the edge serves `before` until `latest` is active."""

    domain: str
    cname_target: str
    ports: tuple[int, ...]
    latest: Placed | None = None
    before: Placed | None = None
    customer: str = ""

    def serving(self, now: datetime) -> Placed | None:
        """Return the certificate that the edge serves at `now`, or None."""
        return self.latest if self.latest is not None and self.latest.active_at <= now else self.before

    def install(self, placed: Placed, now: datetime) -> Site:
        """Return the site with `placed` installed. The active certificate stays active until `placed` is.

        Raise `Problem` 409 if a `c4` certificate would replace a `text` one.
        """
        if self.latest is not None and (self.latest.source, placed.source) == ("text", "c4"):
            raise Problem(HTTPStatus.CONFLICT, detail="A text certificate is installed; remove it first.")
        for known in (self.serving(now), self.latest):
            if known is not None and known.fingerprint == placed.fingerprint:
                placed = replace(placed, active_at=known.active_at)
                break
        return replace(self, latest=placed, before=None if placed.active_at <= now else self.serving(now))

    def clear(self) -> Site:
        """Return the site without a certificate."""
        return replace(self, latest=None, before=None)


class Records:
    """The sites, as JSON files in `folder`/domains, with mode 0600, written atomically.

    There is one file for each domain, so that the time of an upload does not depend on the number of domains. Raise
    `StateError` if a file is not a record.
    """

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self._folder = folder / "domains"
        for path in (folder, self._folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sites = {path.name: _read(path) for path in self._folder.iterdir() if path.name[0] != "."}

    def find(self, domain: str) -> Site | None:
        """Return the site of `domain`, or None."""
        with self.lock:
            return self._sites.get(domain)

    def after(self, domain: str, limit: int) -> tuple[list[Site], bool]:
        """Return the first `limit` sites whose names sort after `domain`, and whether there are more."""
        with self.lock:
            names = sorted(self._sites)
            start = bisect_right(names, domain)
            sites = [self._sites[name] for name in names[start : start + limit]]
            return sites, start + limit < len(names)

    def create(self, domain: str, cname_target: str, ports: Sequence[int], customer: str = "") -> None:
        """Create `domain`, or change an existing one, which keeps its certificate.

        Raise `ValueError` for a name that is no lower-case A-label, an invalid port or an empty target.
        """
        if not DOMAIN_NAME.fullmatch(domain):
            raise ValueError("domain is not a lower-case A-label with at least two labels.")
        if not all(0 < port < 1 << 16 for port in ports):
            raise ValueError("ports are numbers from 1 to 65535.")
        if not cname_target:
            raise ValueError("cname_target is empty.")
        with self.lock:
            site = self._sites.get(domain) or Site(domain, cname_target, ())
            ports = tuple(sorted(set(ports)))
            self.save(replace(site, cname_target=cname_target, ports=ports, customer=customer))

    def save(self, site: Site) -> None:
        """Write the site to the disk, then use it."""
        with self.lock:
            content = json.dumps(asdict(site), default=datetime.isoformat)
            with replacing(self._folder / site.domain) as file:
                file.write(content.encode("ascii"))
            self._sites[site.domain] = site

    def delete(self, domain: str) -> bool:
        """Remove `domain` and its certificate. Return False if there is no such domain."""
        with self.lock:
            if self._sites.pop(domain, None) is None:
                return False
            (self._folder / domain).unlink()
            return True


def _read(path: Path) -> Site:
    try:
        fields = json.loads(path.read_text("ascii"))
        placed = {name: _read_placed(fields[name]) for name in ("latest", "before")}
        site = Site(**{**fields, **placed, "ports": tuple(fields["ports"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is not a record of the reference C4.") from error
    if site.domain != path.name:
        raise StateError(f"{path} is the record of another domain.")
    return site


def _read_placed(fields: dict[str, Any] | None) -> Placed | None:
    if fields is None:
        return None
    dates = {name: datetime.fromisoformat(fields[name]) for name in ("not_after", "active_at")}
    return Placed(**{**fields, **dates})
