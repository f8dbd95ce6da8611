"""What the edge serves in the simulation of two years, and when a site was dark."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.control_plane import Installed

_DAY = timedelta(hours=25)


@dataclass(slots=True)
class Dark:
    """A time in which a site is dark: what the edge serves for it has expired, or is gone. `end` is None while it lasts."""

    name: str
    begin: datetime
    has_expired: bool
    end: datetime | None = None


class Edge:
    """What the edge serves. `dark` are all times in which a site was dark; names in `ignored` are not counted.

    `lost` has when C4 lost a certificate: such a site counts if it is dark for longer than a day.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._serving: dict[str, Installed] = {}
        self._expiries: list[tuple[datetime, str, str]] = []
        self._empty: set[str] = set()
        self._open: dict[str, Dark] = {}
        self.dark: list[Dark] = []
        self.ignored: set[str] = set()
        self.lost: dict[str, datetime] = {}

    def change(self, name: str, installed: Installed | None) -> None:
        """Record that `installed` is served for `name` from now on."""
        if installed is None:
            if self._serving.pop(name, None) is not None:
                self._empty.add(name)
            return
        self._empty.discard(name)
        self._serving[name] = installed
        heapq.heappush(self._expiries, (installed.not_after, name, installed.fingerprint))
        if installed.not_after > self._clock() and name in self._open:
            self._open.pop(name).end = self._clock()

    def is_lit(self, name: str) -> bool:
        """Return whether the edge serves a valid certificate for `name`."""
        serving = self._serving.get(name)
        return serving is not None and serving.not_after > self._clock()

    def let_expire(self) -> None:
        """Note the sites whose certificates have expired by now."""
        while self._expiries and self._expiries[0][0] <= self._clock():
            at, name, fingerprint = heapq.heappop(self._expiries)
            serving = self._serving.get(name)
            if serving is not None and serving.fingerprint == fingerprint:
                self._darken(Dark(name, at, has_expired=True))

    def note_empty(self) -> None:
        """Note the sites for which nothing is served at the end of a tick. Within a tick a certificate may be replaced."""
        now = self._clock()
        for name in [each for each in self._empty if each not in self.lost or now - self.lost[each] > _DAY]:
            self._darken(Dark(name, now, has_expired=False))

    def _darken(self, dark: Dark) -> None:
        if dark.name not in self._open and dark.name not in self.ignored:
            self._open[dark.name] = dark
            self.dark.append(dark)
