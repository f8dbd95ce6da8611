"""The proofs at the edges of the section `[verify]`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sslctl.config.settings import Config
from sslctl.edge.asking import AskedEdges
from sslctl.edge.challenges import ChallengeEdges
from sslctl.issuance.challenge_proof import ChallengeProof
from sslctl.issuance.edge_proof import EdgeProof, EdgeStore
from sslctl.store.interface.edges import Edges


def make_edge_proof(config: Config, store: EdgeStore, clock: Callable[[], datetime]) -> EdgeProof:
    """Return the proof that the edges serve what C4 has; it knows for this process which of them do not answer."""
    section = config.verify
    return EdgeProof(
        store,
        AskedEdges(section.edges, section.timeout_seconds, monotonic=time.monotonic),
        clock=clock,
        sleep=time.sleep,
        activation_seconds=config.c4.activation_seconds,
        lag=timedelta(seconds=section.lag_seconds),
    )


def make_challenge_edges(config: Config) -> ChallengeEdges:
    """Return the edges as they answer challenges, on the HTTP port of the CDN."""
    section = config.verify
    return ChallengeEdges(section.edges, config.cdn.http_port, section.timeout_seconds)


def make_challenge_proof(
    config: Config, store: Edges, find_thumbprint: Callable[[], str]
) -> ChallengeProof | None:
    """Return the proof that the edges answer challenges, None unless they do that by themselves."""
    if config.acme.mode != "stateless":
        return None
    return ChallengeProof(store, make_challenge_edges(config), find_thumbprint)
