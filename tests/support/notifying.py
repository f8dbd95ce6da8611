"""A CDN whose ticks notify people in memory."""

from __future__ import annotations

from datetime import datetime

from sslctl.app import App
from sslctl.notify import MessageKind, Route, UnusableRoute
from sslctl.rules.reasons import Owner
from tests.support.cdn import Cdn
from tests.support.fakes import FakeNotifier


class NotifyingCdn(Cdn):
    """A CDN whose ticks send their notices to `notifier`, and those of `routes` to theirs."""

    def __init__(self, cdn: Cdn) -> None:
        self.__dict__ = cdn.__dict__
        self.notifier = FakeNotifier("slack", "mailto")
        self.routes: list[Route] = []
        self.unusable: list[UnusableRoute] = []
        self.heard: list[tuple[datetime, MessageKind, str]] = []

    def add_route(self, *owners: Owner, customers: tuple[str, ...] = ()) -> FakeNotifier:
        """Add a route with one URL; return its notifier."""
        notifier = FakeNotifier("slack")
        key = " ".join(filter(None, (",".join(owners), ",".join(customers))))
        self.routes.append(Route(key, frozenset(owners), frozenset(customers), notifier))
        return notifier

    def app(self) -> App:
        """Return the application with the fake notifiers."""
        app = super().app()
        app.notifier = self.notifier
        app.tick_routes = (self.routes, self.unusable)
        return app

    def tick(self, **moved: float) -> None:
        """Run a tick later by `moved`, and note what people heard."""
        self.clock.move(**moved)
        before = len(self.notifier.sent)
        self.sslctl("daemon-tick", "-q")
        for message, _ in self.notifier.sent[before:]:
            self.heard.append((self.clock(), message.kind, message.title.removeprefix("sslctl: ")))

    @property
    def sent(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return the title and the positions of the URLs of each message that was sent."""
        return [(message.title, to) for message, to in self.notifier.sent]

    def titles(self, kind: MessageKind | None = None) -> list[str]:
        """Return the titles of the messages, without "sslctl: "; with `kind`, of these."""
        return [
            message.title.removeprefix("sslctl: ")
            for message, _ in self.notifier.sent
            if kind is None or message.kind is kind
        ]


def fail(cdn: Cdn, name: str, customer: str = "") -> None:
    """Add a domain that points elsewhere."""
    cdn.add_domain(name, points_at="elsewhere.test", customer=customer)
    assert cdn.sslctl("add", name).exit_code == 4
