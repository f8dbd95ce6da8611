"""Whatever the cause: people hear of it when the renewal margin begins at the latest, and not too often (invariant I12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from sslctl.issuer import IssueError
from sslctl.notify import MessageKind
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault
from tests.support.cdn import Cdn
from tests.support.notifying import NotifyingCdn

NAMES = [f"d{number:02}.example.com" for number in range(6)]
LIFETIME, MARGIN = timedelta(days=90), timedelta(days=7)
DAYS = ("7 days", "6 days", "5 days", "4 days", "3 days", "2 days", "1 day")
# A whole day or an expiry may be reported by the next tick.
TICK = timedelta(hours=3)


@pytest.fixture
def notifying(cdn: Cdn) -> NotifyingCdn:
    return NotifyingCdn(cdn)


def serve_until(notifying: NotifyingCdn, days: float) -> datetime:
    """Serve all domains until their certificates have `days` left; return when these expire."""
    for name in NAMES:
        notifying.add_domain(name)
    assert notifying.sslctl("add", *NAMES).exit_code == 0
    expiry = notifying.clock() + LIFETIME
    notifying.tick()
    notifying.clock.at = expiry - timedelta(days=days + 2)
    for _ in range(2):
        notifying.tick(days=1)
    assert notifying.heard == []
    return expiry


def refuse_token(cdn: Cdn) -> None:
    cdn.c4.set_faults(Fault(status=401))


def stop_c4(cdn: Cdn) -> None:
    cdn.c4.set_faults(Fault(status=503))


def refuse(cdn: Cdn, code: Code, found: str, *, account: bool = True, pause: float = 0) -> None:
    for _ in range(2000):
        retry_at = cdn.clock() + timedelta(days=pause) if pause else None
        scope = Scope(LimitKind.ACCOUNT) if account else None
        cdn.issuer.refusals.append(IssueError(code, found, pause=scope, retry_at=retry_at))


def stop_ca(cdn: Cdn) -> None:
    refuse(cdn, Code.CA_UNAVAILABLE, "answered 503")


def deactivate_account(cdn: Cdn) -> None:
    refuse(cdn, Code.CA_REFUSED, "the account is deactivated")


def pause_account(cdn: Cdn) -> None:
    refuse(cdn, Code.CA_RATE_LIMITED, "too many requests", pause=6)


def lose_dns(cdn: Cdn) -> None:
    for name in NAMES:
        cdn.clear_dns(name)


@pytest.mark.parametrize(
    ("trouble", "title"),
    [
        (refuse_token, "C4 refuses sslctl's token, "),
        (stop_c4, ""),
        (stop_ca, "the CA issues nothing, "),
        (deactivate_account, "the CA issues nothing, "),
        (pause_account, "the CA issues nothing, "),
        (lose_dns, "NXDOMAIN about 6 domains, not believed, "),
    ],
)
def test_trouble_of_all_that_begins_with_the_renewal_margin_is_heard_at_once_and_at_most_once_a_day(
    notifying: NotifyingCdn, trouble: Callable[[Cdn], None], title: str
) -> None:
    expiry = serve_until(notifying, days=7.125)
    trouble(notifying)
    while notifying.clock() < expiry - TICK:
        notifying.tick(hours=3)
    first, _, head = notifying.heard[0]
    assert first - (expiry - MARGIN) <= TICK
    assert head == f"{title}6 domains expire, the first in 7 days"
    assert {kind for _, kind, _ in notifying.heard} == {MessageKind.TROUBLE}
    # Trouble of the fleet is repeated daily, an expiry is reported at its thresholds.
    assert len(notifying.heard) == (7 if title else 3)


def test_budget_that_is_used_up_is_heard_at_each_threshold(
    notifying: NotifyingCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_LIMITS_DUPLICATES", "1/90d")
    expiry = serve_until(notifying, days=7.125)
    while notifying.clock() < expiry - TICK:
        notifying.tick(hours=3)
    assert [left for left in DAYS if any(left in title for _, _, title in notifying.heard)] == [
        "7 days", "3 days", "1 day",
    ]  # fmt: skip
    assert len(notifying.heard) == 3
    assert notifying.heard[0][0] - (expiry - MARGIN) <= TICK


def test_renewals_held_by_max_per_day_are_heard_when_the_margin_begins(
    notifying: NotifyingCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_RENEWAL_MAX_PER_DAY", "1")
    for name in NAMES:
        notifying.add_domain(name)
    assert notifying.sslctl("add", *NAMES).exit_code == 0
    expiry = notifying.clock() + LIFETIME
    notifying.clock.at = expiry - MARGIN
    notifying.tick()
    assert [(kind, title) for _, kind, title in notifying.heard] == [
        (MessageKind.DIGEST, "renewals are postponed")
    ]
    assert "renewal.max_per_day: 5 domains" in notifying.notifier.sent[0][0].body
    while notifying.clock() < expiry:
        notifying.tick(hours=3)
    assert len(notifying.heard) <= 4
    assert not [title for _, _, title in notifying.heard if "Expired" in title]


@pytest.mark.parametrize("trouble", [refuse_token, stop_c4])
def test_loss_of_c4_is_heard_within_a_day_although_nothing_is_due_and_its_end_once(
    notifying: NotifyingCdn, trouble: Callable[[Cdn], None]
) -> None:
    serve_until(notifying, days=40)
    began = notifying.clock()
    trouble(notifying)
    for _ in range(7 * 12):
        notifying.tick(hours=2)
    assert notifying.heard[0][0] - began <= timedelta(days=1, hours=2)
    assert {title for _, _, title in notifying.heard} <= {"C4 refuses sslctl's token", "C4 does not answer"}
    assert 6 <= len(notifying.heard) <= 7
    notifying.heard.clear()
    notifying.c4.set_faults()
    for _ in range(12):
        notifying.tick(hours=3)
    assert [title for _, _, title in notifying.heard] == ["all domains have recovered"]


def test_outage_of_c4_at_one_tick_is_not_heard(notifying: NotifyingCdn) -> None:
    serve_until(notifying, days=40)
    notifying.tick(hours=23)
    stop_c4(notifying)
    notifying.tick(hours=1)
    notifying.c4.set_faults()
    for _ in range(30):
        notifying.tick(hours=1)
    assert notifying.heard == []


def test_end_of_trouble_of_the_fleet_is_heard_although_other_trouble_lasts(notifying: NotifyingCdn) -> None:
    expiry = serve_until(notifying, days=7.125)
    notifying.clear_dns(NAMES[0])
    refuse(notifying, Code.CA_REFUSED, "the account is deactivated")
    while notifying.clock() < expiry - timedelta(days=4):
        notifying.tick(hours=3)
    notifying.issuer.refusals.clear()
    before = len(notifying.notifier.sent)
    for _ in range(14):
        notifying.tick(hours=3)
    bodies = [message.body for message, _ in notifying.notifier.sent[before:]]
    assert sum("Over: CA_UNAVAILABLE" in body for body in bodies) == 1
    assert notifying.titles()[-1].startswith("1 domain expires in ")


def test_certificate_that_c4_lost_and_got_again_in_the_same_tick_is_heard_once(
    notifying: NotifyingCdn,
) -> None:
    serve_until(notifying, days=40)
    assert notifying.app().control_plane.remove(NAMES[2])
    notifying.tick(days=1)
    assert notifying.installed(NAMES[2]) is not None
    ((at, kind, title),) = notifying.heard
    assert (at, kind) == (notifying.clock(), MessageKind.TROUBLE)
    assert title == "C4 had lost the certificate of 1 domain"
    notifying.tick(hours=1)
    notifying.tick(days=2)
    assert len(notifying.heard) == 1


def test_refusal_for_one_domain_is_no_trouble_of_the_fleet(notifying: NotifyingCdn) -> None:
    serve_until(notifying, days=40)
    notifying.add_domain("new.example.com")
    notifying.c4.set_faults(Fault(domain="new.example.com", status=403))
    notifying.sslctl("add", "new.example.com")
    for _ in range(9 * 8):
        notifying.tick(hours=3)
    assert not [title for _, _, title in notifying.heard if "token" in title]
