"""The proof that every edge serves the certificate that C4 has.

C4 may confirm a certificate that an edge does not serve. So each configured edge is asked for the certificate of the domain by SNI:

- An edge that serves another one, or none, after the time for the activation withholds Success: the pass ends in Pending with
  `C4_ACTIVATING`. Nothing is uploaded again and nothing is ordered because of it.
- An edge that does not answer withholds nothing: that is trouble of the edge, not of each domain.

Both are recorded, so that a tick can notify people of the edge, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.edge.asking import AskedEdges, EdgeAnswer
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuance.silent_edges import SilentEdges
from sslctl.rules.edges import Drift, join_edges
from sslctl.rules.model import Certificate, Domain
from sslctl.rules.poll_pauses import poll_pauses
from sslctl.rules.reasons import Code
from sslctl.rules.versions import is_expired
from sslctl.store.interface.edges import Edges
from sslctl.store.interface.versions import Versions
from sslctl.text import clean

# The longest pause between two questions to an edge that does not serve the certificate yet.
_LONGEST_PAUSE = 1.0


class EdgeStore(Edges, Versions, Protocol):
    """What the proof reads and writes."""


class EdgeProof:
    """The proof at `edges`. Safe to use from several threads, for different domains.

    An edge is late if it serves another certificate `lag` after the upload. A pass waits `activation_seconds` for the edges.
    """

    def __init__(
        self,
        store: EdgeStore,
        edges: AskedEdges,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        activation_seconds: float,
        lag: timedelta,
    ) -> None:
        self._store = store
        self._edges = edges
        self._clock = clock
        self._sleep = sleep
        self._activation_seconds = activation_seconds
        self._lag = lag
        self._silent = SilentEdges(store)

    @property
    def edges(self) -> Sequence[str]:
        """The edges, as in the configuration."""
        return self._edges.names

    def require(self, domain: Domain, certificate: Certificate) -> None:
        """Raise `PassEnded` if an edge serves another certificate than `certificate`, which C4 was just seen to serve for `domain`."""
        answers = {each.edge: each for each in self._edges.ask(domain.name)}
        for pause in poll_pauses(self._activation_seconds, _LONGEST_PAUSE):
            waiting = [each.edge for each in answers.values() if _differs(each, certificate)]
            if not waiting:
                break
            self._sleep(pause)
            answers |= {each.edge: each for each in self._edges.ask(domain.name, waiting)}
        differing = self._record(domain, domain.serving or certificate, list(answers.values()))
        if differing:
            raise PassEnded(Code.C4_ACTIVATING, differing, certificate.fingerprint[:16])

    def look(self, domain: Domain) -> bool:
        """Record what the edges serve for `domain`, and return whether they were asked.

        A domain is left out if it is not known which certificate they should serve.
        """
        serving = domain.serving
        is_settled = serving is not None and domain.foreign is None and serving == domain.wanted
        if serving is None or not is_settled or domain.deleted_at is not None:
            return False
        if is_expired(serving, self._clock()):
            return False
        answers = {each.edge: each for each in self._edges.ask(domain.name)}
        # In a small fleet nothing else shows in this tick that an edge is silent, and not only slow once.
        while unsure := [
            name
            for name, each in answers.items()
            if each.fingerprint is None and not self._edges.is_silent(name)
        ]:
            answers |= {each.edge: each for each in self._edges.ask(domain.name, unsure)}
        self._record(domain, serving, list(answers.values()))
        return True

    def _record(self, domain: Domain, certificate: Certificate, answers: Sequence[EdgeAnswer]) -> str:
        """Record `answers`, and return in words which edges serve another certificate; empty if none does."""
        self._record_silence(answers)
        differing = [each for each in answers if _differs(each, certificate)]
        versions = self._find_versions(domain) if differing else {}
        late_at = (certificate.uploaded_at or self._clock()) + self._lag
        drifts = [
            Drift(each.edge, each.fingerprint or "", versions.get(each.fingerprint or ""), late_at)
            for each in differing
        ]
        same = [each.edge for each in answers if each.fingerprint == certificate.fingerprint]
        self._store.record_edge_answers(domain, drifts, same)
        return join_edges([_describe(*pair) for pair in zip(differing, drifts, strict=True)])

    def _find_versions(self, domain: Domain) -> dict[str, int]:
        return {one.fingerprint: one.version for one in self._store.certificates(domain)}

    def _record_silence(self, answers: Sequence[EdgeAnswer]) -> None:
        missing = [each for each in answers if each.fingerprint is None]
        self._silent.record(
            [each.edge for each in answers if each.fingerprint is not None],
            {each.edge: clean(each.why) for each in missing if self._edges.is_silent(each.edge)},
        )


def _differs(answer: EdgeAnswer, certificate: Certificate) -> bool:
    return answer.fingerprint is not None and answer.fingerprint != certificate.fingerprint


def _describe(answer: EdgeAnswer, drift: Drift) -> str:
    """Return in words what an edge serves that differs."""
    if not drift.fingerprint:
        return f"edge {answer.edge} serves no certificate for it ({answer.why})"
    if drift.version is None:
        return (
            f"edge {answer.edge} serves a certificate that sslctl did not install, {drift.fingerprint[:16]}"
        )
    return f"edge {answer.edge} still serves version {drift.version}, {drift.fingerprint[:16]}"
