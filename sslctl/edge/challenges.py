"""Ask the edges for a random token: whether each answers the CA's challenges by itself, with the thumbprint of our account key."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from sslctl.edge.silence import Silence
from sslctl.net.http_request import BadResponse, NoResponse, Refused, Request, Response, get
from sslctl.rules.edges import EdgeAddress
from sslctl.rules.stateless_answer import PATH, key_authorization
from sslctl.system.threads import map_in_threads
from sslctl.text import clean

_MOST_AT_ONCE = 16
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ChallengeAnswer:
    """Whether `edge` answers as the CA expects it; None if that is not known. `found` says what it answered instead (cleaned).

    `is_missing` means that it gave no answer at all.
    """

    edge: str
    is_right: bool | None
    found: str = ""
    is_missing: bool = False


class ChallengeEdges:
    """The hosts of `edges`, asked over plain HTTP on `port`, each for at most `seconds`. Safe to use from several threads.

    `monotonic` is a clock in seconds.
    """

    def __init__(
        self,
        edges: Sequence[EdgeAddress],
        port: int,
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._edges = [EdgeAddress(host, port) for host in dict.fromkeys(each.host for each in edges)]
        self._silences = {each: Silence(monotonic) for each in self._edges}
        self.names = tuple(map(str, self._edges))
        self._seconds = seconds

    def silent(self) -> dict[str, str]:
        """Return the edges that have given no answer three times in a row, with why."""
        return {str(each): silence.why for each, silence in self._silences.items() if silence.is_silent}

    def ask(self, name: str, thumbprint: str) -> list[ChallengeAnswer]:
        """Return what each edge answers to a challenge of the domain `name`. They are asked at once."""
        token = secrets.token_urlsafe(32)
        expected = key_authorization(token, thumbprint)
        return list(
            map_in_threads(
                lambda each: self._ask(each, name, token, expected),
                self._edges,
                _MOST_AT_ONCE,
                "challenge",
                wait=False,
                is_daemon=True,
            )
        )

    def _ask(self, edge: EdgeAddress, name: str, token: str, expected: str) -> ChallengeAnswer:
        silence = self._silences[edge]
        if not silence.may_ask():
            return ChallengeAnswer(str(edge), None, silence.why, is_missing=True)
        request = Request(is_tls=False, host=name, host_header=name, port=edge.port, path=f"{PATH}{token}")
        try:
            resolved = socket.getaddrinfo(edge.host, edge.port, type=socket.SOCK_STREAM)[0][4][0]
            response = get(request, ip_address(resolved), time.monotonic() + self._seconds)
        except (NoResponse, Refused, OSError, UnicodeError) as error:
            silence.go_on(clean(error) or type(error).__name__)
            return ChallengeAnswer(str(edge), None, silence.why, is_missing=True)
        except BadResponse as error:
            silence.end()
            return ChallengeAnswer(str(edge), is_right=False, found=clean(error, _LONGEST_SHOWN))
        silence.end()
        return _judge(str(edge), response, expected)


def _judge(edge: str, response: Response, expected: str) -> ChallengeAnswer:
    body = response.body.decode("latin-1").rstrip()
    if response.status == HTTPStatus.OK and body == expected:
        return ChallengeAnswer(edge, is_right=True)
    if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
        # The CA follows a redirect, and may find the answer there.
        return ChallengeAnswer(edge, None, f"it redirects ({response.status})")
    if response.status != HTTPStatus.OK:
        return ChallengeAnswer(edge, is_right=False, found=f"it answers {response.status}")
    token = expected.partition(".")[0]
    found = body.replace(token, "TOKEN")
    return ChallengeAnswer(edge, is_right=False, found=f"it answers “{clean(found, _LONGEST_SHOWN)}”")
