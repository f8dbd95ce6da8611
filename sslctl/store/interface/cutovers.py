"""Domains whose certificate is wanted before DNS points at the CDN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.rules.model import Domain


class Cutovers(Protocol):
    """`Domain.before_cutover_since`. The revisions of the domains stay."""

    def begin_cutovers(self, names: Sequence[str]) -> None:
        """Record, with an event, that the managed domains `names` are before their cutover, unless they are already."""

    def end_cutover(self, domain: Domain, why: str) -> None:
        """Record, with an event that has `why`, that `domain` is not before its cutover any more. Do nothing if it is not."""
