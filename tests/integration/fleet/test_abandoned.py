"""Domains that never got a certificate in 30 days: shown, reported once in a digest, no trouble any more, still rechecked."""

from __future__ import annotations

import csv

import pytest

from sslctl.notify import MessageKind
from tests.support.cdn import SUFFIX, Cdn
from tests.support.notifying import NotifyingCdn

RECOVERED = "sslctl: all domains have recovered"
NAME, WELL = "never.example.com", "well.example.com"


@pytest.fixture
def notifying(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> NotifyingCdn:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Emergency,Expired,Failure")
    notifying = NotifyingCdn(cdn)
    notifying.add_domain(NAME, points_at="elsewhere.test")
    notifying.add_domain(WELL)
    notifying.sslctl("add", NAME, WELL)
    notifying.tick()
    return notifying


def is_abandoned(cdn: Cdn, name: str = NAME) -> bool:
    return bool(cdn.sslctl("view", name, "--json").json["domain"]["abandoned"])


def test_abandoned_domain_is_shown_and_leaves_the_notices_after_one_digest(notifying: NotifyingCdn) -> None:
    notifying.tick(days=29)
    assert not is_abandoned(notifying)
    before = len(notifying.notifier.sent)
    for _ in range(4):
        notifying.tick(days=1)
    sent = [message for message, _ in notifying.notifier.sent[before:]]
    assert [(each.kind, each.title) for each in sent] == [
        (MessageKind.DIGEST, "sslctl: 1 domain abandoned"),
    ]
    assert "Abandoned, CNAME_ELSEWHERE: 1 domain; customer must act" in sent[0].body
    assert (is_abandoned(notifying), is_abandoned(notifying, WELL)) == (True, False)
    assert "CNAME_ELSEWHERE (abandoned)" in notifying.sslctl("list").stdout
    assert "Abandoned:" in notifying.sslctl("view", NAME).stdout
    rows = {
        row["domain"]: row["abandoned"]
        for row in csv.DictReader(notifying.sslctl("list", "--csv").stdout.splitlines())
    }
    assert rows == {NAME: "yes", WELL: ""}


def test_abandoned_domain_is_rechecked_daily_and_its_recovery_is_reported(notifying: NotifyingCdn) -> None:
    for _ in range(32):
        notifying.tick(days=1)
    notifying.point(NAME, f"{NAME}.{SUFFIX}")
    notifying.tick(days=1)
    assert not is_abandoned(notifying)
    assert notifying.uploads(NAME) == [200]
    assert notifying.sent[-1][0] == RECOVERED
