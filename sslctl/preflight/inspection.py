"""The checks of `Preflight` one by one: what each finds about a name, also after one that found a problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

import dns.name
from dns.rdatatype import AAAA, DS, A

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError, Publisher
from sslctl.preflight.agreement import Agreement, find_dissent
from sslctl.preflight.caa_check import CaaCheck, DecidingRecords
from sslctl.preflight.challenge_fetch import Outcome
from sslctl.preflight.dns_answer import DnsAnswer
from sslctl.preflight.lookup import DnssecBogus, DnsUnanswered, Resolver, to_text
from sslctl.preflight.old_host import find_host, is_old_host
from sslctl.preflight.old_host import find_problem as find_old_host_problem
from sslctl.preflight.pointing import Cdn, Pointed, find_links, find_target_addresses, look_up
from sslctl.preflight.ports import Address, Reach, at, find_refusal, try_port
from sslctl.preflight.remembered import RememberedResolver
from sslctl.preflight.token_probe import TokenProbe
from sslctl.preflight.token_probe import find_problem as find_token_problem
from sslctl.rules.check_steps import CheckStep, Hop, StepGrade, StepResult, describe_chain
from sslctl.rules.names import registered_domain
from sslctl.rules.reasons import Code
from sslctl.system.threads import map_in_threads
from sslctl.text import clean

T = TypeVar("T")

_MAX_ADDRESSES = 4
_LONGEST = 700
_ADDRESS_CODES = (
    Code.AAAA_ELSEWHERE,
    Code.TARGET_MISSING,
    Code.TARGET_UNANSWERED,
    Code.ADDRESS_UNANSWERED,
    Code.TARGET_ADDRESS_UNANSWERED,
)
"""The codes of the step `ADDRESSES`; the other ones about where a name points are of `CNAME`."""

_Reached = dict[Address, Reach]
_FindAddresses = Callable[[Resolver, dns.name.Name, str], Pointed]


@dataclass(frozen=True, slots=True)
class Inspected:
    """The steps about one name, and those of the CDN's addresses there that accepted a connection to the HTTPS port."""

    steps: tuple[StepResult, ...]
    addresses: tuple[Address, ...]


class Inspector:
    """The checks of `Preflight`, with the same arguments. Without state, so safe for use by many threads.

    With `publisher` a token that it serves is fetched, unless that is switched off. It raises `PreflightError`.
    """

    def __init__(
        self,
        cdn: CdnSection,
        dns_settings: DnsSection,
        caa_identities: tuple[str, ...],
        *,
        find_account_url: Callable[[], str],
        publisher: Publisher | None = None,
    ) -> None:
        self._settings = cdn
        self._dns = dns_settings
        self._cdn = Cdn(cdn)
        self._caa_identities = caa_identities
        self._caa = CaaCheck(self._cdn, caa_identities, find_account_url)
        self._publisher = publisher

    def inspect(
        self,
        name: str,
        cname_target: str,
        *,
        http_expected: bool,
        until: float,
        is_before_cutover: bool = False,
    ) -> Inspected:
        """Return what is found about `name` (an A-label). For `cname_target` and `http_expected` see `Prober.check`.

        With `is_before_cutover` the name may point at the customer's old host (`Prober.check_before_cutover`). Then the addresses
        that are returned are those of the target on the CDN.

        No lookup of DNS begins after `until` (`time.monotonic`). The ports take at most 3 seconds, the token 10.
        """
        agreement = Agreement(self._dns, partial(RememberedResolver, until=until))
        point = partial(find_host, self._cdn) if is_before_cutover else self._cdn.require_pointed
        looked = self._look(agreement.resolver, name, cname_target, point)
        examine = partial(self._examine, cname_target=cname_target, point=point)
        opinions = list(agreement.opinions(examine, looked.parsed))
        resolvers, is_contradicted = _resolvers(looked, opinions)
        steps = [_cname(looked), _addresses(looked), _dnssec(looked), self._show_caa(looked)]
        if is_contradicted:
            # Only what all resolvers find is a problem of the name.
            steps = [_demote(step) for step in steps]
        chosen = _choose(looked.pointed.addresses) if isinstance(looked.pointed, Pointed) else ()
        http, https = self._try_ports(chosen)
        is_old = is_old_host(looked.pointed)
        is_http_needed = http_expected and not is_old
        http_port = self._port(looked, http, CheckStep.PORT_80, is_needed=is_http_needed)
        https_port = self._port(looked, https, CheckStep.PORT_443, is_needed=True)
        if is_old:
            _, https = self._try_ports(_choose(find_target_addresses(looked.resolver, cname_target)))
            https_port = looked.skip(
                CheckStep.PORT_443, "not checked, because the name points at the old host"
            )
        ports = [self._add_token(looked, http_port), https_port]
        is_open = [address for address, reach in https.items() if reach is Reach.OPEN]
        return Inspected((*steps, resolvers, *ports), tuple(is_open))

    def _try_ports(self, addresses: Sequence[Address]) -> tuple[_Reached, _Reached]:
        """Return how each of `addresses` answers on the HTTP port and on the HTTPS port; nothing if probes are off."""
        if not addresses or not self._settings.probe_ports:
            return {}, {}
        ports = (self._settings.http_port, self._settings.https_port)
        tried = [(address, port) for port in ports for address in addresses]

        def attempt(where: tuple[Address, int]) -> Reach:
            return try_port(*where, private=self._settings.probe_private)

        reached = list(map_in_threads(attempt, tried, len(tried), "port", wait=False, is_daemon=True))
        return (
            dict(zip(addresses, reached[: len(addresses)], strict=True)),
            dict(zip(addresses, reached[len(addresses) :], strict=True)),
        )

    def _examine(
        self, resolver: Resolver, name: dns.name.Name, cname_target: str, point: _FindAddresses
    ) -> None:
        point(resolver, name, cname_target)
        self._caa.require_allowed(resolver, name, cname_target)

    def _look(self, resolver: Resolver, name: str, cname_target: str, point: _FindAddresses) -> _Looked:
        parsed = dns.name.from_text(name)
        return _Looked(
            name,
            parsed,
            resolver,
            cname_target,
            _attempt(partial(point, resolver, parsed, cname_target)),
            _attempt(partial(self._caa.require_allowed, resolver, parsed, cname_target)),
        )

    def _show_caa(self, looked: _Looked) -> StepResult:
        deciding = looked.caa
        if isinstance(deciding, PreflightError) and deciding.code is not Code.DNSSEC_BOGUS:
            return looked.bad(CheckStep.CAA, deciding)
        if isinstance(deciding, PreflightError):
            return looked.skip(CheckStep.CAA, "not known, because DNSSEC validation fails")
        if not self._caa_identities:
            return looked.skip(CheckStep.CAA, "not checked, because acme.caa_identities is empty")
        return looked.ok(CheckStep.CAA, str(deciding or "no CAA record, so every CA may issue"))

    def _port(self, looked: _Looked, reached: _Reached, step: CheckStep, *, is_needed: bool) -> StepResult:
        """Return how the addresses answered connections to a port. It is closed if all of them refuse (`ports.find_refusal`)."""
        settings = self._settings
        port = settings.http_port if step is CheckStep.PORT_80 else settings.https_port
        code = Code.PORT_80_CLOSED if step is CheckStep.PORT_80 else Code.PORT_443_CLOSED
        if not isinstance(looked.pointed, Pointed):
            return looked.skip(step, "not checked, because the name was not seen to lead to the CDN")
        if not settings.probe_ports:
            return looked.skip(step, "not checked, because cdn.probe_ports is false")
        found = ", ".join(f"{at(address, port)} {reach.value}" for address, reach in reached.items())
        refused = all(reach is Reach.REFUSED for reach in reached.values()) and find_refusal(
            looked.pointed.addresses, port, private=settings.probe_private
        )
        if refused and not is_needed:
            return looked.skip(step, f"{found}; something must listen there only while an order runs")
        if refused:
            wanted = f"a listener on port {port}"
            return StepResult(step, looked.name, StepGrade.BAD, clean(refused), wanted, code)
        if all(reach is Reach.PRIVATE for reach in reached.values()):
            return looked.skip(step, found)
        is_open = all(reach is Reach.OPEN for reach in reached.values())
        return StepResult(step, looked.name, StepGrade.OK if is_open else StepGrade.WARN, clean(found))

    def _add_token(self, looked: _Looked, port: StepResult) -> StepResult:
        """Return the step `port` about port 80, with what a token that is fetched there shows."""
        publisher, pointed = self._publisher, looked.pointed
        if publisher is None or not self._settings.probe_challenge or not isinstance(pointed, Pointed):
            return port
        if port.grade is StepGrade.BAD:
            return port
        probe = TokenProbe(self._settings, looked.resolver)
        try:
            with closing(probe.fetch_each({looked.name: pointed.addresses}, publisher)) as results:
                fetched = next(results)
        except PreflightError as error:
            return looked.bad(CheckStep.PORT_80, error)
        hops = tuple(Hop(hop.url, hop.location, hop.address, hop.status) for hop in fetched.hops)
        old = find_old_host_problem(fetched, looked.target) if is_old_host(pointed) else None
        problem = old or find_token_problem(fetched)
        if problem is not None:
            return looked.bad(CheckStep.PORT_80, problem, hops)
        is_found = fetched.outcome is Outcome.FOUND
        text = "a token of sslctl was fetched" if is_found else f"no token was fetched: {fetched.found}"
        is_skipped = port.grade is StepGrade.SKIPPED
        grade = StepGrade.OK if is_found and is_skipped else port.grade
        if not is_found and not is_skipped:
            grade = StepGrade.WARN
        found = text if is_skipped else f"{port.found}; {text}"
        return replace(port, grade=grade, found=clean(found, _LONGEST), hops=hops)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What DNS has about a name: where it points, the CAA records that decide, or the problem."""

    name: str
    parsed: dns.name.Name
    resolver: Resolver
    target: str
    pointed: Pointed | PreflightError
    caa: DecidingRecords | PreflightError | None

    @property
    def problem(self) -> PreflightError | None:
        """The problem that an order would meet first."""
        return next((each for each in (self.pointed, self.caa) if isinstance(each, PreflightError)), None)

    def answers(self) -> list[DnsAnswer | DnsUnanswered]:
        """Return the answers for A and AAAA."""
        return [look_up(self.resolver, self.parsed, kind) for kind in (A, AAAA)]

    def ok(self, step: CheckStep, found: str, hops: Sequence[Hop] = ()) -> StepResult:
        return StepResult(step, self.name, StepGrade.OK, clean(found), hops=tuple(hops))

    def skip(self, step: CheckStep, found: str, hops: Sequence[Hop] = ()) -> StepResult:
        return StepResult(step, self.name, StepGrade.SKIPPED, clean(found), hops=tuple(hops))

    def bad(self, step: CheckStep, error: PreflightError, hops: Sequence[Hop] = ()) -> StepResult:
        return StepResult(
            step, self.name, StepGrade.BAD, error.found, error.wanted, error.code, error.records, tuple(hops)
        )


def _attempt(function: Callable[[], T]) -> T | PreflightError:
    try:
        return function()
    except PreflightError as error:
        return error


def _choose(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Return the addresses that are connected to: some of each family, IPv6 first."""
    of_family = [[each for each in addresses if each.version == version] for version in (6, 4)]
    return tuple(each for some in of_family for each in some[: _MAX_ADDRESSES // 2])


def _demote(step: StepResult) -> StepResult:
    return replace(step, grade=StepGrade.WARN) if step.grade is StepGrade.BAD else step


def _cname(looked: _Looked) -> StepResult:
    """Return the CNAME chain, link by link, and whether it leads to the CDN."""
    pointed, hops = looked.pointed, _hops(looked)
    if isinstance(pointed, PreflightError):
        if pointed.code is Code.DNSSEC_BOGUS:
            return looked.skip(CheckStep.CNAME, "not known, because DNSSEC validation fails", hops)
        if pointed.code not in _ADDRESS_CODES:
            return looked.bad(CheckStep.CNAME, pointed, hops)
    elif pointed.warning is not None and pointed.warning.code in (Code.SUFFIX_UNKNOWN, Code.BEFORE_CUTOVER):
        warning = pointed.warning
        return StepResult(
            CheckStep.CNAME,
            looked.name,
            StepGrade.WARN,
            warning.found,
            warning.wanted,
            warning.code,
            warning.records,
            hops,
        )
    if not hops:
        return looked.ok(CheckStep.CNAME, "no CNAME; the addresses decide")
    return looked.ok(CheckStep.CNAME, describe_chain(hops), hops)


def _hops(looked: _Looked) -> tuple[Hop, ...]:
    """Return the longest CNAME chain that DNS answers with, as links."""
    answers = [each for each in looked.answers() if isinstance(each, DnsAnswer)]
    chain = max((each.chain for each in answers), key=len, default=())
    chain = chain or (looked.parsed, *find_links(looked.resolver, looked.parsed))
    names = list(map(to_text, chain))
    return tuple(Hop(name, target) for name, target in pairwise(names))


def _addresses(looked: _Looked) -> StepResult:
    """Return the addresses of the name, and whether they are the CDN's."""
    pointed, found = looked.pointed, _describe_addresses(looked)
    if isinstance(pointed, PreflightError):
        if pointed.code in _ADDRESS_CODES:
            return looked.bad(CheckStep.ADDRESSES, pointed)
        return looked.skip(CheckStep.ADDRESSES, found)
    warning = pointed.warning
    if warning is not None and warning.code in _ADDRESS_CODES:
        found = clean(f"{found}; {warning.found}")
        return StepResult(CheckStep.ADDRESSES, looked.name, StepGrade.WARN, found, code=warning.code)
    return looked.ok(CheckStep.ADDRESSES, found)


def _describe_addresses(looked: _Looked) -> str:
    texts = []
    for kind, answer in zip(("A", "AAAA"), looked.answers(), strict=True):
        if isinstance(answer, DnsUnanswered):
            texts.append(f"{kind}: not known")
        else:
            texts.append(f"{kind}: {', '.join(record.to_text() for record in answer.records) or 'none'}")
    return clean("; ".join(texts))


def _dnssec(looked: _Looked) -> StepResult:
    """Return whether the zone of the name is signed, and whether the resolver's validation fails."""
    errors = (each for each in (looked.pointed, looked.caa) if isinstance(each, PreflightError))
    bogus = next((each for each in errors if each.code is Code.DNSSEC_BOGUS), None)
    if bogus is not None:
        return looked.bad(CheckStep.DNSSEC, bogus)
    for answer in looked.answers():
        # One family alone holds back no order.
        if isinstance(answer, DnssecBogus):
            found, records = str(answer), answer.records
            return StepResult(
                CheckStep.DNSSEC,
                looked.name,
                StepGrade.WARN,
                found,
                code=Code.DNSSEC_BOGUS,
                records=records,
            )
    if all(isinstance(answer, DnsUnanswered) for answer in looked.answers()):
        return looked.skip(CheckStep.DNSSEC, "not known, because DNS does not answer")
    zone = looked.parsed
    end = dns.name.from_text(registered_domain(looked.name))
    while True:
        answer = look_up(looked.resolver, zone, DS)
        if isinstance(answer, DnsUnanswered):
            return looked.skip(CheckStep.DNSSEC, f"not known whether the zone is signed: {answer}")
        if answer.records and not answer.links:
            return looked.ok(CheckStep.DNSSEC, f"signed (DS at {to_text(zone)}), and the resolver answers")
        if zone == end or zone.is_superdomain(end):
            return looked.ok(CheckStep.DNSSEC, "not signed")
        zone = zone.parent()


def _resolvers(
    looked: _Looked, opinions: Sequence[tuple[str, PreflightError | None]]
) -> tuple[StepResult, bool]:
    """Return whether the resolvers agree, and whether one contradicts the problem that the first one leads to."""
    problem = looked.problem
    if not opinions:
        return looked.skip(
            CheckStep.RESOLVERS, "only one is configured, so there is no second opinion"
        ), False
    dissent = None if problem is None else find_dissent(problem, iter(opinions))
    if dissent is not None:
        return looked.bad(CheckStep.RESOLVERS, dissent), True
    codes = [("the first that answers", problem), *opinions]
    found = clean("; ".join(f"{who}: {error.code if error else 'nothing wrong'}" for who, error in codes))
    is_same = len({error and error.code for _, error in codes}) == 1
    grade = StepGrade.OK if is_same else StepGrade.WARN
    return StepResult(CheckStep.RESOLVERS, looked.name, grade, found), False
