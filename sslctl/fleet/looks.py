"""Look at what C4 has for every managed domain once a day, and at DNS once a week.

A look places no order and uploads nothing. It records what C4 has, or that C4 has lost our certificate: then the domain is
due for its upload. A bad answer about a domain that is served becomes a suspicion (`issuance.suspicions`).

C4's inventory, if it has one, is compared with the store first; then only what differs is looked at one by one. Without an
inventory each tick looks at a share of the fleet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from math import ceil
from typing import Protocol

from sslctl.control_plane import ControlPlane, ControlPlaneError, NoInventory
from sslctl.errors import Busy
from sslctl.fleet.inventory_look import look_at_inventory
from sslctl.fleet.onboarding_looks import look_at_new_domains
from sslctl.fleet.record_reader import Answer, RecordReader, in_threads, waits_for_c4
from sslctl.issuance.claims import claimed
from sslctl.issuance.customers import Named, NamedCustomers, WithheldCustomers
from sslctl.issuance.order_checks import find_problem
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.preflight import Prober
from sslctl.rules.model import Domain, Installed, PassResult
from sslctl.rules.pass_result import (
    Problem,
    Step,
    conclude_dns_check,
    conclude_pass,
    is_discard,
    step_of,
    suspect,
)
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import is_order_due
from sslctl.rules.status import queued_finding
from sslctl.rules.versions import is_adopted, is_expired, needs_upload
from sslctl.rules.warnings import find_warnings
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.cutovers import Cutovers
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.inventory import Inventory
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# A little less than a day, so that a daily tick that starts a little early still looks.
_LOOK_EVERY = timedelta(hours=23, minutes=30)
_CHECK_DNS_EVERY = timedelta(days=7)
_DAY = timedelta(days=1)
# So many single requests cost less than the inventory of a large fleet.
_FEW = 200
# The DNS of so many domains is checked before it is recorded.
_BLOCK = 2000
# More than is due, so that the fleet is through in time even if ticks fail.
_RESERVE = 1.25
# A restore shows the first domains that differ while a person waits.
_DIFFERENT_AFTER_RESTORE = 2000
# Every domain is looked at once a day; if a day's looks are missed as well, a person should know.
_BLIND_AFTER = timedelta(days=2)


class _Store(Claims, Cutovers, Domains, History, Inventory, Transactions, Versions, Protocol):
    """What the looks read and write."""


@dataclass(slots=True)
class Looked:
    """The result of the looks of a tick.

    `domains` were looked at. Of `foreign` C4 newly has a certificate that sslctl did not install; `warned` counts the domains
    with a new warning, by its code. `lost` are those of which C4 has lost our certificate; they are due for their upload,
    except for `lost_withheld`, which are too many to be believed. `changed` are those of which something else was recorded.
    `is_work_due` is whether other work fell due. DNS was asked about `dns_checks` domains. `trouble` is why the look was not
    finished, empty if it was; `is_blind` is whether no domain, or the most neglected one, was looked at for two days, and
    `is_refused` whether C4 refused the token.
    """

    domains: int = 0
    dns_checks: int = 0
    changed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    warned: Counter[Code] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    lost_withheld: list[str] = field(default_factory=list)
    is_work_due: bool = False
    trouble: str = ""
    is_blind: bool = False
    is_refused: bool = False


class Looks:
    """The looks of a tick. `reconcile` records what C4 has for a domain (`Observation.reconcile`).

    `look_at_edges` is called with the time since the last tick.
    """

    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        prober: Prober,
        reconcile: Callable[[Domain, Installed | None], Domain],
        *,
        clock: Callable[[], datetime],
        rule: RenewalRule,
        limit: SuspicionLimit,
        http_expected: bool,
        customers: NamedCustomers,
        look_at_edges: Callable[[timedelta], None] = lambda _since: None,
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._prober = prober
        self._reconcile = reconcile
        self._clock = clock
        self._rule = rule
        self._limit = limit
        self._http_expected = http_expected
        self._customers = customers
        self._look_at_edges = look_at_edges
        self._reader = RecordReader(control_plane)
        self._looked = Looked()

    def run(self, last_tick: datetime | None) -> Looked:
        """Look at the domains whose turn it is; return what was seen. Raise `StateError`.

        `last_tick` is when the tick before this one ended, None if there was none.
        """
        now = self._clock()
        since = _DAY if last_tick is None else min(max(now - last_tick, timedelta(0)), _DAY)
        number = self._store.count_managed()
        self._look_at_c4(_share(number, since, _DAY), now, before=now - _LOOK_EVERY)
        if not self._looked.trouble:
            self._check_dns(_share(number, since, _CHECK_DNS_EVERY), now)
        elif self._reader.is_refused or any(self._store.least_observed(now - _BLIND_AFTER, 1)):
            self._looked.is_blind = True
        self._looked.is_refused = self._reader.is_refused
        self._look_at_edges(since)
        return self._looked

    def look_at_new(self) -> list[str]:
        """Look at the DNS of new domains that do not point at the CDN yet; return those that do by now."""
        return look_at_new_domains(self._store, self._prober, self._clock())

    def run_after_restore(self) -> Looked:
        """Look at all domains, but one by one only at the first ones that differ; the next tick looks at the others."""
        now = self._clock()
        self._look_at_c4(_DIFFERENT_AFTER_RESTORE, now, before=now + _DAY, cap=_DIFFERENT_AFTER_RESTORE)
        # Of many changes the next tick reports that they are not believed.
        self.conclude_customers(0)
        return self._looked

    def reinstall_lost(self, names: Sequence[str]) -> None:
        """Record that C4 has lost the certificates of `names`, so that they are due for their upload."""
        for domain in self._store.domains_named(names):
            self._update(domain, None)

    def withhold_lost(self, names: Sequence[str]) -> None:
        """Record the suspicion that C4 has lost the certificates of `names`."""
        for domain in self._store.domains_named(names):
            self._suspect(domain, Code.C4_LOST)

    def conclude_customers(self, passes: int) -> WithheldCustomers | None:
        """Record the customers that C4 changed, in the looks and in so many passes; return them if they are too many."""
        looked_at = self._looked.domains + passes
        return self._customers.conclude(self._limit.of(looked_at), looked_at)

    # C4

    def _look_at_c4(self, share: int, now: datetime, *, before: datetime, cap: int | None = None) -> None:
        """Look at `share` domains that were last looked at before `before`, or compare the inventory.

        Of what differs from the inventory look at `cap` domains at most.
        """
        few = list(self._store.least_observed(before, _FEW + 1))
        doubted = [domain for domain in self._store.suspected(None) if _doubts_c4(domain)]
        due, trouble = iter(few), ""
        if len(few) + len(doubted) > _FEW:
            number = self._store.count_managed()
            # More than would be believed, so that many bad answers are noticed as many.
            most = cap or 2 * self._limit.of(number) + _FEW
            try:
                names = look_at_inventory(self._store, self._c4, self._customers, now, most=most)
            except ControlPlaneError as error:
                # One by one C4 may still answer.
                trouble = "" if isinstance(error, NoInventory) else f"its list of domains: {error}"
                due = self._store.least_observed(before, max(share, _FEW))
            else:
                self._looked.domains += number
                due, doubted = self._store.domains_named(names), []
        names_of_doubted = {domain.name for domain in doubted}
        others = (domain for domain in due if domain.name not in names_of_doubted)
        self._settle(self._reader.read(_may_ask(chain(doubted, others), now)), now)
        self._looked.trouble = self._reader.trouble or trouble

    def _settle(self, answers: Iterable[Answer], now: datetime) -> None:
        """Record the answers of C4; many that are bad in the same way are not believed."""
        same, lost, foreign, customers = list[str](), list[str](), list[Answer](), list[Named]()
        for answer in answers:
            domain, record = answer.domain, answer.record
            self._looked.domains += 1
            if record is None:
                self._hear_unknown(domain, now)
                continue
            customers.append(Named(domain.name, domain.c4_customer, record.customer))
            if _is_unknown(domain):
                self._requeue(domain, record.certificate, now)
            elif _has(domain, record.certificate):
                same.append(domain.name)
                self._end_doubt(domain)
            elif record.certificate is None:
                lost.append(domain.name)
            else:
                foreign.append(answer)
        self._store.confirm_observations(same, now)
        self._customers.hear(customers)
        limit = self._limit.of(self._looked.domains)
        for answer in foreign:
            assert answer.record is not None  # noqa: S101 - of the loop above
            if len(foreign) > limit and answer.domain.in_service is not None:
                self._suspect(answer.domain, Code.OTHER_CERTIFICATE)
            else:
                self._update(answer.domain, answer.record.certificate)
                self._looked.is_work_due = True
        first = limit if len(lost) <= limit else self._first_wave(limit)
        self._looked.lost, self._looked.lost_withheld = lost[:first], lost[first:]

    def _first_wave(self, limit: int) -> int:
        """Return how many of many lost certificates are uploaded first.

        Those count that C4 took in earlier ticks, and does not have since: C4 may just answer wrongly.
        """
        return max(0, limit - self._store.count_findings(Code.C4_MISMATCH))

    def _hear_unknown(self, domain: Domain, now: datetime) -> None:
        if _is_unknown(domain):
            self._store.confirm_observations([domain.name], now)
            return
        problem = Problem(Code.C4_UNKNOWN_DOMAIN)
        result = conclude_pass(domain, problem, now, is_due=False, is_dns_good=False)
        self._record(domain, result)

    def _requeue(self, domain: Domain, installed: Installed | None, now: datetime) -> None:
        """Queue a domain that was in Discard: C4 knows it again. An adopted one needs no pass: record what C4 has."""
        if not is_adopted(domain):
            self._record(domain, PassResult(queued_finding(now)))
            self._looked.is_work_due = True
            return
        self._record(domain, PassResult())
        for current in self._store.domains_named([domain.name]):
            self._update(current, installed)

    def _end_doubt(self, domain: Domain) -> None:
        """End a suspicion about what C4 has, which this look did not confirm.

        Two a look cannot end: that a certificate has expired is decided by the clock, and that C4 does not know the domain may
        have been its answer to an upload that is still missing.
        """
        foreign, now = domain.foreign, self._clock()
        has_expired = foreign is not None and is_expired(foreign, now)
        is_open = (_suspects(domain, Code.OTHER_EXPIRED) and has_expired) or (
            _suspects(domain, Code.C4_UNKNOWN_DOMAIN) and needs_upload(domain, now)
        )
        if _doubts_c4(domain) and not is_open:
            self._record(domain, replace(domain.result, suspicion=None))

    def _suspect(self, domain: Domain, code: Code) -> None:
        suspicion = suspect(domain, Problem(code), self._clock())
        self._record(domain, replace(domain.result, suspicion=suspicion))

    def _update(self, domain: Domain, installed: Installed | None) -> None:
        """Record what C4 has for `domain`, unless another process works on it."""
        with suppress(Busy), claimed(self._store, domain.name):
            current = self._store.domain(domain.name)
            if current.revision != domain.revision:
                return
            updated = self._reconcile(current, installed)
            if updated.foreign is not None and updated.foreign != current.foreign:
                self._looked.foreign.append(domain.name)
            self._count_new_warnings(current, updated)
            self._looked.changed.append(domain.name)
            self._end_doubt(updated)

    def _record(self, domain: Domain, result: PassResult) -> None:
        """Record `result`, unless another process changed `domain` meanwhile."""
        if result == domain.result:
            return
        with suppress(Busy), claimed(self._store, domain.name):
            self._store.record_result(domain, result)
            self._looked.changed.append(domain.name)

    # DNS

    def _check_dns(self, share: int, now: datetime) -> None:
        """Check ports, DNS and CAA of served domains that are not due: the trouble is known before the renewal."""
        doubted = [domain for domain in self._store.suspected(None) if not _doubts_c4(domain)]
        due = self._store.dns_checks_due(now, _CHECK_DNS_EVERY, 2 * self._rule.before, max(share, _FEW))
        names = {domain.name for domain in doubted[:_FEW]}
        both = chain(doubted[:_FEW], (domain for domain in due if domain.name not in names))
        left = _may_ask((each for each in both if not is_order_due(each, now, self._rule)), now)
        while block := list(islice(left, _BLOCK)):
            good: list[str] = []
            for answer, problem in self._probe(block):
                result = conclude_dns_check(answer.domain, problem, now)
                if result != answer.domain.result:
                    self._record_dns(answer.domain, result)
                else:
                    good.append(answer.domain.name)
            self._store.confirm_dns_checks(good, now)

    def _probe(self, domains: Sequence[Domain]) -> Iterator[tuple[Answer, Problem | None]]:
        answers = [answer for answer in self._reader.read(domains) if answer.record is not None]
        self._looked.trouble = self._reader.trouble
        self._looked.dns_checks += len(answers)
        yield from zip(answers, in_threads(self._find_problem, answers), strict=True)

    def _find_problem(self, answer: Answer) -> Problem | None:
        assert answer.record is not None  # noqa: S101 - of `_probe`
        expected, now, store = self._http_expected, self._clock(), self._store
        return find_problem(self._prober, answer.domain, answer.record, http_expected=expected, cutovers=store, now=now)  # fmt: skip

    def _record_dns(self, domain: Domain, result: PassResult) -> None:
        with suppress(Busy), claimed(self._store, domain.name):
            self._count_new_warnings(domain, self._store.record_dns_check(domain, result))

    def _count_new_warnings(self, before: Domain, after: Domain) -> None:
        now = self._clock()
        known = {warning.code for warning in find_warnings(before, now)}
        self._looked.warned.update(
            warning.code
            for warning in find_warnings(after, now)
            if warning.is_certain and warning.code not in known
        )


def _may_ask(domains: Iterable[Domain], now: datetime) -> Iterator[Domain]:
    """Yield `domains` without those about which C4 did not answer a pass, and whose next try is later."""
    return (domain for domain in domains if not waits_for_c4(domain, now))


def _share(number: int, since: timedelta, period: timedelta) -> int:
    """Return how many of `number` domains are looked at after `since`, to be through with all in `period`."""
    return ceil(number * min(since / period * _RESERVE, 1))


def _has(domain: Domain, installed: Installed | None) -> bool:
    """Return whether C4 has what was known of `domain`."""
    known = domain.in_service
    if installed is None or known is None:
        return installed is None and known is None
    is_same_source = domain.foreign is None or domain.foreign.source is installed.source
    return known.fingerprint == installed.fingerprint and is_same_source


def _is_unknown(domain: Domain) -> bool:
    return is_discard(domain.result)


def _doubts_c4(domain: Domain) -> bool:
    suspicion = domain.suspicion
    return suspicion is not None and step_of(suspicion.code) is Step.C4_RECORD


def _suspects(domain: Domain, code: Code) -> bool:
    return domain.suspicion is not None and domain.suspicion.code is code
