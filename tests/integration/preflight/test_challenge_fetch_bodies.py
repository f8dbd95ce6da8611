"""What of a response counts: the end of a body, its size, and a status whose body does not end."""

from __future__ import annotations

import pytest

from sslctl.preflight.challenge_fetch import Outcome
from tests.support.misbehaving import Behaviour, dripping, http_head, sending
from tests.support.token_servers import CONTENT, NAME, TokenServers, respond


@pytest.mark.parametrize(("size", "outcome"), [(127, Outcome.FOUND), (128, Outcome.OTHER)])
def test_body_of_128_bytes_is_too_long(world: TokenServers, size: int, outcome: Outcome) -> None:
    # Boulder, `processHTTPValidation`: a body of `maxResponseSize` may have been cut off.
    world.serve(respond(200, CONTENT.encode().ljust(size)))
    assert world.fetch().outcome is outcome


@pytest.mark.parametrize(
    "behaviour",
    [
        dripping(http_head(403), b"x"),
        sending(http_head(403, "Transfer-Encoding: chunked\r\n") + b"no chunk"),
    ],
    ids=["slow", "not chunked"],
)
def test_status_is_an_answer_even_if_its_body_does_not_end(world: TokenServers, behaviour: Behaviour) -> None:
    world.serve(behaviour)
    fetched = world.fetch(seconds=1)
    assert (fetched.outcome, fetched.hops[-1].status) == (Outcome.OTHER, 403)


def test_redirect_is_followed_even_if_its_body_cannot_be_read(world: TokenServers) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    head = http_head(302, "Location: /other\r\nTransfer-Encoding: chunked\r\n")
    world.serve(sending(head + b"no chunk"), respond(200, CONTENT.encode()))
    assert world.fetch().outcome is Outcome.FOUND
