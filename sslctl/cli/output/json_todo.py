"""The JSON of `sslctl todo`, documented field by field in docs/json.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sslctl.cli.output import json_shapes
from sslctl.cli.output.shell import command_line
from sslctl.fleet.todo import Task, Todo, by_customer, find_deadline
from sslctl.fleet.troubles import MOST_NAMES
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.next_command import next_words
from sslctl.rules.status import derive_status


def totals(todo: Todo, managed: int) -> dict[str, int]:
    """Return how many domains need a person, how many were left out, and how many are `managed`."""
    return {
        "domains": todo.domains,
        "snoozed": todo.hidden.snoozed,
        "abandoned": todo.hidden.abandoned,
        "managed": managed,
    }


def groups(todo: Todo, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield what needs a person: a group for each owner, reason and customer, in the order of the text."""
    for group in todo.groups:
        for customer, tasks in by_customer(group.worst).items():
            yield _group(customer, tasks, now)


def _group(customer: str, tasks: list[Task], now: datetime) -> dict[str, Any]:
    first = tasks[0]
    return {
        "owner": first.owner,
        "code": first.code,
        "customer": customer or None,
        "sentence": first.sentence,
        "next_step": first.next_step,
        "command": command_line(
            *next_words(first.code, [task.name for task in tasks[:MOST_NAMES]], first.domain.source)
        ),
        "domains": [_task(task, now) for task in tasks],
    }


def _task(task: Task, now: datetime) -> dict[str, Any]:
    domain = task.domain
    return {
        "domain": domain.name,
        "status": derive_status(domain, now).status,
        "warning": task.concern.is_warning,
        "sentence": task.sentence,
        "deadline": json_shapes.instant(find_deadline(task, now)),
        "left_seconds": None if task.left is None else int(task.left.total_seconds()),
        "created_at": json_shapes.instant(domain.created_at),
        "records": list(map(DnsRecord.to_json, task.concern.records)),
        "link": task.concern.link or None,
        "customer": domain.customer or None,
        "assignee": domain.remarks.assignee or None,
        "note": domain.remarks.note or None,
    }
