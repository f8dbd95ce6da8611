"""Ask the edges about a sample of the served domains, so that an edge that drifts is noticed before a customer does.

The sample goes round: each tick goes on where the last one ended, so that every domain is asked about within some days. Domains of which
an edge is known to drift, and edges that are silent, are asked about by each tick, so that their trouble ends when it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Protocol

from sslctl.issuance.challenge_proof import ChallengeProof
from sslctl.issuance.edge_proof import EdgeProof
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.edges import Edges
from sslctl.system.threads import map_in_threads

_DAY = timedelta(days=1)
# More than is due, so that the fleet is through in time even if ticks fail.
_RESERVE = 1.25
_MOST_DRIFTING = 200
_MOST_AT_ONCE = 8
# The tick goes on with its other work then; the next one goes on with the sample.
_SECONDS = 120


class _Store(Domains, Edges, Protocol):
    """What the looks at edges read and write."""


def look_at_edges(
    store: _Store,
    proof: EdgeProof,
    challenge_proof: ChallengeProof | None,
    since: timedelta,
    *,
    daily_sample: int,
    monotonic: Callable[[], float],
) -> None:
    """Record what the edges serve for the share of `daily_sample` that is due after `since`, the time since the last tick.

    `daily_sample` is a number of pairs of a domain and an edge. With `challenge_proof` each edge is also asked for a token.
    """
    store.keep_edges([*proof.edges, *(challenge_proof.edges if challenge_proof else ())])
    if challenge_proof is not None:
        for name in store.edge_sample(1):
            challenge_proof.look(name)
    until = monotonic() + _SECONDS
    drifting = store.drifting_domains(_MOST_DRIFTING)
    _look(store, proof, drifting, monotonic, until)
    share = ceil(daily_sample / len(proof.edges) * min(since / _DAY * _RESERVE, 1))
    # A silent edge is asked at least once.
    least = 1 if store.silent_edges() else 0
    sample = store.edge_sample(max(share, least))
    done = _look(store, proof, sample, monotonic, until)
    if done:
        store.advance_edge_sample(sample[done - 1])


def _look(
    store: _Store, proof: EdgeProof, names: list[str], monotonic: Callable[[], float], until: float
) -> int:
    """Ask the edges about the domains `names` until the time `until`; return about how many they were asked."""
    done = 0
    chunks = (names[at : at + _MOST_AT_ONCE] for at in range(0, len(names), _MOST_AT_ONCE))
    for chunk in chunks:
        if monotonic() >= until:
            break
        domains = list(store.domains_named(chunk))
        list(map_in_threads(proof.look, domains, _MOST_AT_ONCE, "edges"))
        done += len(chunk)
    return done
