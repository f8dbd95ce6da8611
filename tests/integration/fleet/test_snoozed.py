"""Snoozed domains: people get no message about them until the snooze ends, and are not told that they recovered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.notify import MessageKind
from sslctl.rules.model import Source
from sslctl.rules.reasons import Owner
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import START
from tests.support.notifying import NotifyingCdn, fail

ONE, TWO = "one.example.com", "two.example.com"
FAILURE, FAILURES, WELL = "1 domain in Failure", "2 domains in Failure", "all domains have recovered"
EMERGENCY = "1 domain in Emergency"


@pytest.fixture
def notifying(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> NotifyingCdn:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Emergency,Failure,Expired")
    return NotifyingCdn(cdn)


def snooze(cdn: Cdn, *names: str, until: str = "5d") -> None:
    assert cdn.sslctl("snooze", *names, "--until", until).exit_code == 0


def repair(cdn: Cdn, name: str) -> None:
    cdn.clear_dns(name)
    cdn.point(name, f"{name}.cdn.test")


def ticks(cdn: NotifyingCdn, days: int) -> None:
    for _ in range(days * 4):
        cdn.tick(hours=6)


def test_snoozed_domain_is_in_no_message_until_the_end_and_then_in_one_at_once(
    notifying: NotifyingCdn,
) -> None:
    fail(notifying, ONE)
    snooze(notifying, ONE)
    ticks(notifying, 4)
    assert notifying.titles() == []
    ticks(notifying, 1)
    assert notifying.titles() == [FAILURE]
    assert notifying.heard[0][0] == START + timedelta(days=5)


def test_snoozed_domain_that_was_reported_has_not_recovered_and_is_news_at_the_end(
    notifying: NotifyingCdn,
) -> None:
    fail(notifying, ONE)
    notifying.tick()
    # It ends before the message would be repeated.
    snooze(notifying, ONE, until="12h")
    notifying.tick(hours=6)
    assert notifying.titles() == [FAILURE]
    notifying.tick(hours=6)
    assert notifying.titles() == [FAILURE, FAILURE]
    repair(notifying, ONE)
    ticks(notifying, 2)
    assert notifying.titles() == [FAILURE, FAILURE, WELL]


def test_messages_about_other_domains_leave_snoozed_ones_out(notifying: NotifyingCdn) -> None:
    fail(notifying, ONE)
    fail(notifying, TWO)
    notifying.tick()
    snooze(notifying, ONE)
    ticks(notifying, 2)
    assert notifying.titles() == [FAILURES, FAILURE, FAILURE]
    assert all(ONE not in message.body for message, _ in notifying.notifier.sent[1:])
    repair(notifying, TWO)
    ticks(notifying, 2)
    assert WELL not in notifying.titles()
    repair(notifying, ONE)
    ticks(notifying, 2)
    assert notifying.titles()[-1] == WELL


def test_recovery_during_a_snooze_ends_it_and_the_same_trouble_later_is_news(notifying: NotifyingCdn) -> None:
    fail(notifying, ONE)
    notifying.tick()
    snooze(notifying, ONE, until="80d")
    repair(notifying, ONE)
    ticks(notifying, 2)
    assert notifying.titles() == [FAILURE, WELL]
    events = notifying.sslctl("view", ONE, "--json").json["domain"]["events"]
    assert [event["detail"] for event in events if event["kind"] == "snoozed"][1].startswith("removed; was ")
    notifying.clear_dns(ONE)
    notifying.point(ONE, "elsewhere.test")
    # Until the renewal is due, 7 days before the expiry of a certificate of 90 days, that is a warning.
    notifying.tick(days=20)
    assert notifying.titles(MessageKind.DIGEST) == ["1 new warning"]


def test_new_trouble_ends_a_snooze(notifying: NotifyingCdn) -> None:
    fail(notifying, ONE)
    snooze(notifying, ONE, until="80d")
    notifying.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    repair(notifying, ONE)
    ticks(notifying, 2)
    assert notifying.titles()[0] == EMERGENCY
    assert "not in force: the status was Failure and is Emergency" in " ".join(
        notifying.sslctl("view", ONE).stdout.split()
    )


def test_warning_is_snoozed_and_the_last_days_are_not(notifying: NotifyingCdn) -> None:
    notifying.add_domain(ONE)
    assert notifying.sslctl("add", ONE).exit_code == 0
    control_plane = notifying.app().control_plane
    control_plane.remove(ONE)
    control_plane.upload(ONE, notifying.text_pair(ONE, days=40), Source.TEXT)
    assert notifying.sslctl("adopt", ONE).exit_code == 0
    notifying.tick(days=15)
    reported = len(notifying.sent)
    assert notifying.sslctl("view", ONE, "--json").json["domain"]["warnings"][0]["code"] == "TEXT_EXPIRES"
    result = notifying.sslctl("snooze", ONE, "--until", "60d")
    assert "3 days before its certificate expires" in result.stdout
    for _ in range(21):
        notifying.tick(days=1)
    assert len(notifying.sent) == reported
    notifying.tick(days=1)
    assert len(notifying.sent) == reported + 1
    assert ONE in notifying.notifier.sent[-1][0].body


def test_snooze_holds_for_routes_too(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    fail(notifying, ONE)
    notifying.tick()
    assert len(route.sent) == 1
    snooze(notifying, ONE)
    ticks(notifying, 4)
    assert (len(route.sent), notifying.titles()) == (1, [])


def test_recorded_customer_chooses_the_route(notifying: NotifyingCdn) -> None:
    of_acme = notifying.add_route(customers=("acme",))
    fail(notifying, ONE)
    fail(notifying, TWO, "globex")
    assert notifying.sslctl("customer", ONE, TWO, "--name", "acme").exit_code == 0
    notifying.tick()
    # Also if C4 names another customer.
    assert [(ONE in message.body, TWO in message.body) for message, _ in of_acme.sent] == [(True, True)]
    assert notifying.notifier.sent == []
