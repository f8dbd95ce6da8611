"""The metrics: their names, labels and meaning. The table in docs/monitoring.md is generated from this module."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """The type of a metric, with Prometheus's names."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: `meaning` is a sentence, `labels` are the names of its labels."""

    name: str
    type: Type
    meaning: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric; `labels` are the values of its labels, in the order of their names."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


MOST_UNWELL = 1000
"""The number of domains that are not well and have a time series of their own, at most."""

SOONEST = 100
"""The number of domains in Success that have one: those that expire soonest."""

DOMAINS = Metric(
    "sslctl_domains",
    Type.GAUGE,
    "Managed domains by status, reason and who must act. For Expired the reason is what prevents the renewal.",
    ("status", "reason", "owner"),
)
RENEWALS_OVERDUE = Metric(
    "sslctl_renewals_overdue",
    Type.GAUGE,
    "Domains whose valid certificate of source c4 should have been renewed by now: 3/7 of the renewal time are left.",
)
SUSPICIONS = Metric(
    "sslctl_suspicions",
    Type.GAUGE,
    "Domains with a bad answer of C4 or DNS that is not believed yet, by reason.",
    ("reason",),
)
SOONEST_NOT_AFTER = Metric(
    "sslctl_soonest_not_after_timestamp_seconds",
    Type.GAUGE,
    "The soonest expiry in the future of what C4 serves, by source.",
    ("source",),
)
CERTIFICATE_NOT_AFTER = Metric(
    "sslctl_certificate_not_after_timestamp_seconds",
    Type.GAUGE,
    f"The expiry of what C4 serves for a domain: of at most {MOST_UNWELL} domains that are not well,"
    f" and of the {SOONEST} others that expire soonest.",
    ("domain",),
)
ORDERS = Metric(
    "sslctl_orders_total",
    Type.COUNTER,
    "Orders that were closed, by outcome: issued, a reason code, not_placed or came_to_nothing.",
    ("outcome",),
)
UPLOADS = Metric(
    "sslctl_uploads_total",
    Type.COUNTER,
    "Uploads to C4 by outcome: accepted, or a reason code.",
    ("outcome",),
)
UPLOADS_OWED = Metric(
    "sslctl_uploads_owed",
    Type.GAUGE,
    "Domains with a valid certificate of ours that C4 is not known to serve.",
)
BUDGET_REMAINING = Metric(
    "sslctl_ca_budget_remaining",
    Type.GAUGE,
    "What is left of the CA's limits: new orders (orders), and new certificates for the registered domain"
    " that has fewest left (certificates).",
    ("limit",),
)
BUDGET_LIMIT = Metric(
    "sslctl_ca_budget_limit",
    Type.GAUGE,
    "The size of the CA's limits of which sslctl_ca_budget_remaining is the rest.",
    ("limit",),
)
PAUSE_UNTIL = Metric(
    "sslctl_ca_pause_until_timestamp_seconds",
    Type.GAUGE,
    "The end of the longest pause of requests to the CA, by what it covers. Absent without a pause.",
    ("scope",),
)
TICK_LAST_SUCCESS = Metric(
    "sslctl_tick_last_success_timestamp_seconds",
    Type.GAUGE,
    "The end of the last good tick: one that sends the ping.",
)
TICK_DURATION = Metric(
    "sslctl_tick_duration_seconds", Type.GAUGE, "How long the last tick took that came to its end."
)
UNREAD = Metric(
    "sslctl_metrics_unread",
    Type.GAUGE,
    "Groups of metrics that could not be read from the state. They are absent.",
)
BUILD_INFO = Metric("sslctl_build_info", Type.GAUGE, "The version of sslctl; always 1.", ("version",))

METRICS = (
    DOMAINS,
    RENEWALS_OVERDUE,
    SUSPICIONS,
    SOONEST_NOT_AFTER,
    CERTIFICATE_NOT_AFTER,
    ORDERS,
    UPLOADS,
    UPLOADS_OWED,
    BUDGET_REMAINING,
    BUDGET_LIMIT,
    PAUSE_UNTIL,
    TICK_LAST_SUCCESS,
    TICK_DURATION,
    UNREAD,
    BUILD_INFO,
)
"""Every metric, in the order of the text."""
