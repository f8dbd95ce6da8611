"""Ask the configured edges which certificate each of them serves for a name.

An edge that does not answer costs little: after three failures in a row it is asked only once a minute.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslctl import edge
from sslctl.edge import NoAnswer, NotServed
from sslctl.edge.silence import Silence
from sslctl.rules.edges import EdgeAddress
from sslctl.system.threads import map_in_threads
from sslctl.text import clean

# So many names are asked about at once, each at so many edges: at most 128 connections.
_MOST_NAMES = 8
_MOST_EDGES = 16


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """What `edge` serves for a name: the SHA-256 fingerprint of the leaf, empty if it serves none, None if it gave no answer.

    `why` says why there is no fingerprint (cleaned).
    """

    edge: str
    fingerprint: str | None
    why: str = ""


class AskedEdges:
    """The edges, and which of them are silent. Safe to use from several threads.

    `monotonic` is a clock in seconds. Connecting and the handshake may take `seconds` each.
    """

    def __init__(
        self, edges: Sequence[EdgeAddress], seconds: float, *, monotonic: Callable[[], float]
    ) -> None:
        self.names = tuple(map(str, edges))
        self._edges = {str(each): _Edge(each, seconds, monotonic) for each in edges}
        self._slots = threading.BoundedSemaphore(_MOST_NAMES)

    def ask(self, name: str, edges: Sequence[str] | None = None) -> list[EdgeAnswer]:
        """Return what each of `edges`, by default of all, serves for `name`, in their order. They are asked at once."""
        asked = [self._edges[each] for each in (self.names if edges is None else edges)]
        with self._slots:
            answers = map_in_threads(
                lambda each: each.ask(name), asked, _MOST_EDGES, "edge", wait=False, is_daemon=True
            )
            return list(answers)

    def is_silent(self, edge_name: str) -> bool:
        """Return whether the edge has given no answer three times in a row."""
        return self._edges[edge_name].silence.is_silent


class _Edge:
    """One edge with its circuit breaker."""

    def __init__(self, address: EdgeAddress, seconds: float, monotonic: Callable[[], float]) -> None:
        self.silence = Silence(monotonic)
        self._address = address
        self._name = str(address)
        self._seconds = seconds
        self._resolved = ""

    def ask(self, name: str) -> EdgeAnswer:
        if not self.silence.may_ask():
            return EdgeAnswer(self._name, None, self.silence.why)
        try:
            found = edge.read_fingerprint(self._resolve(), self._address.port, name, self._seconds)
        except NotServed as error:
            answer = EdgeAnswer(self._name, "", str(error))
        except (NoAnswer, OSError, UnicodeError) as error:
            answer = EdgeAnswer(self._name, None, clean(error))
        else:
            answer = EdgeAnswer(self._name, found)
        self._learn(answer)
        return answer

    def _learn(self, answer: EdgeAnswer) -> None:
        if answer.fingerprint is not None:
            self.silence.end()
            return
        self.silence.go_on(answer.why)
        # The name may have moved to another address.
        self._resolved = ""

    def _resolve(self) -> str:
        """Return the address of the edge, the first one if its name has several. It is resolved once. Raise `OSError`."""
        if not self._resolved:
            found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
            self._resolved = str(found[0][4][0])
        return self._resolved
