"""The last notifications to people, which decide what is news."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

WITHHELD = "not believed"
WHOLE_FLEET = "whole fleet"
UNDELIVERED = "not delivered"
UNUSABLE = "not usable"
EDGE_SILENT = "edge does not answer"
EDGE_LATE = "edge serves other certificates"
OTHER_CA = "certificates from another CA"
FLEET_LABELS = (WITHHELD, WHOLE_FLEET, UNDELIVERED, UNUSABLE, EDGE_SILENT, EDGE_LATE, OTHER_CA)
"""What is reported of trouble that concerns the whole fleet, after the code, the route or the edge (`Notice.troubles`)."""


class NoticeKind(StrEnum):
    """What a notice is about: trouble, which is reported at once, or the warnings of a day."""

    TROUBLE = "trouble"
    DIGEST = "digest"


class NoticeKey(NamedTuple):
    """Which notice: that of a route (`notify.Route.key`; empty for the URLs without a route), and its kind."""

    route: str = ""
    kind: NoticeKind = NoticeKind.TROUBLE


@dataclass(frozen=True, slots=True)
class Notice:
    """The last notification of a route and kind, and whether it was delivered.

    It was composed at `at` (None if there was none yet). It reported `troubles`, none if it reported recovery: each is a
    domain, or a code that concerns many, with what was reported of it: a status, how soon it expires, or a warning. Of a
    digest, `troubles` are all warnings that were reported and still last, `news` those that it reported. `missed` has the
    positions of the URLs to which delivery failed, since `missed_since` and because of `why` (cleaned).
    """

    at: datetime | None = None
    troubles: frozenset[tuple[str, str]] = frozenset()
    missed: tuple[int, ...] = ()
    missed_since: datetime | None = None
    why: str = ""
    news: frozenset[tuple[str, str]] = frozenset()
