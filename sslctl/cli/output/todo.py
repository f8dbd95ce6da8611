"""The output of `sslctl todo`: the reasons why people are needed, each with its domains by customer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

import click

from sslctl.cli.output.phrases import coloured, domain_or_domains
from sslctl.cli.output.selection import filter_words
from sslctl.cli.output.shell import command_line, write_next
from sslctl.cli.output.stdout import printable, write_line, write_lines
from sslctl.cli.output.width import paragraph
from sslctl.fleet.todo import Task, Todo, by_customer
from sslctl.fleet.troubles import MOST_NAMES, Group
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Domain
from sslctl.rules.next_command import next_words
from sslctl.rules.reasons import Owner
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.status import derive_status
from sslctl.store.interface.domains import Query

_NOTHING_LEFT = timedelta(0)


def write_todo(todo: Todo, filters: Query, now: datetime) -> None:
    """Write what needs a person, and below it how many domains do and how many were left out."""
    for owner, groups in groupby(todo.groups, key=lambda group: group.first.owner):
        write_line(click.style(f"{owner} must act", bold=True))
        for group in groups:
            write_lines(_group_lines(group, filters, now))
        write_line("")
    write_line(paragraph(summarise(todo)))
    write_next(_next_words([todo.groups[0].first]))


def summarise(todo: Todo) -> str:
    """Return in one line how many domains need a person, and how many were left out."""
    verb = "needs" if todo.domains == 1 else "need"
    owners = ", ".join(f"{todo.owners[owner]:,} {owner}" for owner in Owner if todo.owners.get(owner))
    return f"{todo.domains:,} {domain_or_domains(todo.domains)} {verb} a person: {owners}. {todo.hidden.describe()}".rstrip()


def describe_deadline(domain: Domain, left: timedelta | None, now: datetime) -> str:
    """Return when the site goes dark, since when it is dark, or how long it has waited for its first certificate.

    `left` is that of `troubles.find_time_left`.
    """
    if left is None:
        age = max(now - domain.created_at, timedelta(0))
        return f"never had a certificate, added {format_duration(age)} ago"
    if domain.in_service is not None and left > _NOTHING_LEFT:
        return f"expires in {format_duration(left)} ({format_sgt(domain.in_service.not_after)})"
    if left == _NOTHING_LEFT and domain.in_service is None:
        return "dark: nothing is served"
    return f"dark since {format_sgt(now + left)}, {format_duration(-left)} ago"


def describe_record(record: DnsRecord) -> str:
    """Return a DNS record to set, as one line that can be copied."""
    current = ", ".join(record.current) or "none"
    return printable(f"{record.type} {record.name} → {', '.join(record.needed)} (now {current})")


def _group_lines(group: Group[Task], filters: Query, now: datetime) -> Iterator[str]:
    first = group.first
    yield paragraph(
        f"{click.style(first.code, bold=True)}, {group.number:,} {domain_or_domains(group.number)}: {first.next_step}",
        "  ",
    )
    if first.owner is not Owner.CUSTOMER:
        yield f"  next: {_next_command([first])}"
    sentence = ""
    customers = by_customer(group.worst)
    for customer, tasks in customers.items():
        if customer or len(customers) > 1:
            yield paragraph(f"customer {customer}" if customer else "without a customer", "  ")
        if first.owner is Owner.CUSTOMER:
            yield f"    next: {_next_command(tasks)}"
        for task in tasks:
            yield from _task_lines(task, now, previous=sentence)
            sentence = "" if task.concern.records else task.sentence
    left = group.number - len(group.worst)
    if left:
        yield f"  and {left:,} more: {_command_for_all(first, filters)}"


def _task_lines(task: Task, now: datetime, previous: str) -> Iterator[str]:
    """Yield the lines of `task`, without its sentence if that is the `previous` one too."""
    domain, remarks = task.domain, task.domain.remarks
    status = coloured(derive_status(domain, now).status)
    yield paragraph(f"{task.name}: {status}, {describe_deadline(domain, task.left, now)}", "    ")
    # Not wrapped, so that each record can be copied.
    yield from (f"      {describe_record(record)}" for record in task.concern.records)
    if not task.concern.records and task.sentence != previous:
        yield paragraph(printable(task.sentence), "      ")
    if task.concern.link:
        yield f"      open: {task.concern.link}"
    notes = [f"assigned to {remarks.assignee}"] if remarks.assignee else []
    notes += [f"note: {remarks.note}"] if remarks.note else []
    if notes:
        yield paragraph("; ".join(notes), "      ")


def _next_command(tasks: Sequence[Task]) -> str:
    return command_line(*_next_words(tasks[:MOST_NAMES]))


def _next_words(tasks: Sequence[Task]) -> list[str]:
    return next_words(tasks[0].code, [task.name for task in tasks], tasks[0].domain.source)


def _command_for_all(task: Task, filters: Query) -> str:
    """Return the command that shows every domain of the group of `task`."""
    query = replace(filters, owners=(task.owner,), reasons=(task.code,))
    return command_line("todo", *filter_words(query), "--all")
