"""One wrong answer of C4 or DNS about a whole fleet; certificates that C4 loses, and that customers replace, silently.

For one tick C4 or DNS answers wrongly about all domains, which are due for renewal or not. Then all is well again. What is served
must never get worse, no more than a bounded part of the fleet may change its status, and in the end every domain must be in
Success without a person's help.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Self

from sslctl.control_plane import Installed, Record, Unanswered, Unauthorized, UnknownDomain
from sslctl.errors import Exit
from sslctl.rules.model import Source, State
from tests.support.cdn import SUFFIX, Cdn
from tests.support.dns_zone import Trouble
from tests.support.fakes import Clock
from tests.support.lying_c4 import LyingC4
from tests.torture.case import Case, describe_exit_codes

TITLE = "Wrong words, drift and silent loss"
TARGET = "the edge never gets worse, at most 5 of 40 domains change their status, all end in Success"

_FLEET = {True: 12, False: 40}
_MOST = 5
_WELL = {Exit.OK, Exit.SOME_NOT_WELL, Exit.EMERGENCY, Exit.TRY_LATER}
_PORTS = frozenset({80, 443})
_FAR = datetime(2030, 1, 1, tzinfo=UTC)


def _unknown(name: str) -> Record:
    raise UnknownDomain(f"C4 has no domain {name}")


def _unanswered(_name: str) -> Record:
    raise Unanswered("answered 500")


def _unauthorized(_name: str) -> Record:
    raise Unauthorized("answered 401")


def _empty(name: str) -> Record:
    return Record(name, f"{name}.{SUFFIX}", _PORTS, None)


def _without_ports(name: str) -> Record:
    return Record(name, f"{name}.{SUFFIX}", frozenset(), None)


def _other(source: Source) -> Callable[[str], Record]:
    installed = Installed(source, "ab" * 32, _FAR, State.ACTIVE)
    return lambda name: Record(name, f"{name}.{SUFFIX}", _PORTS, installed)


_C4_LIES: dict[str, Callable[[str], Record]] = {
    "C4 knows no domain": _unknown,
    "C4 has no certificate": _empty,
    "C4 has another text certificate": _other(Source.TEXT),
    "C4 has another c4 certificate": _other(Source.C4),
    "C4 has no ports": _without_ports,
    "C4 does not answer": _unanswered,
    "C4 refuses the token": _unauthorized,
}


def _vanish(cdn: Cdn, name: str) -> None:
    cdn.clear_dns(name)


def _move(cdn: Cdn, name: str) -> None:
    cdn.clear_dns(name)
    cdn.point(name, "parking.example.org")


def _fail(cdn: Cdn, name: str) -> None:
    cdn.zone.spoil(name, Trouble.SERVFAIL)


def _forbid(cdn: Cdn, name: str) -> None:
    cdn.zone.add(name, "CAA", '0 issue "other.test"')


def _strip(cdn: Cdn, name: str) -> None:
    cdn.clear_dns(name)
    cdn.zone.add(name, "TXT", '"no address and no CNAME"')


_DNS_LIES: dict[str, Callable[[Cdn, str], None]] = {
    "DNS: NXDOMAIN": _vanish,
    "DNS: no CNAME": _strip,
    "DNS: CNAME elsewhere": _move,
    "DNS: SERVFAIL": _fail,
    "DNS: CAA forbids": _forbid,
}


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Inject each wrong answer about a fleet that is due and one that is not; then lose and replace certificates."""
    for is_due in (True, False):
        when = "renewals are due" if is_due else "nothing is due"
        for what, lie in _C4_LIES.items():
            with _World(folder, small=small) as world:
                yield world.lie(f"{what}, {when}", c4=lie, is_due=is_due)
        for what, spoil in _DNS_LIES.items():
            with _World(folder, small=small) as world:
                yield world.lie(f"{what}, {when}", dns=spoil, is_due=is_due)
    for number in (1, _MOST, _FLEET[small]):
        with _World(folder, small=small) as world:
            yield world.lose(number)
    with _World(folder, small=small) as world:
        yield world.drift()


class _World:
    """A fleet in Success; `violations` and `codes` of its commands."""

    _made = 0

    def __init__(self, folder: Path, *, small: bool) -> None:
        _World._made += 1
        place = folder / f"wrong-words-{_World._made}"
        place.mkdir()
        self.clock = Clock()
        self.cdn = Cdn(place, self.clock)
        self.names = [f"d{number:02}.example.com" for number in range(_FLEET[small])]
        self.violations = list[str]()
        self.codes = Counter[int]()

    def __enter__(self) -> Self:
        self.cdn.__enter__()
        for name in self.names:
            self.cdn.add_domain(name)
        self.cdn.sslctl("add", *self.names)
        self.tick()
        return self

    def __exit__(self, *error: object) -> None:
        self.cdn.__exit__(*error)

    def lie(
        self,
        fault: str,
        *,
        c4: Callable[[str], Record] | None = None,
        dns: Callable[[Cdn, str], None] | None = None,
        is_due: bool,
    ) -> Case:
        """Inject a wrong answer for one tick, then none; check the edge, the statuses and the orders."""
        self.clock.move(days=84 if is_due else 8)
        before = self.edge()
        if dns is not None:
            for name in self.names:
                dns(self.cdn, name)
        code = self.tick(c4)
        changed = [each for each in self.listed() if each["status"] != "Success"]
        if len(changed) > _MOST:
            self.violations.append(
                f"I11: {len(changed)} domains changed their status: {changed[0]['reason']}"
            )
        self.compare(before)
        if dns is not None:
            for name in self.names:
                self.cdn.clear_dns(name)
                self.cdn.point(name, f"{name}.{SUFFIX}")
        for hours in (1, 1, 24, 24):
            self.clock.move(hours=hours)
            self.tick()
            self.compare(before)
        for each in self.listed():
            if each["status"] != "Success" or each["warnings"] or each["unconfirmed"]:
                self.violations.append(f"I11: it did not heal: {each}")
        orders = len(self.cdn.issuer.orders)
        if orders > len(self.names) * (2 if is_due else 1):
            self.violations.append(f"I2: {orders} orders for {len(self.names)} domains")
        return Case(
            fault,
            len(self.names),
            self.violations,
            f"the tick ended with {code}, {len(changed)} not in Success",
        )

    def lose(self, number: int) -> Case:
        """Let C4 lose the certificates of `number` domains, without a word."""
        before = self.edge()
        for name in Random(number).sample(self.names, number):
            self.cdn.app().control_plane.remove(name)
        for _ in range(25):
            self.clock.move(hours=1)
            self.tick()
        if self.edge() != before:
            self.violations.append("a lost certificate is not back after a day")
        if len(self.cdn.issuer.orders) != len(self.names):
            self.violations.append("I2: a loss led to an order")
        fault = f"C4 loses the certificates of {number} of {len(self.names)} domains"
        return Case(fault, number, self.violations, f"back within a day; {describe_exit_codes(self.codes)}")

    def drift(self) -> Case:
        """Let customers install certificates of their own in place of ours: longer, shorter, and one that soon expires."""
        theirs = {}
        for number, name in enumerate(self.names):
            pair = self.cdn.text_pair(name, days=(365, 120, 20)[number % 3])
            control_plane = self.cdn.app().control_plane
            control_plane.remove(name)
            control_plane.upload(name, pair, Source.TEXT)
            theirs[name] = self.cdn.installed(name)
        for day in range(100):
            self.clock.move(days=1)
            self.tick()
            for number, name in enumerate(self.names):
                has_expired = number % 3 == 2 and day >= 19
                if self.cdn.installed(name) != theirs[name] and not has_expired:
                    self.violations.append(
                        f"I9: the certificate of a customer, {name}, was replaced on day {day}"
                    )
        for number, each in enumerate(self.listed()):
            if (number % 3 == 2) == bool(each["warnings"]) or each["status"] != "Success":
                self.violations.append(f"drift is not shown as a warning, or an expired one is left: {each}")
        fault = "customers replace our certificates on C4, 100 days of ticks"
        return Case(fault, len(self.names), self.violations, describe_exit_codes(self.codes))

    def tick(self, lie: Callable[[str], Record] | None = None) -> int:
        """Run a tick, in which C4 may answer wrongly; return its exit code."""
        app = self.cdn.app()
        if lie is not None:
            lying: Any = LyingC4(app.control_plane, lie)
            app.control_plane = lying
        code = self.cdn.sslctl("daemon-tick", app=app).exit_code
        self.codes[code] += 1
        if code not in _WELL:
            self.violations.append(f"I8: a tick ended with {code}")
        return code

    def listed(self) -> list[Any]:
        """Return the domains as `list --json` shows them."""
        domains: list[Any] = self.cdn.sslctl("list", "--json").json["domains"]
        return domains

    def edge(self) -> dict[str, tuple[str, datetime] | None]:
        """Return fingerprint and expiry of what C4 has for each domain."""
        placed = {name: self.cdn.c4.serving(name) for name in self.names}
        return {
            name: None if one is None else (one.fingerprint, one.not_after) for name, one in placed.items()
        }

    def compare(self, before: dict[str, tuple[str, datetime] | None]) -> None:
        """Note each domain whose edge got worse."""
        for name, now in self.edge().items():
            was = before[name]
            if was is not None and (now is None or now[1] < was[1]):
                self.violations.append(f"I10: what {name} serves got worse: {was} to {now}")
