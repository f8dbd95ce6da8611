"""The result of one step of `sslctl check`: what an order of a name would meet there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.reasons import Code


class CheckStep(StrEnum):
    """What is checked, in the order in which an order meets it.

    What is served (`CERTIFICATE`), and whether DNS may be switched (`CUTOVER`), affect no order.
    """

    C4 = "c4"
    PORTS = "ports"
    CNAME = "cname"
    ADDRESSES = "addresses"
    DNSSEC = "dnssec"
    CAA = "caa"
    RESOLVERS = "resolvers"
    PORT_80 = "port_80"
    PORT_443 = "port_443"
    CERTIFICATE = "certificate"
    CA = "ca"
    CUTOVER = "cutover"


class StepGrade(StrEnum):
    """The grade of a step. `BAD` alone keeps an order from succeeding now; `SKIPPED` means that nothing is known."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of a CNAME chain, or one HTTP request, in cleaned texts.

    `at` is a name or a URL, and `to` the name or the location that it leads to; empty if it leads no further. `address` is where
    the request was sent, empty for a CNAME and if it was sent nowhere. `status` is that of the HTTP response, None without one.
    """

    at: str
    to: str = ""
    address: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step found, and what is wanted there: cleaned texts. `name` is the name of the certificate that was checked.

    `code` is the reason, None if nothing is wrong or if no reason describes it. `records` are the DNS records that cure it.
    """

    step: CheckStep
    name: str
    grade: StepGrade
    found: str
    wanted: str = ""
    code: Code | None = None
    records: tuple[DnsRecord, ...] = ()
    hops: tuple[Hop, ...] = ()


def find_first_problem(steps: Iterable[StepResult]) -> StepResult | None:
    """Return the first of `steps` that keeps an order from succeeding; None if it would succeed."""
    return next((each for each in steps if each.grade is StepGrade.BAD), None)


def describe_chain(hops: Sequence[Hop]) -> str:
    """Return a chain in words: where it begins, and where each hop leads to; empty without hops."""
    return " → ".join([hops[0].at, *(hop.to for hop in hops)]) if hops else ""
