"""The proof, before an order, that every edge answers the CA's challenges with the thumbprint of our account key (stateless mode).

An edge with another answer would make the CA's validation fail, so the pass ends in Pending with `EDGE_THUMBPRINT`, and nothing is
ordered. An edge that does not answer holds nothing back: that is trouble of the edge, not of each domain.
"""

from __future__ import annotations

from collections.abc import Callable

from sslctl.edge.challenges import ChallengeEdges
from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Code
from sslctl.rules.stateless_answer import key_authorization

_MOST_SHOWN = 5


class ChallengeProof:
    """The proof at `edges`. `find_thumbprint` returns the thumbprint. Safe to use from several threads."""

    def __init__(self, edges: ChallengeEdges, find_thumbprint: Callable[[], str]) -> None:
        self._edges = edges
        self._find_thumbprint = find_thumbprint

    def require(self, domain: Domain) -> None:
        """Raise `PassEnded` if an edge answers a challenge of `domain` wrongly."""
        thumbprint = self._find_thumbprint()
        wrong = [each for each in self._edges.ask(domain.name, thumbprint) if each.is_right is False]
        if not wrong:
            return
        shown = [f"edge {each.edge}: {each.found}" for each in wrong[:_MOST_SHOWN]]
        if len(wrong) > _MOST_SHOWN:
            shown.append(f"and {len(wrong) - _MOST_SHOWN} more edges")
        raise PassEnded(Code.EDGE_THUMBPRINT, "; ".join(shown), key_authorization("TOKEN", thumbprint))
