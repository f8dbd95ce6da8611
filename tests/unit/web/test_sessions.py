"""Sessions and one-time tokens: when they begin and end."""

from __future__ import annotations

from sslctl.web.access import Person, Role
from sslctl.web.access.sessions import IDLE_SECONDS, LONGEST_SECONDS, TOKEN_SECONDS, Sessions

BOB = Person("bob", frozenset(Role))


class Monotonic:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def begin(sessions: Sessions) -> str:
    secret = sessions.begin(sessions.make_token(), BOB)
    assert secret is not None
    return secret


def test_token_begins_one_session() -> None:
    sessions = Sessions(Monotonic())
    token = sessions.make_token()
    secret = sessions.begin(token, BOB)
    assert secret is not None
    session = sessions.find(secret)
    assert session is not None
    assert session.person is BOB
    assert sessions.begin(token, BOB) is None
    assert sessions.find(secret) is not None


def test_new_token_voids_the_one_before() -> None:
    sessions = Sessions(Monotonic())
    first = sessions.make_token()
    second = sessions.make_token()
    assert sessions.begin(first, BOB) is None
    assert sessions.begin(second, BOB) is not None


def test_token_is_void_after_its_time_and_unknown_ones_always() -> None:
    clock = Monotonic()
    sessions = Sessions(clock)
    assert sessions.begin("", BOB) is None
    token = sessions.make_token()
    clock.now += TOKEN_SECONDS + 1
    assert sessions.begin(token, BOB) is None


def test_session_ends_when_idle_and_after_its_longest_time() -> None:
    clock = Monotonic()
    sessions = Sessions(clock)
    idle, busy = begin(sessions), begin(sessions)
    for _ in range(LONGEST_SECONDS // (IDLE_SECONDS - 60)):
        clock.now += IDLE_SECONDS - 60
        assert sessions.find(busy) is not None
    assert sessions.find(idle) is None
    clock.now += IDLE_SECONDS - 60
    assert sessions.find(busy) is None


def test_ended_session_is_not_found_again() -> None:
    sessions = Sessions(Monotonic())
    secret, other = begin(sessions), begin(sessions)
    sessions.end(secret)
    sessions.end("unknown")
    assert sessions.find(secret) is None
    assert sessions.find(other) is not None


def test_many_sessions_push_out_the_oldest() -> None:
    sessions = Sessions(Monotonic())
    secrets = [begin(sessions) for _ in range(105)]
    assert [sessions.find(secret) is not None for secret in secrets] == [False] * 5 + [True] * 100
