"""The domains that a tick leaves not well: a few one by one, many in groups by reason, so that a mail from cron is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from sslctl.cli.output.outcomes import write_outcome
from sslctl.cli.output.phrases import coloured
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.width import paragraph
from sslctl.fleet.notices import Group, count_domains, group_troubles
from sslctl.rules.model import Domain, Suspicion
from sslctl.rules.reasons import REASONS, Status
from sslctl.rules.status import derive_status

_FEW = 10


def write_unwell(domains: Iterable[Domain], number: int, now: datetime) -> None:
    """Write the `number` domains, the most urgent first, each with its next step; more than 10 in groups by reason."""
    if number <= _FEW:
        for domain in domains:
            write_outcome(domain, now)
        return
    doubted: dict[str, Group] = {}
    _, troubles = group_troubles(_without_doubted(domains, doubted, now), now)
    for group in [*troubles, *doubted.values()]:
        _write_group(group)


def _without_doubted(domains: Iterable[Domain], doubted: dict[str, Group], now: datetime) -> Iterator[Domain]:
    """Yield the domains that are not in Success; add the others, which could not be confirmed, to `doubted` by code."""
    for domain in domains:
        doubt = domain.unconfirmed or domain.suspicion
        if derive_status(domain, now).code is not None:
            yield domain
        elif doubt is not None:
            reason = REASONS[doubt.code]
            sentence = reason.explain(doubt.found, doubt.wanted if isinstance(doubt, Suspicion) else "")
            group = doubted.setdefault(
                doubt.code, Group(Status.SUCCESS, doubt.code, None, reason.owner, sentence, reason.next_step)
            )
            group.add(domain.name)


def _write_group(group: Group) -> None:
    first, left = group.names[0], group.number - len(group.names)
    is_doubted = group.status is Status.SUCCESS
    doubt = ", not confirmed," if is_doubted else ""
    write_line(f"{coloured(group.status)}{doubt} {group.reason}: {count_domains(group.number)}")
    write_line(paragraph(f"{first}: {group.sentence}", "  "))
    write_line(paragraph(f"next ({group.owner}): {group.next_step}", "  "))
    more = f" and {left} more" if left else ""
    command = "" if is_doubted or not left else f": sslctl list --status {group.status} --sort expires"
    write_line(paragraph(", ".join(group.names) + more + command, "  "))
