"""The proof, before an order, that every edge answers the CA's challenges with the thumbprint of our account key (stateless mode).

An edge with another answer would make the CA's validation fail, so the pass ends in Pending with `EDGE_THUMBPRINT`, and nothing is
ordered. An edge that does not answer holds nothing back: that is trouble of the edge, not of each domain. It is recorded, so that a
tick can notify people of it, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sslctl.edge.challenges import ChallengeAnswer, ChallengeEdges
from sslctl.edge.silence import SILENT_AFTER
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuance.silent_edges import SilentEdges
from sslctl.rules.edges import join_edges
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Code
from sslctl.rules.stateless_answer import key_authorization
from sslctl.store.interface.edges import Edges


class ChallengeProof:
    """The proof at `edges`. `find_thumbprint` returns the thumbprint. Safe to use from several threads."""

    def __init__(self, store: Edges, edges: ChallengeEdges, find_thumbprint: Callable[[], str]) -> None:
        self._edges = edges
        self._find_thumbprint = find_thumbprint
        self._silent = SilentEdges(store)

    @property
    def edges(self) -> Sequence[str]:
        """The edges with the port on which they are asked."""
        return self._edges.names

    def require(self, domain: Domain) -> None:
        """Raise `PassEnded` if an edge answers a challenge of `domain` wrongly."""
        thumbprint = self._find_thumbprint()
        answers = self._edges.ask(domain.name, thumbprint)
        self._record_silence(answers)
        wrong = [each for each in answers if each.is_right is False]
        if not wrong:
            return
        found = join_edges([f"edge {each.edge}: {each.found}" for each in wrong])
        raise PassEnded(Code.EDGE_THUMBPRINT, found, key_authorization("TOKEN", thumbprint))

    def look(self, name: str) -> None:
        """Record which edges do not answer challenges of the domain `name`. One that is only slow once is asked again."""
        thumbprint = self._find_thumbprint()
        for _ in range(SILENT_AFTER):
            answers = self._edges.ask(name, thumbprint)
            self._record_silence(answers)
            if not any(each.is_missing for each in answers):
                return

    def _record_silence(self, answers: Sequence[ChallengeAnswer]) -> None:
        silent = self._edges.silent()
        self._silent.record(
            [each.edge for each in answers if not each.is_missing],
            {each.edge: silent[each.edge] for each in answers if each.is_missing and each.edge in silent},
        )
