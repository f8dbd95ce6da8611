"""Messages about some domains go to other URLs: by who must act, and by customer."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from sslctl.notify import Message, Route, Undelivered, UnusableRoute
from sslctl.rules.reasons import Owner
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import FakeNotifier
from tests.support.notifying import NotifyingCdn, fail
from tests.support.webhook import Webhook

ACME, GLOBEX, OTHER = "shop.example.com", "www.example.org", "api.example.net"


@pytest.fixture
def notifying(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> NotifyingCdn:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Emergency,Failure")
    return NotifyingCdn(cdn)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


def refuse_upload(cdn: Cdn, name: str, customer: str = "") -> None:
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    cdn.add_domain(name, customer=customer)
    assert cdn.sslctl("add", name).exit_code == 7


def test_message_goes_to_every_route_that_matches_and_otherwise_to_the_default(
    notifying: NotifyingCdn,
) -> None:
    of_customers = notifying.add_route(Owner.CUSTOMER)
    of_acme = notifying.add_route(customers=("acme", "initech"))
    of_both = notifying.add_route(Owner.C4, Owner.OPERATOR, customers=("globex",))
    fail(notifying, ACME, "acme")
    fail(notifying, OTHER)
    refuse_upload(notifying, GLOBEX, "globex")
    refuse_upload(notifying, "plain.example.com")
    notifying.tick()
    assert [message.title for message, _ in of_customers.sent] == ["sslctl: 2 domains in Failure"]
    assert [message.title for message, _ in of_acme.sent] == ["sslctl: 1 domain in Failure"]
    assert ACME in of_acme.sent[0][0].body
    assert [message.title for message, _ in of_both.sent] == ["sslctl: 1 domain in Emergency"]
    assert notifying.titles() == ["1 domain in Emergency"]
    assert "plain.example.com" in notifying.notifier.sent[0][0].body


def test_urls_of_a_route_that_missed_a_message_get_it_again_and_no_others(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    route.deaf = {1}
    fail(notifying, ACME)
    refuse_upload(notifying, GLOBEX)
    notifying.tick()
    assert notifying.titles() == ["1 domain in Emergency"]
    line = "The last notice to the route customer has not been delivered since "
    assert line in notifying.sslctl("list").stderr
    route.deaf = set()
    notifying.tick(hours=1)
    assert len(route.sent) == 2
    assert notifying.sslctl("list").stderr == ""
    notifying.tick(hours=1)
    assert len(route.sent) == 2


def test_route_that_nobody_hears_is_reported_to_the_default_and_the_tick_sends_no_ping(
    notifying: NotifyingCdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{webhook.address}/")
    route = notifying.add_route(Owner.CUSTOMER)
    route.deaf = {1}
    fail(notifying, ACME)
    notifying.tick()
    assert (notifying.titles(), webhook.pings) == ([], [])
    notifying.tick(hours=1)
    assert notifying.titles() == ["no message reaches the route customer"]
    assert "`sslctl notify`" in notifying.notifier.sent[0][0].body
    route.deaf = set()
    for _ in range(3):
        notifying.tick(hours=1)
    assert notifying.titles()[1:] == ["all domains have recovered"]
    assert len(webhook.pings) == 3


def test_notifier_that_raises_does_not_let_the_others_get_their_message_at_each_tick(
    notifying: NotifyingCdn,
) -> None:
    class Raising(FakeNotifier):
        def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
            raise ValueError(message, positions)

    notifying.routes.append(Route("acme", frozenset(), frozenset({"acme"}), Raising("slack", "mailto")))
    fail(notifying, ACME, "acme")
    fail(notifying, OTHER)
    (notice,) = (
        each for each in notifying.sslctl("daemon-tick", "--json").json["notices"] if each["route"] == "acme"
    )
    assert notice["missed"] == [1, 2]
    assert notice["why"] == (
        "URL 1 (slack) got no message: sslctl failed (ValueError);"
        " URL 2 (mailto) got no message: sslctl failed (ValueError)"
    )
    assert notifying.titles() == ["1 domain in Failure"]
    for _ in range(3):
        notifying.tick(hours=1)
    assert notifying.titles()[1:] == ["no message reaches the route acme, 1 domain in Failure"]


def test_trouble_of_the_fleet_goes_to_the_default(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(*Owner)
    notifying.add_domain(ACME)
    assert notifying.sslctl("add", ACME).exit_code == 0
    notifying.c4.set_faults(Fault(status=401))
    notifying.tick(days=2)
    assert notifying.titles() == ["C4 refuses sslctl's token"]
    assert route.sent == []


def test_recovery_is_reported_to_the_route_that_heard_of_the_trouble(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    fail(notifying, ACME)
    notifying.tick()
    notifying.point(ACME, f"{ACME}.cdn.test")
    notifying.clear_dns(ACME)
    notifying.point(ACME, f"{ACME}.cdn.test")
    assert notifying.sslctl("recheck", ACME).exit_code == 0
    notifying.tick(hours=1)
    assert [message.title for message, _ in route.sent] == [
        "sslctl: 1 domain in Failure", "sslctl: all domains have recovered",
    ]  # fmt: skip
    assert notifying.titles() == []


def serve_and_refuse_upload(cdn: Cdn, name: str) -> None:
    """Let the customer mend the domain, and C4 refuse its certificate."""
    cdn.clear_dns(name)
    cdn.point(name, f"{name}.cdn.test")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    assert cdn.sslctl("recheck", name).exit_code == 7


def give_to(cdn: Cdn, name: str, customer: str) -> None:
    """Let C4 name another customer for the domain."""
    body = f'{{"domain":"{name}","customer":"{customer}","cname_target":"{name}.cdn.test","ports":[80,443],"certificate":null}}'
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, domain=name, status=200, body=body))


def titles_of(notifier: FakeNotifier) -> list[str]:
    return [message.title.removeprefix("sslctl: ") for message, _ in notifier.sent]


def test_route_hears_of_recovery_only_when_the_domain_has_no_trouble_for_anybody(
    notifying: NotifyingCdn,
) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    fail(notifying, ACME)
    notifying.tick()
    serve_and_refuse_upload(notifying, ACME)
    notifying.tick(hours=1)
    assert titles_of(route) == ["1 domain in Failure"]
    assert notifying.titles() == ["1 domain in Emergency"]
    notifying.c4.set_faults()
    assert notifying.sslctl("recheck", ACME).exit_code == 0
    notifying.tick(hours=1)
    assert titles_of(route) == ["1 domain in Failure", "all domains have recovered"]
    assert notifying.titles() == ["1 domain in Emergency", "all domains have recovered"]


def test_message_that_a_url_missed_is_not_replaced_by_a_recovery_while_somebody_else_must_act(
    notifying: NotifyingCdn,
) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    route.deaf = {1}
    fail(notifying, ACME)
    notifying.tick()
    serve_and_refuse_upload(notifying, ACME)
    route.deaf = set()
    notifying.tick(hours=1)
    assert titles_of(route) == ["1 domain in Failure"]


def test_default_hears_what_is_over_and_of_no_recovery_while_a_route_has_the_domain(
    notifying: NotifyingCdn,
) -> None:
    dead = notifying.add_route(customers=("globex",))
    initech = notifying.add_route(customers=("initech",))
    dead.deaf = {1}
    fail(notifying, GLOBEX, "globex")
    fail(notifying, ACME)
    notifying.tick()
    notifying.tick(hours=1)
    give_to(notifying, ACME, "initech")
    dead.deaf = set()
    notifying.tick(hours=25)
    notifying.tick(hours=1)
    assert titles_of(initech) == ["1 domain in Failure"]
    assert notifying.titles()[1:] == [
        "no message reaches the route globex, 1 domain in Failure",
        "no message reaches the route globex",
        "over: globex (not delivered)",
    ]


def test_domain_of_another_customer_has_not_recovered_for_the_first_one(notifying: NotifyingCdn) -> None:
    acme, globex = notifying.add_route(customers=("acme",)), notifying.add_route(customers=("globex",))
    fail(notifying, ACME, "acme")
    notifying.tick()
    give_to(notifying, ACME, "globex")
    notifying.tick(hours=25)
    assert titles_of(acme) == titles_of(globex) == ["1 domain in Failure"]


def test_expiry_that_c4_hides_for_a_day_is_no_recovery_for_the_route_or_the_default(
    notifying: NotifyingCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Emergency,Expired")
    route = notifying.add_route(Owner.CUSTOMER)
    notifying.add_domain(ACME)
    assert notifying.sslctl("add", ACME).exit_code == 0
    notifying.clock.move(days=83.1)
    notifying.clear_dns(ACME)
    notifying.point(ACME, "elsewhere.test")
    for _ in range(3):
        notifying.tick(days=1)
    notifying.c4.set_faults(Fault(status=503))
    notifying.tick(days=1)
    notifying.c4.set_faults()
    notifying.tick(days=1)
    assert titles_of(route) == ["1 domain expires in 5 days", "1 domain expires in 1 day"]
    assert notifying.titles() == ["1 domain expires in 2 days"]


def test_notice_of_a_removed_route_is_forgotten(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    route.deaf = {1}
    fail(notifying, ACME)
    notifying.tick()
    notifying.routes.clear()
    notifying.tick(hours=1)
    assert notifying.titles() == ["1 domain in Failure"]
    assert notifying.sslctl("list").stderr == ""


def test_route_that_was_unusable_for_a_tick_does_not_get_its_message_again(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    fail(notifying, ACME)
    notifying.tick()
    (usable,) = notifying.routes
    notifying.routes.clear()
    notifying.unusable.append(UnusableRoute(usable.key, "unreadable"))
    notifying.tick(hours=1)
    notifying.tick(hours=1)
    assert notifying.titles() == ["the route customer cannot be used, 1 domain in Failure"]
    notifying.routes.append(usable)
    notifying.unusable.clear()
    notifying.tick(hours=1)
    assert titles_of(route) == ["1 domain in Failure"]
    assert notifying.titles()[1:] == ["over: customer (not usable)"]
