"""The fleet of the simulation of two years: customers, what goes wrong with their domains, and how they react.

Nobody acts because of a message: customers repair their DNS after a while, and replace their text certificates when they are
reminded elsewhere, some of them too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random

from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import next_midnight
from tests.torture.years_ca import challenge_failed
from tests.torture.years_heard import Cause
from tests.torture.years_world import SUFFIX, World

_DAY = timedelta(days=1)
_PER_CUSTOMER = {"acme": 0.06, "lone": 0.004}
_KINDS = (("c4", 0.80), ("san", 0.08), ("text", 0.05), ("foreign", 0.03), ("never", 0.02), ("leaver", 0.02))
_DNS_TROUBLES_A_YEAR = 0.05
_DNS_TROUBLES = (
    Code.NXDOMAIN, Code.CNAME_ELSEWHERE, Code.CNAME_MISSING, Code.CAA_FORBIDS, Code.DNS_UNANSWERED, Code.AAAA_ELSEWHERE,
    Code.PORTS_NOT_ENABLED, Code.CHALLENGE_FAILED,
)  # fmt: skip
_TEXT_CODES = frozenset(
    {Code.TEXT_EXPIRES, Code.CERT_EXPIRED, Code.OTHER_CERTIFICATE, Code.OTHER_EXPIRED, Code.FOREIGN_TEXT}
)
_TRIED = {Exit.OK, Exit.PENDING, Exit.FAILURE, Exit.DISCARD, Exit.EMERGENCY, Exit.TRY_LATER}
_GONE_CODES = frozenset({Code.CNAME_ELSEWHERE, Code.DEPARTED, Code.C4_UNKNOWN_DOMAIN})


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the simulation is, in domains and days from `start` on. All domains are added in the first `joining` days.

    While a fault lasts there is a tick after each `step`.
    """

    start: datetime
    domains: int
    days: int
    joining: int
    step: timedelta


class Fleet:
    """Customers and their domains in `world`, all by `random`.

    Of all `names`, `renewed` are those that sslctl renews. It does not manage the `bystanders`.
    """

    def __init__(self, world: World, random: Random, sizes: Sizes) -> None:
        self._world = world
        self._random = random
        self._sizes = sizes
        self._end = world.clock() + sizes.days * _DAY
        self.names: list[str] = []
        self.renewed: list[str] = []
        self.bystanders: list[str] = []

    def customer(self, name: str) -> list[str]:
        """Return the domains of the customer `name`."""
        return [each for each in self.names if each.startswith(f"www.{name}-")]

    def plan(self) -> None:
        """Plan everything that customers do, from now on."""
        kinds, weights = zip(*_KINDS, strict=True)
        joining: dict[datetime, list[str]] = {}
        for number in range(self._sizes.domains):
            name = f"www.{self._choose_customer()}-{number:04}.example"
            kind = self._random.choices(kinds, weights)[0]
            day = next_midnight(self._world.clock() + self._random.randrange(self._sizes.joining) * _DAY)
            self.names.append(name)
            self._create(name)
            if kind == "text":
                self._plan_text(name, day + self._hours(23))
                continue
            getattr(self, f"_plan_{kind}")(name, day)
            if kind == "san":
                self._world.at(day, partial(self._add, name, "--san", f"cdn.{name[4:]}"))
            else:
                joining.setdefault(day, []).append(name)
        for day, names in joining.items():
            self._world.at(day, partial(self._add_many, names))
        for number in range(3):
            self._plan_bystander(f"www.own-{number:04}.example")

    def _choose_customer(self) -> str:
        for name, share in _PER_CUSTOMER.items():
            if self._random.random() < share:
                return name
        return "shop"

    def _create(self, name: str) -> None:
        self._world.c4.create(name, f"{name}.{SUFFIX}")

    def _hours(self, most: float) -> timedelta:
        return timedelta(minutes=round(self._random.uniform(0, most * 60)))

    def _add(self, name: str, *options: str) -> None:
        self._world.sslctl("add", name, *options, "--no-wait", expected={Exit.OK})

    def _add_many(self, names: list[str]) -> None:
        with self._world.file("\n".join(names)) as path:
            self._world.sslctl("add", "--from-file", str(path), "--no-wait", expected={Exit.OK})

    # Kinds of domains

    def _plan_c4(self, name: str, day: datetime) -> None:
        self.renewed.append(name)
        self._plan_dns_troubles(name, day)

    _plan_san = _plan_c4

    def _plan_foreign(self, name: str, day: datetime) -> None:
        """Somebody else has installed a c4 certificate, which is adopted and replaced when it is due."""
        self._world.at(
            day - timedelta(hours=1),
            partial(self._world.place, name, Source.C4, self._random.uniform(10, 60)),
        )
        self._plan_c4(name, day)

    def _plan_never(self, name: str, day: datetime) -> None:
        """Its DNS is never right."""
        self._world.dns.troubles[name] = self._random.choice(_DNS_TROUBLES[:3])
        self._cause("never right", frozenset(_DNS_TROUBLES), name, day)

    def _plan_leaver(self, name: str, day: datetime) -> None:
        """It leaves the CDN. After a month C4 deletes it, and ten days later an operator here."""
        self.renewed.append(name)
        away = day + timedelta(days=self._random.uniform(10, max(11, self._sizes.days - 50)))

        def leave() -> None:
            self._world.dns.troubles[name] = Code.CNAME_ELSEWHERE
            self._cause("left the CDN", _GONE_CODES, name, away)

        def end() -> None:
            self._world.edge.ignored.add(name)
            self._world.c4.delete(name)

        self._world.at(away, leave)
        self._world.at(away + 30 * _DAY, end)
        self._world.at(away + 40 * _DAY, partial(self._world.sslctl, "delete", name, "--yes"))

    def _plan_bystander(self, name: str) -> None:
        """Its own text certificate is on C4, and sslctl does not manage it."""
        self._create(name)
        self.bystanders.append(name)
        self._world.place(name, Source.TEXT, 1000)

    def _plan_text(self, name: str, at: datetime) -> None:
        self._world.at(at, partial(self._paste, name))

    def _paste(self, name: str) -> None:
        """Add a customer's pair, and plan its replacement: of ten, seven early, two late, one after it has expired."""
        days = self._random.choice((90, 90, 180, 365))
        bundle = self._world.pair(name, days)
        with (
            self._world.file(bundle.certificate) as cert,
            self._world.file(bundle.private_key) as key,
            self._world.file(bundle.chain) as chain,
        ):
            options = ("--cert", str(cert), "--key", str(key), "--chain", str(chain))
            self._world.sslctl("add", name, *options, expected=_TRIED)
        expiry = self._world.clock() + days * _DAY
        lead = self._random.choices((12, 2, -5), (7, 2, 1))[0]
        self._cause("text not replaced", _TEXT_CODES, name, expiry - 30 * _DAY, expiry - lead * _DAY)
        self._world.at(expiry - lead * _DAY, partial(self._paste, name))

    # Troubles

    def _plan_dns_troubles(self, name: str, day: datetime) -> None:
        at = day
        while True:
            at += timedelta(days=self._random.expovariate(_DNS_TROUBLES_A_YEAR / 365))
            if at >= self._end:
                return
            end = at + timedelta(days=min(40, self._random.lognormvariate(1.2, 1)))
            code = self._random.choice(_DNS_TROUBLES)
            self._world.at(at, partial(self._break, name, code))
            self._world.at(end, partial(self._mend, name))
            self._cause(f"its {code}", frozenset({code, Code.DEPARTED}), name, at, end)
            at = end

    def _break(self, name: str, code: Code) -> None:
        if code is Code.PORTS_NOT_ENABLED:
            self._world.c4.set_ports(name, 80)
        elif code is Code.CHALLENGE_FAILED:
            self._world.ca.troubles[name] = challenge_failed
        else:
            self._world.dns.troubles[name] = code

    def _mend(self, name: str) -> None:
        self._world.c4.set_ports(name, 80, 443)
        self._world.ca.troubles.pop(name, None)
        self._world.dns.troubles.pop(name, None)

    def _cause(
        self, what: str, codes: frozenset[Code], name: str, begin: datetime, end: datetime | None = None
    ) -> None:
        self._world.heard.causes.append(Cause(what, codes, {name}, begin, end))
