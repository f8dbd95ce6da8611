"""The contract of `Notifier`, for the fake of the tests and for apprise against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from sslctl.notify import Message, MessageKind, Notifier
from sslctl.notify.sender import AppriseNotifier
from tests.support.fakes import FakeNotifier
from tests.support.webhook import Webhook

MESSAGE = Message(MessageKind.TROUBLE, "a title", "first line\n\nsecond & <third>")


@dataclass
class Case:
    """A notifier with two URLs, and the servers behind them."""

    notifier: Notifier
    webhooks: list[Webhook]

    def deafen(self, position: int) -> None:
        """Make the URL at `position` refuse every message."""
        if isinstance(self.notifier, FakeNotifier):
            self.notifier.deaf.add(position)
        else:
            self.webhooks[position - 1].status = 500

    def received(self, position: int) -> list[tuple[str, str, str]]:
        """Return kind, title and text of the messages delivered to `position`."""
        if isinstance(self.notifier, FakeNotifier):
            found = [message for message, to in self.notifier.sent if position in to]
            return [(each.kind, each.title, each.body) for each in found]
        found_there = self.webhooks[position - 1].messages
        return [(each["type"], each["title"], each["message"]) for each in found_there]


@pytest.fixture(params=["fake", "apprise"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "fake":
        yield Case(FakeNotifier("json", "json"), [])
        return
    with ExitStack() as stack:
        webhooks = [stack.enter_context(Webhook()) for _ in range(2)]
        yield Case(AppriseNotifier([webhook.url() for webhook in webhooks]), webhooks)


def test_send_delivers_the_message_unchanged(case: Case) -> None:
    assert case.notifier.schemes == ("json", "json")
    assert case.notifier.send(MESSAGE, (1, 2)) == []
    assert case.received(1) == case.received(2) == [("failure", MESSAGE.title, MESSAGE.body)]


def test_send_delivers_to_the_requested_positions_and_ignores_unknown_ones(case: Case) -> None:
    assert case.notifier.send(MESSAGE, (2, 3, 99)) == []
    assert (len(case.received(1)), len(case.received(2))) == (0, 1)
    assert case.notifier.send(MESSAGE, ()) == []
    assert case.notifier.send(MESSAGE, (7,)) == []
    assert (len(case.received(1)), len(case.received(2))) == (0, 1)


def test_send_reports_an_undelivered_url_and_delivers_to_the_others(case: Case) -> None:
    case.deafen(1)
    (missed,) = case.notifier.send(MESSAGE, range(1, 3))
    assert (missed.position, missed.scheme) == (1, "json")
    assert missed.why
    assert len(case.received(2)) == 1
