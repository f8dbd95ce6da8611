"""The record of the edges that do not answer: each is recorded once, however many domains find it out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from sslctl.store.interface.edges import Edges


class SilentEdges:
    """The silent edges in `store`, which are read once. Safe to use from several threads."""

    def __init__(self, store: Edges) -> None:
        self._store = store
        self._known: set[str] | None = None
        self._lock = threading.Lock()

    def record(self, answered: Iterable[str], silent: Mapping[str, str]) -> None:
        """Record which of the edges that `answered` were silent, and which ones have become `silent`, each with why (cleaned)."""
        with self._lock:
            if self._known is None:
                self._known = {each.edge for each in self._store.silent_edges()}
            for edge in self._known.intersection(answered):
                self._store.record_edge_answered(edge)
                self._known.discard(edge)
            for edge, why in silent.items():
                if edge not in self._known:
                    self._store.record_silent_edge(edge, why)
                    self._known.add(edge)
