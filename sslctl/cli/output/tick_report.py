"""What a tick prints: a line that counts, what concerns many domains, and the domains that are not well.

Each line belongs to facts (`rules.reported`), so that `-q` can leave out what was printed before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sslctl.cli.output import warnings
from sslctl.cli.output.outcomes import print_error, print_unrecorded
from sslctl.cli.output.phrases import domain_or_domains
from sslctl.cli.output.stdout import write_line, write_lines
from sslctl.cli.output.summary import count
from sslctl.cli.output.unwell import find_trouble, write_unwell
from sslctl.cli.output.width import paragraph
from sslctl.errors import StateBusy
from sslctl.fleet.fleet_trouble import FleetTrouble
from sslctl.fleet.hidden import is_hidden
from sslctl.fleet.nightly_inventory import InventoryNews
from sslctl.fleet.tick_result import PassResults, TickResult
from sslctl.rules.reasons import Status
from sslctl.rules.renewal import Alert, RenewalRule
from sslctl.rules.reported import Fact, Kind, News, Printed
from sslctl.rules.singapore import format_sgt
from sslctl.rules.wrong_clock import find_trouble as find_trouble_of_clock
from sslctl.store.interface.domains import Domains
from sslctl.text import instant
from sslctl.wording import C4

_MOST_NAMES = 10
_PING = "the failed ping"
CLOCK = "the clock of this machine"
"""What is reported of a wrong clock: whichever host leads, it is about this one."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a tick, and the facts that it reports: without one it is printed whenever anything is."""

    text: str
    facts: tuple[Fact, ...] = ()


def write_tick(store: Domains, result: TickResult, rule: RenewalRule) -> None:
    """Write everything that the tick has to report."""
    _write(store, result, rule, find_facts(store, result), (), repeated=())


def write_news(
    store: Domains, result: TickResult, rule: RenewalRule, facts: Sequence[Fact], news: News
) -> None:
    """Write what is `news` among `facts`, all that the tick has to report: also the errors of single domains, on standard error."""
    print_errors(result, {fact.subject for fact in news.facts})
    over = [(subject, _is_domain(subject)) for subject in news.over]
    fleet = [subject for subject, is_domain in over if not is_domain]
    well = [subject for subject, is_domain in over if is_domain]
    lines = [f"Over since the last report: {'; '.join(fleet)}"] if fleet else []
    if well:
        more = f" and {len(well) - _MOST_NAMES} more" if len(well) > _MOST_NAMES else ""
        lines.append(paragraph(f"Well again: {', '.join(well[:_MOST_NAMES])}{more}"))
    left = len(facts) - len(news.facts)
    if left:
        lines.append(f"Not repeated, because it was printed in the last day: {left} more; see `sslctl list`")
    repeated = {fact.subject for fact in facts} - {fact.subject for fact in news.facts}
    _write(store, result, rule, news.facts, lines, repeated=repeated)


def find_facts(store: Domains, result: TickResult) -> list[Fact]:
    """Return all that the tick has to report: what concerns many domains, then the domains that are not well.

    Domains that are snoozed or abandoned are none.
    """
    facts = [fact for line in _find_lines(result) for fact in line.facts]
    for domain in store.domains_named([name for name in result.unwell if name not in result.errors]):
        trouble = find_trouble(domain, result.at)
        if trouble is not None and not is_hidden(domain, result.at):
            facts.append(Fact(Kind.DOMAIN, domain.name, f"{trouble.heading} {trouble.code}"))
    return [*facts, *find_errors(result)]


def find_errors(result: PassResults) -> list[Fact]:
    """Return the errors of single domains, which are not recorded: nobody else reports them."""
    return [
        Fact(Kind.DOMAIN, name, type(result.errors[name]).__name__)
        for name in result.unwell
        if name in result.errors
    ]


def find_lasting(
    store: Domains, result: TickResult, facts: Sequence[Fact], before: Mapping[str, Printed]
) -> set[str]:
    """Return the subjects printed `before` that this tick does not report, and whose trouble may last all the same.

    A domain may have had no pass in this tick, an answer that is not believed may not have been heard again, and no ping may have been due.
    """
    absent = before.keys() - {fact.subject for fact in facts}
    names = [name for name in absent if before[name].kind is Kind.DOMAIN]
    lasting = {
        domain.name
        for domain in store.domains_named(names)
        if domain.deleted_at is None and find_trouble(domain, result.at) is not None
    }
    codes = {domain.suspicion.code for domain in store.suspected(None) if domain.suspicion is not None}
    lasting |= {_withheld(code) for code in codes}
    if result.ping_error is None:
        lasting.add(_PING)
    return lasting & absent


def _write(
    store: Domains,
    result: TickResult,
    rule: RenewalRule,
    facts: Collection[Fact],
    more: Sequence[str],
    *,
    repeated: Collection[str],
) -> None:
    """Write the tick's report of `facts`, and the lines `more` before the domains, which do not include those `repeated`."""
    printed = set(facts)
    done = _done(store, result, rule)
    write_line(paragraph(f"{format_sgt(result.at)}: {done}; {_managed(result.counts)}"))
    write_lines(
        line.text for line in _find_lines(result) if not line.facts or not printed.isdisjoint(line.facts)
    )
    write_lines(more)
    shown = [name for name in result.unwell if name not in repeated and name not in result.errors]
    write_unwell(store.domains_named(shown), result.at)


def _done(store: Domains, result: TickResult, rule: RenewalRule) -> str:
    """Return how the passes of the tick ended."""
    if not result.ended:
        return "nothing due"
    known = [name for name in result.unwell if name not in result.errors]
    tally = count(store.domains_named(known), result.at, rule)
    # The results of some others are unknown, and the tick has counted these as not well.
    tally.well, tally.without_result = result.ended - len(result.unwell), len(result.unwell) - len(known)
    return tally.describe(result.ended, "due domains")


def print_errors(result: PassResults, subjects: Collection[str]) -> None:
    """Print the errors of the domains among `subjects` on standard error."""
    names = [name for name in result.unwell if name in result.errors and name in subjects]
    unrecorded = [name for name in names if isinstance(result.errors[name], StateBusy)]
    for name in names:
        if not isinstance(result.errors[name], StateBusy):
            print_error(name, result.errors[name])
    if unrecorded:
        print_unrecorded(unrecorded, result.errors)


def _is_domain(subject: str) -> bool:
    return " " not in subject


def _managed(counts: Mapping[Status, int]) -> str:
    by_status = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if status in counts)
    return f"{sum(counts.values())} managed{': ' if by_status else ''}{by_status}"


def _find_lines(result: TickResult) -> Iterator[_Line]:
    """Yield the lines about what concerns many domains."""
    for text in warnings.maintenance_lines(result.maintenance):
        pause = result.maintenance
        state = "" if pause is None else f"until {instant(pause.until)}: {pause.reason}"
        yield _Line(text, (Fact(Kind.FLEET, "the maintenance pause", state),))
    yield from _withheld_lines(result)
    if result.look_trouble:
        blind = " Domains were not looked at for days." if result.is_blind else ""
        text = (
            f"The daily look at {C4} was not finished; the next tick continues: {result.look_trouble}.{blind}"
        )
        yield _Line(text, (Fact(Kind.FLEET, f"the unfinished look at {C4}", "for days" if blind else ""),))
    if result.lost:
        when = "the tick uploads them again" if result.maintenance is None else "their upload is paused"
        text = f"{C4:The} had lost the certificates of {result.lost} domains; {when}"
        yield _Line(text, (Fact(Kind.EVENT, f"certificates lost on {C4}", _magnitude(result.lost)),))
    if result.warned:
        codes = ", ".join(f"{number} {code}" for code, number in sorted(result.warned.items()))
        text = f"Domains with a new warning: {codes}; `sslctl list` shows them"
        facts = (
            Fact(Kind.EVENT, f"new warning {code}", _magnitude(number))
            for code, number in result.warned.items()
        )
        yield _Line(text, tuple(facts))
    yield from _inventory_lines(result.inventory)
    for alert in result.alerts:
        subject = f"replacement for {alert.explanation_url or 'no reason given'}"
        yield _Line(_describe_alert(alert), (Fact(Kind.EVENT, subject, _magnitude(alert.domains)),))
    for subject, text in warnings.describe_pauses(result.pauses):
        yield _Line(text, (Fact(Kind.FLEET, subject),))
    yield from map(_Line, held_lines(result.held_renewals))
    for subject, text in warnings.describe_notices(result.notices):
        yield _Line(text, (Fact(Kind.FLEET, subject),))
    yield from map(_edge_line, [*result.edge_troubles, *result.other_cas])
    yield from (_Line(text, (fact,)) for fact, text in clock_lines(result.clock_ahead))
    if result.webhook_error:
        text = (
            f"The webhook of notify.webhook_url failed: it {result.webhook_error}. The next tick tries again"
        )
        yield _Line(text, (Fact(Kind.FLEET, "the failed webhook"),))
    if result.ping_error:
        text = f"The ping of notify.ping_url failed: it {result.ping_error}"
        yield _Line(text, (Fact(Kind.FLEET, _PING),))


def _inventory_lines(inventory: InventoryNews) -> Iterator[_Line]:
    if inventory.trouble:
        text = f"{C4:The}'s list of domains is not compared, and is tried again within an hour: {inventory.trouble}"
        yield _Line(text, (Fact(Kind.FLEET, f"the failed comparison with {C4}'s list"),))
    if inventory.new:
        more = (
            f" and {inventory.new - len(inventory.first):,} more"
            if inventory.new > len(inventory.first)
            else ""
        )
        text = (
            f"{C4:The} has {inventory.new:,} new {domain_or_domains(inventory.new)} that nobody manages: {', '.join(inventory.first)}{more};"
            f" {inventory.unmanaged:,} in all. `sslctl sync` shows them"
        )
        yield _Line(
            text, (Fact(Kind.EVENT, f"new domains in {C4} that nobody manages", _magnitude(inventory.new)),)
        )


def _edge_line(trouble: FleetTrouble) -> _Line:
    edge, what = trouble.label
    title = f"{trouble.title[:1].upper()}{trouble.title[1:]}"
    return _Line(f"{title}. {trouble.text}", (Fact(Kind.FLEET, f"{what}: {edge}"),))


def _withheld_lines(result: TickResult) -> Iterator[_Line]:
    for each in result.withheld:
        yield _Line(each.describe(), (Fact(Kind.FLEET, _withheld(each.code), _magnitude(each.domains)),))
    customers = result.withheld_customers
    if customers is not None:
        subject = f"customers changed on {C4}, not believed"
        yield _Line(customers.describe(), (Fact(Kind.EVENT, subject, _magnitude(customers.domains)),))


def _withheld(code: str) -> str:
    return f"{code}, not believed"


def _magnitude(number: int) -> str:
    """Return how many digits `number` has: that it grew tenfold is news."""
    return str(len(str(number)))


def _describe_alert(alert: Alert) -> str:
    what = "1 certificate" if alert.domains == 1 else f"{alert.domains} certificates"
    window = f"{format_sgt(alert.start_at)} to {format_sgt(alert.end_at)}"
    return f"The CA wants {what} replaced early, from {window}: {alert.explanation_url or 'no reason given'}"


def clock_lines(ahead: timedelta) -> Iterator[tuple[Fact, str]]:
    """Yield a line, and its fact, if the clock of this machine, which is `ahead` of the database's, is wrong."""
    text = find_trouble_of_clock(ahead)
    if text:
        yield Fact(Kind.FLEET, CLOCK), text


def held_lines(held: int) -> Iterator[str]:
    """Yield a line if renewals wait until tomorrow."""
    if held:
        yield f"{held} renewals are postponed until tomorrow, because of renewal.max_per_day"
