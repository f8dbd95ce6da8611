"""The faults of an edge."""

from __future__ import annotations

from enum import StrEnum


class EdgeFault(StrEnum):
    """What is wrong with an edge."""

    LAG = "edge-lag"
    """It gets no new certificates: it serves those that it served last, and none for other domains."""
    LIE = "edge-lie"
    """It serves a certificate of an unknown CA for every domain."""
