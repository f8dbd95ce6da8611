"""Announce each change of a domain's status or reason to the endpoint of the webhook.

The tick compares each domain with what the tick before saw. So changes by time alone are seen too. While the endpoint is down, at
most one message waits for each domain: from the status that was accepted last to the present one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from sslctl.notify.webhook import HttpWebhook, UnusableWebhook, WebhookMessage
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Domain, Verdict
from sslctl.rules.status import derive_status
from sslctl.rules.transition import Standing, Transition
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transitions import Transitions
from sslctl.text import instant

SECONDS = 30.0
"""How long a tick announces; the next one continues."""

TYPE = "domain.status_changed"
_BATCH = 100


class _Store(Domains, Transitions, Protocol):
    """What is announced, and what was accepted."""


def announce(
    store: _Store,
    webhook: HttpWebhook | UnusableWebhook | None,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
    seconds: float = SECONDS,
) -> str:
    """Announce what changed, for at most `seconds`; return why messages were not accepted, empty if none failed.

    Without a `webhook`, delete what is known of its endpoint.
    """
    if webhook is None:
        store.forget_transitions()
        return ""
    now, until = clock(), monotonic() + seconds
    store.note_transitions(now)
    if isinstance(webhook, UnusableWebhook):
        why = f"cannot be used: {webhook.why}"
    else:
        why = _send(store, webhook, clock, now, lambda: until - monotonic())
    store.record_webhook_error(now, why)
    return why


def _send(
    store: _Store,
    webhook: HttpWebhook,
    clock: Callable[[], datetime],
    now: datetime,
    time_left: Callable[[], float],
) -> str:
    """Send what is owed, while there is `time_left` (seconds); return why the last failed message was not accepted, or an empty string."""
    why, is_over = "", False
    while not is_over and (left := time_left()) > 0:
        taken = store.take_transitions(now, _BATCH)
        if not taken:
            break
        domains = {domain.name: domain for domain in store.domains_named([each.name for each in taken])}
        messages = [
            WebhookMessage(each.message_id, json.dumps(payload(each, domains[each.name], now)).encode())
            for each in taken
            if is_current(each, domains[each.name], now)
        ]
        delivery = webhook.deliver(messages, lambda: int(clock().timestamp()), left)
        accepted = set(delivery.accepted)
        store.settle_transitions([each for each in taken if each.message_id in accepted])
        why, is_over = delivery.why or why, delivery.is_over
    return why


def is_current(transition: Transition, domain: Domain, now: datetime) -> bool:
    """Return whether `domain` is still as `transition` says; if not, the next tick announces it as it is then."""
    return transition.after == _standing(domain, derive_status(domain, now))


def _standing(domain: Domain, verdict: Verdict) -> Standing | None:
    if domain.deleted_at is not None:
        return None
    return Standing(verdict.status, verdict.code if verdict.also is None else verdict.also.code)


def payload(transition: Transition, domain: Domain, now: datetime) -> dict[str, Any]:
    """Return the body of the message about `transition` of `domain`, as it is at `now`."""
    return {
        "type": TYPE,
        "timestamp": instant(transition.seen_at),
        "data": {
            "domain": domain.name,
            "sans": list(domain.sans),
            "customer": domain.customer or None,
            "assignee": domain.remarks.assignee or None,
            "changes": transition.changes,
            "previous": _previous(transition.before),
            "current": _current(transition.after, domain, derive_status(domain, now)),
        },
    }


def _previous(standing: Standing | None) -> dict[str, Any] | None:
    return None if standing is None else {"status": standing.status, "code": standing.code}


def _current(standing: Standing | None, domain: Domain, verdict: Verdict) -> dict[str, Any] | None:
    if standing is None:
        return None
    certificate = domain.in_service or domain.wanted
    return {
        "status": standing.status,
        "code": standing.code,
        "owner": verdict.owner,
        "sentence": verdict.sentence or None,
        "next_step": verdict.next_step or None,
        "records": list(map(DnsRecord.to_json, verdict.records)),
        "retry_at": None if verdict.retry_at is None else instant(verdict.retry_at),
        "expires_at": None if certificate is None else instant(certificate.not_after),
    }
