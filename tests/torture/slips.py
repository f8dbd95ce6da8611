"""An operator's slips, in random order, while customers change their certificates on C4 themselves.

A wrong name is added and deleted again, commands are given twice or for other names, killed midway, or meet a C4 that does not
answer. A certificate that sslctl did not install may disappear only if a command that named the domain saw it and was consent
to that (`add`, `delete --force`), or if it has expired. `TORTURE_SEED=NUMBER` repeats a run.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from secrets import randbits
from typing import Any, Self

from sslctl.certificates.x509 import read_leaf
from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.torture.case import Case, describe_exit_codes

TITLE = "Slips of operators"
TARGET = (
    "no foreign certificate disappears without --force or a command that named the domain; no edge left empty"
)

_NAMES = ("shop.example.com", "news.example.org", "blog.example.net")
_RUNS = {True: 8, False: 200}
_STEPS = {True: 25, False: 40}
_FAULTS = (
    Fault(kind=Operation.LOOKUP, status=503, retry_after=60, times=1),
    Fault(kind=Operation.LOOKUP, status=404, times=1),
    Fault(kind=Operation.REMOVE, drop=Drop.AFTER, times=3),
    Fault(kind=Operation.REMOVE, drop=Drop.BEFORE, times=3),
    Fault(kind=Operation.REMOVE, status=500, times=1),
    Fault(kind=Operation.UPLOAD, status=422, times=1),
    Fault(kind=Operation.UPLOAD, drop=Drop.AFTER, times=1),
    Fault(kind=Operation.READBACK, status=500, times=1),
)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Run random steps with a C4 that has preconditions, then with one that has none."""
    for preconditions in (True, False):
        given = os.environ.get("TORTURE_SEED")
        # The slice of `make test` is the same each time.
        seeds = [number if small else randbits(32) for number in range(_RUNS[small])]
        seeds = [int(given)] if given else seeds
        made, codes, violations = Counter[str](), Counter[int](), list[str]()
        for number, seed in enumerate(seeds):
            place = folder / f"{preconditions}-{number}"
            place.mkdir()
            with _Run(place, seed, preconditions=preconditions) as one:
                for _ in range(_STEPS[small]):
                    one.step()
                one.end()
            made += one.made
            codes += one.codes
            violations += [f"seed {seed}: {violation}" for violation in one.violations]
        found = ", ".join(f"{count} {what}" for what, count in sorted(made.items()))
        yield Case(
            f"slips, C4 with{'' if preconditions else 'out'} preconditions",
            len(seeds) * _STEPS[small],
            violations,
            f"{found}; {describe_exit_codes(codes)}",
        )


class _Killed(BaseException):
    """Stands for kill -9: no code catches it."""


class _WatchedC4:
    """C4 as one command sees it: notes what the command saw, what it removed, and what happens in between."""

    def __init__(self, real: Any, run: _Run, disturb_at: int, kill_at: int) -> None:
        self._real = real
        self._run = run
        self._disturb_at, self._kill_at = disturb_at, kill_at
        self._calls = 0

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)

    def domain(self, name: str) -> Any:
        record = self._call(name, self._real.domain, name)
        if record.certificate is not None:
            self._run.saw(name, record.certificate.fingerprint)
        return record

    def certificate(self, name: str) -> Any:
        return self._call(name, self._real.certificate, name)

    def upload(self, name: str, *arguments: Any) -> Any:
        return self._call(name, self._real.upload, name, *arguments)

    def remove(self, name: str, *arguments: Any) -> Any:
        return self._call(name, self._real.remove, name, *arguments)

    def _call(self, name: str, call: Any, *arguments: Any) -> Any:
        self._calls += 1
        if self._calls == self._disturb_at:
            self._run.paste_on_c4(name, "changes during a command")
        if self._calls == self._kill_at:
            self._run.made["kills"] += 1
            raise _Killed
        before = self._run.installed(name)
        try:
            return call(*arguments)
        finally:
            self._run.compare(name, before)


class _Run:
    """One sequence of steps over a fresh state."""

    def __init__(self, folder: Path, seed: int, *, preconditions: bool) -> None:
        self.made = Counter[str]()
        self.codes = Counter[int]()
        self.violations = list[str]()
        self._random = Random(seed)
        self._preconditions = preconditions
        self._clock = Clock()
        self._cdn = Cdn(folder, self._clock)
        self._theirs = dict[str, datetime]()
        self._agreed = defaultdict[str, set[str]](set)
        self._consenting: frozenset[str] = frozenset()
        self._command: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        self._cdn.__enter__()
        self._cdn.c4.features.preconditions = self._preconditions
        for name in _NAMES:
            self._cdn.add_domain(name)
        return self

    def __exit__(self, *error: object) -> None:
        self._cdn.__exit__(*error)

    def step(self) -> None:
        """Take one random step."""
        chosen = self._random.random()
        if chosen < 0.2:
            self.paste_on_c4(self._random.choice(_NAMES), "changes by customers")
        elif chosen < 0.3:
            self._clock.move(
                hours=self._random.choice((1, 1, 24, 24 * 7, 24 * 60)), minutes=self._random.randrange(60)
            )
        elif chosen < 0.4:
            self._cdn.c4.set_faults(self._random.choice(_FAULTS))
        elif chosen < 0.5:
            self._cdn.point(self._random.choice(_NAMES), "elsewhere.example.org")
        else:
            self._slip()

    def end(self) -> None:
        """Let everything be well again, run ticks, and check that nothing foreign disappeared and no edge is empty."""
        self._heal()
        for _ in range(3):
            self._clock.move(hours=25)
            self._sslctl("daemon-tick")
        listed = self._cdn.sslctl("list", "--json").json["domains"]
        for domain in listed:
            name = domain["domain"]
            if self.installed(name) is None:
                self.violations.append(f"{name} is managed, healthy, and nothing is installed: {domain}")

    def installed(self, name: str) -> str | None:
        """Return the fingerprint of what C4 has for `name`."""
        return self._cdn.installed(name)

    def saw(self, name: str, fingerprint: str) -> None:
        """Note that the command saw the certificate: if it is consent for `name`, it is consent to replace this one."""
        if name in self._consenting:
            self._agreed[name].add(fingerprint)

    def compare(self, name: str, before: str | None) -> None:
        """Check what a request of sslctl did to the certificate that was installed `before`."""
        expires = self._theirs.get(before or "")
        if before is None or expires is None or self.installed(name) == before:
            return
        self.made["foreign certificates replaced or removed"] += 1
        if before not in self._agreed[name] and expires > self._clock():
            self.violations.append(f"I9: {before[:16]} of {name} disappeared in {' '.join(self._command)}")

    def paste_on_c4(self, name: str, kind: str) -> None:
        """Let the customer install a pair of their own on C4, sometimes one that expires soon."""
        pair = self._cdn.text_pair(name, days=self._random.choice((365, 365, 90, 2)))
        app = self._cdn.app()
        with suppress(Exception):
            app.control_plane.upload(name, pair, Source.TEXT)
            leaf = read_leaf(pair.certificate)
            self._theirs[leaf.fingerprint] = leaf.not_after
            self.made[kind] += 1
        app.close()

    def _slip(self) -> None:
        """Run a command, sometimes twice."""
        name = self._random.choice(_NAMES)
        several = self._random.sample(_NAMES, 2)
        consent = frozenset[str]()
        command: tuple[str, ...]
        match self._random.randrange(10):
            case 0 | 1:
                command = ("add", name, "--no-wait")
            case 2:
                command, consent = ("add", name), frozenset({name})
            case 3:
                pair = self._cdn.text_pair(name, days=90)
                command, consent = ("add", name, *self._cdn.paste(pair)), frozenset({name})
            case 4 | 5:
                command = ("delete", name, "--yes")
            case 6:
                command = ("delete", *several, "--yes")
            case 7:
                command, consent = ("delete", name, "--yes", "--force"), frozenset({name})
            case 8:
                command = ("recheck", name)
            case _:
                command = ("daemon-tick",)
        if self._random.random() < 0.5:
            self._heal()
        for _ in range(self._random.choice((1, 1, 2))):
            self._sslctl(*command, consent=consent, is_wild=True)

    def _sslctl(self, *command: str, consent: frozenset[str] = frozenset(), is_wild: bool = False) -> None:
        self._command, self._consenting = command, consent
        app = self._cdn.app()
        # A customer's change within milliseconds of a removal is lost on a C4 without preconditions, as documented.
        disturb_at = self._random.choice((0, 0, 1, 2, 3, 4)) if is_wild and self._preconditions else 0
        kill_at = self._random.choice((0, 0, 0, 1, 2, 3, 4, 5)) if is_wild else 0
        watched: Any = _WatchedC4(app.control_plane, self, disturb_at, kill_at)
        app.control_plane = watched
        self.made["commands"] += 1
        try:
            code = self._cdn.sslctl(*command, app=app).exit_code
        except _Killed:
            return
        finally:
            app.close()
            self._consenting = frozenset()
        self.codes[code] += 1
        if code == Exit.BUG:
            self.violations.append(f"{' '.join(command)} ended with a bug")
        if command[0] == "delete" and code == Exit.OK:
            for name in command[1:]:
                self._agreed.pop(name, None)

    def _heal(self) -> None:
        self._cdn.c4.heal()
        for name in _NAMES:
            self._cdn.clear_dns(name)
            self._cdn.add_domain(name)
