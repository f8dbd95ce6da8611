"""Backups at random moments, renewals after them, restores of older backups, and CAs that suddenly issue something worse.

After each command the edge is compared with what it served before. `TORTURE_SEED=NUMBER` repeats a run.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from secrets import randbits
from typing import Self
from zoneinfo import ZoneInfo

from sslctl.certificates.x509 import read_leaf
from sslctl.errors import Exit
from sslctl.rules.model import Leaf
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import Clock, FakeIssuer
from tests.torture.case import Case, describe_exit_codes

TITLE = "Restores of older backups, and worse certificates"
TARGET = "the edge never gets worse; no order for a domain that is served well, and at most one a day"

_NAMES = ("shop.example.com", "news.example.org", "blog.example.net")
_RUNS = {True: 6, False: 150}
_STEPS = {True: 30, False: 50}
_LIFETIMES = (
    timedelta(days=90),
    timedelta(days=90),
    timedelta(days=45),
    timedelta(days=4),
    timedelta(minutes=1),
)
_DUE = timedelta(days=7)
_SGT = ZoneInfo("Asia/Singapore")
_FAULTS = (
    Fault(kind=Operation.LOOKUP, status=503, retry_after=60, times=2),
    Fault(kind=Operation.UPLOAD, status=500, times=1),
    Fault(kind=Operation.UPLOAD, drop=Drop.AFTER, times=1),
    Fault(kind=Operation.UPLOAD, drop=Drop.BEFORE, times=1),
    Fault(kind=Operation.READBACK, status=500, times=1),
)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Run random steps."""
    given = os.environ.get("TORTURE_SEED")
    # The slice of `make test` is the same each time.
    seeds = [int(given)] if given else [number if small else randbits(32) for number in range(_RUNS[small])]
    made, codes, violations = Counter[str](), Counter[int](), list[str]()
    for number, seed in enumerate(seeds):
        place = folder / str(number)
        place.mkdir()
        with _Run(place, seed) as one:
            for _ in range(_STEPS[small]):
                one.step()
            one.end()
        made += one.made
        codes += one.codes
        violations += [f"seed {seed}: {violation}" for violation in one.violations]
    found = ", ".join(f"{count} {what}" for what, count in sorted(made.items()))
    yield Case(
        "restores and worse certificates",
        len(seeds) * _STEPS[small],
        violations,
        f"{found}; {describe_exit_codes(codes)}",
    )


class _Run:
    """One sequence of steps over a fresh state, with a CA that browsers trust and one that they do not."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.made, self.codes, self.violations = Counter[str](), Counter[int](), list[str]()
        self._random = Random(seed)
        self._clock = Clock()
        self._cdn = Cdn(folder, self._clock)
        self._trusted, self._staging = self._cdn.issuer, FakeIssuer(self._clock)
        self._backups = list[Path]()
        self._days = Counter[tuple[str, date]]()

    def __enter__(self) -> Self:
        self._cdn.__enter__()
        roots = self._cdn.folder / "roots.pem"
        roots.write_text(self._trusted.chain)
        # With a CA bundle of its own for the CA, sslctl takes the chains of unknown certificates for private ones.
        config = re.sub(r"ca_bundle = .*\n", "", self._cdn.config_path.read_text(), count=1)
        self._cdn.config_path.write_text(f'{config}\n[safety]\ntrusted_roots = "{roots}"\n')
        for name in _NAMES:
            self._cdn.add_domain(name)
        self._sslctl("add", *_NAMES)
        return self

    def __exit__(self, *error: object) -> None:
        self._cdn.__exit__(*error)

    def step(self) -> None:
        """Take one random step."""
        chosen = self._random.random()
        if chosen < 0.15:
            self._back_up()
        elif chosen < 0.3 and self._backups:
            self._restore()
        elif chosen < 0.4:
            self._cdn.c4.set_faults(self._random.choice(_FAULTS))
        elif chosen < 0.55:
            self._cdn.issuer = self._random.choice((self._trusted, self._trusted, self._staging))
            self._cdn.issuer.lifetime = self._random.choice(_LIFETIMES)
        else:
            self._move_clock()
            self._sslctl("daemon-tick")

    def _move_clock(self) -> None:
        """Move the clock by hours or days, often to where the first renewal is due."""
        known = self._issued()
        served = [known[found][0] for name in _NAMES if (found := self._cdn.installed(name)) in known]
        until_due = min((leaf.not_after for leaf in served), default=self._clock()) - _DUE - self._clock()
        if until_due > timedelta(0) and self._random.random() < 0.5:
            self._clock.move(seconds=int(until_due.total_seconds()) + 3600)
        else:
            self._clock.move(hours=self._random.choice((1, 1, 12, 24, 24 * 20)))

    def end(self) -> None:
        """Let everything be well again, run ticks for two days, and check that each domain is served well."""
        self._cdn.c4.heal()
        self._cdn.issuer = self._trusted
        self._trusted.lifetime = timedelta(days=90)
        for _ in range(8):
            self._clock.move(hours=6)
            self._sslctl("daemon-tick")
        known = self._issued()
        for name in _NAMES:
            served = known.get(self._cdn.installed(name) or "")
            if served is None or served[0].not_after - self._clock() < timedelta(days=1):
                self.violations.append(f"{name} is not served well two days after all was repaired: {served}")

    def _back_up(self) -> None:
        path = self._cdn.folder / f"backup-{len(self._backups)}"
        self._sslctl("backup", str(path))
        self._backups.append(path)
        self.made["backups"] += 1

    def _restore(self) -> None:
        for path in (self._cdn.folder / "state").glob("sslctl.db*"):
            path.unlink()
        # What was refused after the backup is not known any more.
        self._days.clear()
        self._sslctl("restore", str(self._random.choice(self._backups)))
        self.made["restores"] += 1

    def _issued(self) -> dict[str, tuple[Leaf, bool]]:
        """Return every leaf that a CA issued, and whether browsers trust it, by fingerprint."""
        return {
            leaf.fingerprint: (leaf, issuer is self._trusted)
            for issuer in (self._trusted, self._staging)
            for leaf in (read_leaf(issued.certificate) for issued in issuer.issued.values())
        }

    def _sslctl(self, *command: str) -> None:
        before = {name: self._cdn.installed(name) for name in _NAMES}
        orders = self._cdn.issuer.orders_by_name()
        result = self._cdn.sslctl(*command)
        self.made["commands"] += 1
        self.codes[result.exit_code] += 1
        if result.exit_code == Exit.BUG:
            self.violations.append(f"{' '.join(command)} ended with a bug: {result.stderr[-300:]}")
        placed, known, now = self._cdn.issuer.orders_by_name() - orders, self._issued(), self._clock()
        for name in _NAMES:
            old = known.get(before[name] or "")
            self._check_edge(name, command[0], old, self._cdn.installed(name), known, now)
            self._check_orders(name, command[0], old, placed[name], now)

    def _check_edge(
        self,
        name: str,
        command: str,
        old: tuple[Leaf, bool] | None,
        installed: str | None,
        known: dict[str, tuple[Leaf, bool]],
        now: datetime,
    ) -> None:
        if old is None or old[0].fingerprint == installed or old[0].not_after <= now:
            return
        new = known.get(installed or "")
        if new is None:
            self.violations.append(f"{name}: {command} left {installed} on the edge")
            return
        self.made["certificates replaced"] += 1
        left, new_left = old[0].not_after - now, new[0].not_after - now
        if old[1] and not new[1]:
            self.violations.append(f"{name}: {command} replaced a trusted certificate by one that is not")
        if new_left < left / 2 or (new_left < left and left > _DUE):
            self.violations.append(f"{name}: {command} replaced {left} by {new_left}")

    def _check_orders(
        self, name: str, command: str, old: tuple[Leaf, bool] | None, placed: int, now: datetime
    ) -> None:
        if not placed or old is None or old[0].not_after <= now:
            return
        self.made["renewals ordered"] += placed
        day = (name, now.astimezone(_SGT).date())
        self._days[day] += placed
        if old[0].not_after - now > _DUE:
            self.violations.append(f"{name}: {command} ordered although the certificate is not due")
        if self._days[day] > 1:
            self.violations.append(f"{name}: {self._days[day]} orders on one day")
