"""What the edges were seen to serve. Only what is wrong is stored. An edge is written as in the configuration."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from sslctl.rules.edges import Drift, LateEdge, SilentEdge
from sslctl.rules.model import Domain


class Edges(Protocol):
    """Edges that serve other certificates than C4 has, and edges that do not answer."""

    def record_edge_answers(self, domain: Domain, drifts: Collection[Drift], same: Collection[str]) -> None:
        """Record the `drifts` of `domain`, and that the edges `same` serve what C4 has. Others did not answer: what is known of them stays.

        Do nothing if `domain` was changed meanwhile: the answers may be about another certificate.
        """

    def drifting_domains(self, most: int) -> list[str]:
        """Return at most `most` managed domains of which some edge serves another certificate, those known longest first."""

    def edge_sample(self, most: int) -> list[str]:
        """Return the next `most` managed domains that C4 serves, or all if they are fewer, in the order in which they were added.

        They begin after the one that `advance_edge_sample` named last, and again with the first one after the last.
        """

    def advance_edge_sample(self, name: str) -> None:
        """Record that the sample was asked about up to the domain `name`."""

    def late_edges(self, now: datetime) -> list[LateEdge]:
        """Return the edges that are late at `now`, in the order of their names."""

    def silent_edges(self) -> list[SilentEdge]:
        """Return the edges that do not answer, in the order of their names."""

    def record_silent_edge(self, edge: str, why: str) -> None:
        """Record that `edge` does not answer, and why. The time of the first record stays."""

    def record_edge_answered(self, edge: str) -> None:
        """Record that `edge` answers again."""

    def keep_edges(self, edges: Collection[str]) -> None:
        """Delete what is known of all edges except `edges`: the others are not configured any more."""
