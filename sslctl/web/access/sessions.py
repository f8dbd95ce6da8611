"""Sessions of browsers, in the memory of one server, and the token with which one begins."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sslctl.web.access import Person

IDLE_SECONDS = 30 * 60
LONGEST_SECONDS = 12 * 60 * 60
TOKEN_SECONDS = 10 * 60

_MOST_SESSIONS = 100
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A session of `person`. `csrf_token` is what a form of the page sends back. Times are those of a monotonic clock."""

    person: Person
    csrf_token: str
    began: float
    used: float


class Sessions:
    """The sessions of one server; `monotonic` is a clock in seconds. They may be used from any thread.

    A session ends 30 minutes after its last request, and 12 hours after its start. Only hashes of its secrets are kept, so that
    a core dump or a debugger does not show what a browser must send.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sessions: dict[bytes, Session] = {}
        self._tokens: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def make_token(self) -> str:
        """Return a new token with which one session can begin in the next 10 minutes. Earlier tokens are void."""
        token = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._tokens = {_hash(token): self._monotonic()}
        return token

    def begin(self, token: str, person: Person) -> str | None:
        """Begin a session of `person` with `token`, and return its secret; None if the token is void. It is void then."""
        now, key = self._monotonic(), _hash(token)
        with self._lock:
            made = self._tokens.pop(key, None)
            if made is None or now - made > TOKEN_SECONDS:
                return None
            secret = secrets.token_urlsafe(_BYTES)
            self._sessions[_hash(secret)] = Session(person, secrets.token_urlsafe(_BYTES), now, now)
            self._forget_ended(now)
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session with `secret`, and count the request; None if there is none, or if it has ended."""
        now, key = self._monotonic(), _hash(secret)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return None
            if _has_ended(session, now):
                del self._sessions[key]
                return None
            session = Session(session.person, session.csrf_token, session.began, now)
            self._sessions[key] = session
        return session

    def end(self, secret: str) -> None:
        """End the session with `secret`, if there is one."""
        with self._lock:
            self._sessions.pop(_hash(secret), None)

    def _forget_ended(self, now: float) -> None:
        for key, session in list(self._sessions.items()):
            if _has_ended(session, now) or len(self._sessions) > _MOST_SESSIONS:
                del self._sessions[key]


def _has_ended(session: Session, now: float) -> bool:
    return now - session.used > IDLE_SECONDS or now - session.began > LONGEST_SECONDS


def _hash(secret: str) -> bytes:
    # A lookup by hash needs no comparison in constant time: a partly right guess has a wholly different hash.
    return hashlib.sha256(secret.encode()).digest()
