"""Trouble of the whole fleet: people hear of it at once, whatever the certificates have left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.fleet.looks import Looked
from sslctl.issuance.suspicions import Withheld
from sslctl.notify import Route, UnusableRoute
from sslctl.rules.ca_name import ca_name
from sslctl.rules.edges import LateEdge
from sslctl.rules.limits import CA_WIDE, LimitKind
from sslctl.rules.model import Domain
from sslctl.rules.notice import (
    EDGE_LATE,
    EDGE_SILENT,
    FLEET_LABELS,
    OTHER_CA,
    UNDELIVERED,
    UNUSABLE,
    WHOLE_FLEET,
    WITHHELD,
    Notice,
    NoticeKey,
    NoticeKind,
)
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import is_order_due
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.versions import is_expired
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains, Query, Sort
from sslctl.store.interface.edges import Edges
from sslctl.store.interface.transitions import Transitions
from sslctl.text import without_markup
from sslctl.wording import C4

Label = tuple[str, str]

TOKEN_REFUSED: Label = (Code.C4_TOKEN_REFUSED, WHOLE_FLEET)
C4_DOWN: Label = (Code.C4_UNANSWERED, WHOLE_FLEET)
CA_DOWN: Label = (Code.CA_UNAVAILABLE, WHOLE_FLEET)

# Pauses in which nothing at all is ordered.
_PAUSES = (LimitKind.ACCOUNT, LimitKind.BREAKER)
_STOPPED_BY_CA = (Code.CA_UNAVAILABLE, Code.CA_REFUSED, Code.CA_RATE_LIMITED, Code.BUDGET_HELD)
# A look at each domain is due every 23.5 hours. If one is 50 minutes late, C4 has not answered for so long: an outage
# of some minutes, such as a restart at night, is no reason to wake people.
_LOOK_IS_LATE = timedelta(hours=24, minutes=20)
# Each domain still gets its message when the endpoint answers again.
_WEBHOOK_IS_LATE = timedelta(hours=1)
_A_DAY = timedelta(days=1)
_MOST_COUNTED = 1000
_SAMPLE = 100


class _Store(Budget, Domains, Edges, Transitions, Protocol):
    """What trouble of the whole fleet is found in."""


@dataclass(frozen=True, slots=True)
class FleetTrouble:
    """Trouble of the whole fleet, in words: `title` for the head of a message, `text` with what to do about it."""

    label: Label
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class C4Contact:
    """How C4 answered in a tick.

    `trouble` is why a look was not finished, empty if it was; `is_refused` whether C4 refused the token and answered nothing;
    `is_answered` whether it answered about any domain; `is_blind` whether domains were not looked at for days.
    """

    trouble: str = ""
    is_refused: bool = False
    is_answered: bool = False
    is_blind: bool = False


def find_c4_contact(store: Domains, names: Sequence[str], since: datetime, looked: Looked) -> C4Contact:
    """Return how C4 answered in the tick that began at `since`: the looks, and the passes over `names`.

    The first of many names are enough to know.
    """
    sample = list(store.domains_named(list(dict.fromkeys(names))[:_SAMPLE]))
    known = (each.unconfirmed or each.finding for each in sample)
    refusals = sum(each is not None and each.code is Code.C4_TOKEN_REFUSED for each in known)
    # C4 may refuse a single domain for a reason of its own.
    is_refused = refusals >= min(2, store.count_managed()) > 0
    is_answered = any(each.observed_at is not None and each.observed_at >= since for each in sample)
    is_answered = is_answered or bool(looked.domains)
    return C4Contact(
        looked.trouble,
        is_refused=(looked.is_refused or is_refused) and not is_answered,
        is_answered=is_answered,
        is_blind=looked.is_blind,
    )


def find_fleet_trouble(
    store: _Store,
    contact: C4Contact,
    withheld: Sequence[Withheld],
    before: Collection[Label],
    *,
    since: datetime,
    now: datetime,
    rule: RenewalRule,
) -> list[FleetTrouble]:
    """Return the trouble of the fleet at the end of a tick that began at `since`. `before` is what was reported last.

    Trouble that was reported lasts until the opposite was seen: a tick that asks nothing of C4 or of the CA learns nothing.
    """
    found = [
        FleetTrouble(
            (each.code, WITHHELD), f"{each.code} about {each.domains} domains, not believed", each.describe()
        )
        for each in withheld
    ]
    parties = (
        _c4_trouble(store, contact, before, now),
        _ca_trouble(store, before, since, now, rule),
        _webhook_trouble(store, now),
    )
    found += filter(None, parties)
    found += find_other_cas(store, now)
    found += find_edge_troubles(store, now)
    return found


def _c4_trouble(
    store: Domains, contact: C4Contact, before: Collection[Label], now: datetime
) -> FleetTrouble | None:
    is_silent = not contact.is_answered
    if contact.is_refused or (TOKEN_REFUSED in before and is_silent and not contact.trouble):
        return FleetTrouble(
            TOKEN_REFUSED,
            f"{C4} refuses sslctl's token",
            f"{C4:The} refuses the token of sslctl: nothing is looked at, uploaded or renewed. Put a valid token into the file that"
            " c4.token_file names; `sslctl doctor` tests it.",
        )
    is_late = bool(contact.trouble) and is_silent and any(store.least_observed(now - _LOOK_IS_LATE, 1))
    if is_late or contact.is_blind or (C4_DOWN in before and is_silent):
        why = f" The last error: {without_markup(contact.trouble)}." if contact.trouble else ""
        return FleetTrouble(
            C4_DOWN,
            f"{C4} does not answer",
            f"{C4:The} does not answer: nothing can be looked at, uploaded or renewed.{why} Ask the {C4:bare} team; `sslctl doctor` tests"
            " it.",
        )
    return None


def _ca_trouble(
    store: _Store, before: Collection[Label], since: datetime, now: datetime, rule: RenewalRule
) -> FleetTrouble | None:
    """Return that renewals which are due wait for the CA, None if none does.

    A breaker that opened during the tick may be over by now, so the pauses since the tick began count.
    """
    pauses = [pause for pause in store.pauses(since) if pause.scope.kind in _PAUSES]
    if not pauses and CA_DOWN not in before:
        return None
    query = Query(expiring_within=rule.before, sort=Sort.EXPIRES, limit=_MOST_COUNTED)
    waiting = [domain for domain in store.domains(query, now) if _is_stopped_by_ca(domain, now, rule)]
    if not waiting:
        return None
    first = waiting[0].in_service
    assert first is not None  # noqa: S101 - of `_is_stopped_by_ca`
    number = f"{len(waiting)} or more" if len(waiting) == _MOST_COUNTED else str(len(waiting))
    why = (
        f"Nothing is ordered until {format_sgt(pauses[0].until)}: {without_markup(pauses[0].why)}. "
        if pauses
        else ""
    )
    return FleetTrouble(
        CA_DOWN,
        "the CA issues nothing",
        f"{why}Renewals that wait for the CA: {number}; the first certificate expires in"
        f" {format_duration(first.not_after - now)}. sslctl tries again by itself. `sslctl pauses` shows the pauses and how"
        " to end one; `sslctl doctor` tests the CA and our account.",
    )


def find_other_cas(store: Budget, now: datetime) -> Iterator[FleetTrouble]:
    """Yield the other CAs that issued certificates since a day, in place of the first one."""
    first = ca_name(store.cas[0])
    pauses = [pause for pause in store.pauses(now) if pause.scope.kind in CA_WIDE]
    why = f" {first} gets no orders until {format_sgt(pauses[0].until)}: {pauses[0].why}." if pauses else ""
    for ca, number in store.issued_by_others(now - _A_DAY).items():
        issued = "1 certificate" if number == 1 else f"{number:,} certificates"
        yield FleetTrouble(
            (ca, OTHER_CA),
            f"the CA {ca_name(ca)} issued {issued} in place of {first}",
            f"In the last 24 hours {issued} came from {ca_name(ca)}, a fallback CA, because {first} issued none for these domains."
            f"{without_markup(why)} No site is worse for it. `sslctl doctor` tests every CA, and `sslctl view` shows in a domain's history"
            " why another CA was asked.",
        )


def _webhook_trouble(store: Transitions, now: datetime) -> FleetTrouble | None:
    trouble = store.webhook_trouble()
    if trouble is None or now - trouble.since < _WEBHOOK_IS_LATE:
        return None
    return FleetTrouble(
        ("notify.webhook_url", UNDELIVERED),
        "the webhook does not accept all messages",
        f"The endpoint of notify.webhook_url has not accepted all messages since {format_sgt(trouble.since)}: it {trouble.why}."
        f" Domains whose last change it does not know: {trouble.owed}. sslctl tries again by itself; each domain gets one message"
        " with its present status then. `sslctl notify` tests it.",
    )


def find_edge_troubles(store: Edges, now: datetime) -> Iterator[FleetTrouble]:
    """Yield the edges that do not answer, and those that serve other certificates than C4 has although they had time."""
    for silent in store.silent_edges():
        yield FleetTrouble(
            (silent.edge, EDGE_SILENT),
            f"edge {silent.edge} does not answer",
            f"It has not answered since {format_sgt(silent.since)}: {without_markup(silent.why)}. What it serves is not known, and no"
            " domain waits for it. Repair it, or remove it from verify.edges.",
        )
    for late in store.late_edges(now):
        number = "1 domain" if late.domains == 1 else f"{late.domains:,} domains"
        yield FleetTrouble(
            (late.edge, EDGE_LATE),
            f"edge {late.edge} serves other certificates than {C4} has for {number}",
            f"For {number} this edge does not serve the certificate that {C4} has, since {format_sgt(late.since)}: {_describe_late(late)}."
            " Find out how it gets its certificates. sslctl uploads nothing again because of it, and checks by itself when it is over."
            f" For example: {', '.join(late.examples)}.",
        )


def _describe_late(late: LateEdge) -> str:
    """Return in words what the edge serves instead."""
    numbers = {
        "an older one of sslctl's": late.domains - late.foreign - late.bare,
        "one that sslctl did not install": late.foreign,
        "none": late.bare,
    }
    return ", ".join(f"{what} for {number:,}" for what, number in numbers.items() if number)


def _is_stopped_by_ca(domain: Domain, now: datetime, rule: RenewalRule) -> bool:
    current, known = domain.in_service, domain.unconfirmed or domain.finding
    is_stopped = known is not None and known.code in _STOPPED_BY_CA
    is_served = current is not None and not is_expired(current, now)
    return is_stopped and is_served and is_order_due(domain, now, rule)


def find_unreached(notices: Mapping[NoticeKey, Notice], routes: Sequence[Route]) -> Iterator[FleetTrouble]:
    """Yield the routes none of whose URLs took the last message: the URLs without a route hear of it."""
    for route in routes:
        kinds = (notices.get(NoticeKey(route.key, kind), Notice()) for kind in NoticeKind)
        for notice in kinds:
            if notice.missed_since is not None and len(notice.missed) == len(route.notifier.schemes):
                yield FleetTrouble(
                    (route.key, UNDELIVERED),
                    f"no message reaches {route.title}",
                    f"No URL of {route.title} has taken a message since {format_sgt(notice.missed_since)}: {notice.why}."
                    " `sslctl notify` tests the URLs.",
                )
                break


def find_unusable(routes: Iterable[UnusableRoute]) -> Iterator[FleetTrouble]:
    """Yield the routes that cannot be used: the URLs without a route hear of their domains, and of this."""
    for route in routes:
        yield FleetTrouble(
            (route.key, UNUSABLE),
            f"{route.title} cannot be used",
            f"{route.why}. Until this is corrected, the messages about its domains come here, unless another"
            " route receives them. `sslctl doctor` tests the configuration.",
        )


def find_ended(before: Collection[Label], found: Sequence[FleetTrouble]) -> list[str]:
    """Return in words which trouble of the fleet was reported `before` and is not `found` any more."""
    labels = {each.label for each in found}
    ended = sorted(label for label in before if label[1] in FLEET_LABELS and label not in labels)
    return [code if what == WHOLE_FLEET else f"{code} ({what})" for code, what in ended]
