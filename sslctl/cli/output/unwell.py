"""The domains that a tick leaves not well: a few one by one, many in groups by reason, so that a mail from cron is read.

What expires soonest comes first, as in the notices to people (`fleet.troubles`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, islice

from sslctl.cli.output.outcomes import write_outcome
from sslctl.cli.output.phrases import coloured
from sslctl.cli.output.shell import command_line
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.width import paragraph
from sslctl.fleet.hidden import Hidden
from sslctl.fleet.troubles import (
    MOST_NAMES,
    Group,
    Groups,
    Trouble,
    count_domains,
    doubt_trouble,
    find_status_trouble,
    find_time_left,
    most_urgent,
    urgency_of,
)
from sslctl.rules.model import Domain, Suspicion
from sslctl.rules.reasons import Status

_FEW = 10
_MOST_GROUPS = 7


def write_unwell(domains: Iterable[Domain], now: datetime) -> None:
    """Write `domains`, the most urgent first, each with its next step; more than 10 in groups by reason.

    Snoozed and abandoned ones are only counted, as in `sslctl todo`.
    """
    hidden = Hidden()
    shown = (domain for domain in domains if not hidden.counts(domain, now))
    first = list(islice(shown, _FEW + 1))
    if len(first) > _FEW:
        _write_groups(chain(first, shown), now)
    else:
        for domain in sorted(first, key=lambda domain: urgency_of(find_time_left(domain, now))):
            write_outcome(domain, now)
    if hidden.describe():
        write_line(hidden.describe())


def _write_groups(domains: Iterable[Domain], now: datetime) -> None:
    found = (find_trouble(domain, now) for domain in domains)
    groups = Groups(trouble for trouble in found if trouble is not None).in_order()
    if len(groups) > _MOST_GROUPS:
        # Some of them may be in groups that are only counted.
        urgent = most_urgent(groups, MOST_NAMES)
        write_line(paragraph(f"The most urgent: {', '.join(each.shown for each in urgent)}"))
    for group in groups[:_MOST_GROUPS]:
        _write_group(group)
    if len(groups) > _MOST_GROUPS:
        _write_rest(groups[_MOST_GROUPS:])


def find_trouble(domain: Domain, now: datetime) -> Trouble | None:
    """Return why `domain` is not well: its status, or that its Success could not be confirmed. None if it recovered."""
    trouble = find_status_trouble(domain, now)
    doubt = domain.unconfirmed or domain.suspicion
    if trouble is not None or doubt is None:
        return trouble
    return doubt_trouble(
        domain, doubt.code, doubt.found, doubt.wanted if isinstance(doubt, Suspicion) else "", now
    )


def _write_group(group: Group[Trouble]) -> None:
    first = group.first
    status = Status(first.heading)
    doubt = ", not confirmed," if status is Status.SUCCESS else ""
    write_line(f"{coloured(status)}{doubt} {group.reason}: {count_domains(group.number)}")
    write_line(paragraph(f"{first.name}: {first.sentence}", "  "))
    write_line(paragraph(f"next ({first.owner}): {first.next_step}", "  "))
    names = [each.shown for each in group.worst[:MOST_NAMES]]
    left = group.number - len(names)
    command = command_line("list", "--reason", first.code, "--sort", "urgency")
    more = f" and {left} more: {command}" if left else ""
    write_line(paragraph(", ".join(names) + more, "  "))


def _write_rest(groups: Sequence[Group[Trouble]]) -> None:
    number = sum(group.number for group in groups)
    counts = ", ".join(f"{group.number} {group.reason}" for group in groups)
    write_line(paragraph(f"Other reasons, {count_domains(number)}: {counts}{_command_for_rest(groups)}"))


def _command_for_rest(groups: Sequence[Group[Trouble]]) -> str:
    """Return a command that lists the domains of `groups` among others, after a colon. Empty if all are in Success.

    Their codes could be a line that nobody pastes, so it selects by status.
    """
    headings = {group.first.heading for group in groups}
    statuses = [
        word
        for status in Status
        if status in headings and status is not Status.SUCCESS
        for word in ("--status", status)
    ]
    return f": {command_line('list', *statuses, '--sort', 'urgency')}" if statuses else ""
