"""Notices of an Emergency: sent once, repeated daily, and retried until they are delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import apprise
import pytest

from sslctl.issuer import IssueError
from sslctl.notify import MessageKind
from sslctl.rules.model import Source
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.dns_zone import Trouble
from tests.support.notifying import NotifyingCdn
from tests.support.webhook import Webhook

NAME, OTHER = "shop.example.com", "www.example.org"
SECRET = "s3cret-path"


@pytest.fixture
def notifying(cdn: Cdn) -> NotifyingCdn:
    return NotifyingCdn(cdn)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


def break_uploads(cdn: Cdn, *names: str) -> None:
    """Let C4 refuse every upload, and add `names`."""
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    for name in names:
        cdn.add_domain(name)
        assert cdn.sslctl("add", name).exit_code == 7


def tick(cdn: Cdn, **hours: float) -> Any:
    cdn.clock.move(**hours)
    return cdn.sslctl("daemon-tick", "--json").json


ONE = "sslctl: 1 domain in Emergency"
TWO = "sslctl: 2 domains in Emergency"
WELL = "sslctl: all domains have recovered"


def test_emergency_is_notified_once_a_day_until_it_is_resolved(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    assert notifying.sent == []
    tick(notifying)
    assert notifying.sent == [(ONE, (1, 2))]
    for _ in range(23):
        tick(notifying, hours=1)
    assert notifying.sent == [(ONE, (1, 2))]
    tick(notifying, hours=1)
    assert notifying.sent == [(ONE, (1, 2))] * 2
    notifying.c4.set_faults()
    tick(notifying, hours=1)
    tick(notifying, hours=1)
    tick(notifying, hours=30)
    assert notifying.sent[2:] == [(WELL, (1, 2))]


def test_emergency_is_repeated_although_the_clock_was_ahead_for_a_tick(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    tick(notifying)
    tick(notifying, days=40)
    notifying.clock.move(days=-40)
    for _ in range(26):
        tick(notifying, hours=1)
    assert notifying.sent == [(ONE, (1, 2))] * 4


def test_new_emergency_is_notified_at_once_together_with_the_others(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    tick(notifying)
    break_uploads(notifying, OTHER)
    tick(notifying, hours=1)
    assert notifying.sent == [(ONE, (1, 2)), (TWO, (1, 2))]
    message = notifying.notifier.sent[1][0]
    assert f"sslctl view {NAME}" in message.body
    assert OTHER in message.body


def test_tick_retries_an_undelivered_notice_and_commands_warn_of_it(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    notifying.notifier.deaf = {2}
    failed = notifying.clock()
    assert tick(notifying)["notice"] == {
        "at": "2026-11-23T04:00:00Z",
        "troubled": 1,
        "missed": [2],
        "missed_since": "2026-11-23T04:00:00Z",
        "why": "URL 2 (mailto) could not be reached, or refused the message",
    }
    tick(notifying, hours=1)
    line = "The last notice has not been delivered since 2026-11-23 12:00 SGT: URL 2 (mailto) could not be reached, or refused the message"
    assert line in notifying.sslctl("list").stderr
    assert notifying.sslctl("list", "--json").json["notice"]["missed"] == [2]
    quiet = notifying.sslctl("daemon-tick", "-q")
    assert line in quiet.stdout
    notifying.notifier.deaf = set()
    assert tick(notifying, hours=1)["notice"]["missed_since"] is None
    assert notifying.sent == [(ONE, (1, 2)), (ONE, (2,)), (ONE, (2,)), (ONE, (2,))]
    assert notifying.sslctl("list").stderr == ""
    tick(notifying, hours=1)
    assert len(notifying.sent) == 4
    # The next daily notice counts from the first one, even if a URL did not receive it.
    notifying.clock.at = failed + timedelta(hours=24)
    tick(notifying)
    assert notifying.sent[-1] == (ONE, (1, 2))


def titles(notifying: NotifyingCdn) -> list[str]:
    return notifying.titles(MessageKind.TROUBLE) + notifying.titles(MessageKind.RECOVERED)


def stop_ca(cdn: Cdn) -> None:
    cdn.issuer.refusals += [IssueError(Code.CA_UNAVAILABLE, "answered 503")] * 500


def stop_dns(cdn: Cdn) -> None:
    cdn.zone.spoil(NAME, Trouble.SERVFAIL)


def leave(cdn: Cdn) -> None:
    cdn.clear_dns(NAME)
    cdn.point(NAME, "elsewhere.example.org")


@pytest.mark.parametrize(
    ("trouble", "code", "owner"),
    [
        (stop_ca, "CA_UNAVAILABLE", "ca"),
        (stop_dns, "DNS_UNANSWERED", "customer"),
        (leave, "CNAME_ELSEWHERE", "customer"),
    ],
)
def test_renewal_that_fails_is_notified_with_seven_three_and_one_days_left(
    notifying: NotifyingCdn, trouble: Callable[[Cdn], None], code: str, owner: str
) -> None:
    # A domain that never had a certificate is no reason for a message.
    notifying.sslctl("add", OTHER, "--no-wait")
    notifying.add_domain(NAME)
    assert notifying.sslctl("add", NAME).exit_code == 0
    tick(notifying, days=82)
    trouble(notifying)
    for _ in range(8 * 24 - 1):
        tick(notifying, hours=1)
    assert titles(notifying) == [f"1 domain expires in {left}" for left in ("7 days", "3 days", "1 day")]
    body = notifying.notifier.sent[0][0].body
    assert f"Expires soon, {code}: 1 domain; {owner} must act" in body
    assert f"{NAME} (7 days left)" in body
    assert OTHER not in body


def test_text_certificate_is_notified_with_thirty_seven_and_one_days_left(notifying: NotifyingCdn) -> None:
    notifying.add_domain(NAME)
    pair = notifying.paste(notifying.text_pair(NAME, days=40))
    assert notifying.sslctl("add", NAME, *pair).exit_code == 0
    for _ in range(39):
        tick(notifying, days=1)
    assert titles(notifying) == [
        "1 domain expires in 30 days",
        "1 domain expires in 7 days",
        "1 domain expires in 1 day",
    ]


def test_text_certificate_in_place_of_ours_is_notified_with_thirty_seven_and_one_days_left(
    notifying: NotifyingCdn,
) -> None:
    notifying.add_domain(NAME)
    assert notifying.sslctl("add", NAME).exit_code == 0
    control_plane = notifying.app().control_plane
    assert control_plane.remove(NAME)
    control_plane.upload(NAME, notifying.text_pair(NAME, days=40), Source.TEXT)
    for _ in range(39):
        tick(notifying, days=1)
    assert titles(notifying) == [
        "1 domain expires in 30 days",
        "1 domain expires in 7 days",
        "1 domain expires in 1 day",
    ]


def test_trouble_that_begins_late_is_notified_at_once_and_its_end_once(notifying: NotifyingCdn) -> None:
    notifying.add_domain(NAME)
    assert notifying.sslctl("add", NAME).exit_code == 0
    notifying.clock.move(days=88, hours=12)
    stop_ca(notifying)
    tick(notifying)
    assert titles(notifying) == ["1 domain expires in 1 day"]
    notifying.issuer.refusals.clear()
    tick(notifying, hours=1)
    tick(notifying, hours=1)
    assert titles(notifying) == ["1 domain expires in 1 day", "all domains have recovered"]


def test_renewal_that_succeeds_is_not_notified(notifying: NotifyingCdn) -> None:
    notifying.add_domain(NAME)
    assert notifying.sslctl("add", NAME).exit_code == 0
    for _ in range(200):
        tick(notifying, days=1)
    assert titles(notifying) == []


def test_bad_answers_that_are_not_believed_are_notified_at_once_and_daily(notifying: NotifyingCdn) -> None:
    names = [f"d{number}.example.com" for number in range(12)]
    for name in names:
        notifying.add_domain(name)
    assert notifying.sslctl("add", *names).exit_code == 0
    tick(notifying, days=84)
    for name in names:
        notifying.clear_dns(name)
    notifying.clock.move(days=84)
    for _ in range(26):
        tick(notifying, hours=1)
    withheld = "NXDOMAIN about 12 domains, not believed"
    assert titles(notifying) == [
        f"{withheld}, 12 domains expire, the first in {left} days" for left in (5, 4)
    ]
    assert "sslctl recheck --accept NXDOMAIN" in notifying.notifier.sent[0][0].body


def test_tick_retries_an_undelivered_recovery_notice(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    tick(notifying)
    notifying.c4.set_faults()
    notifying.notifier.deaf = {1}
    tick(notifying, hours=1)
    notifying.notifier.deaf = set()
    tick(notifying, hours=1)
    tick(notifying, hours=1)
    assert notifying.sent[1:] == [(WELL, (1, 2)), (WELL, (1,))]


def test_expired_domain_is_notified_and_failure_is_not(notifying: NotifyingCdn) -> None:
    for name in (NAME, OTHER):
        notifying.add_domain(name)
    notifying.sslctl("add", NAME)
    notifying.point(NAME, "elsewhere.test")
    notifying.clear_dns(OTHER)
    notifying.sslctl("add", OTHER)
    tick(notifying, days=80)
    assert titles(notifying) == []
    tick(notifying, days=9)
    assert titles(notifying) == ["1 domain expires in 1 day"]
    tick(notifying, days=2)
    assert titles(notifying)[1:] == ["1 domain in Expired"]


def test_notified_statuses_follow_the_configuration(
    notifying: NotifyingCdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Failure")
    break_uploads(notifying, NAME)
    notifying.add_domain(OTHER, points_at="elsewhere.test")
    notifying.sslctl("add", OTHER)
    tick(notifying)
    assert notifying.sent == [("sslctl: 1 domain in Failure", (1, 2))]


def test_dry_run_sends_no_notice(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    notifying.sslctl("daemon-tick", "--dry-run")
    assert notifying.sent == []


def test_undelivered_notice_is_dropped_after_notification_was_switched_off(notifying: NotifyingCdn) -> None:
    break_uploads(notifying, NAME)
    notifying.notifier.deaf = {1, 2}
    tick(notifying)
    plain = Cdn.app(notifying)
    assert plain.notifier is None
    assert Cdn.app(notifying).store.notices().get(NoticeKey(), Notice()).missed == (1, 2)
    notifying.app = lambda: Cdn.app(notifying)  # type: ignore[method-assign]
    assert tick(notifying)["notice"] is None
    assert notifying.sslctl("list").stderr == ""


def test_tick_sends_notice_and_ping_over_http_without_secrets(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4 echoes the token in its error, and the notice must not contain it."""
    echo = {
        "type": "about:blank",
        "title": "no",
        "status": 422,
        "code": "bad_pair",
        "detail": "token s3cret-token",
    }
    monkeypatch.setenv("SSLCTL_NOTIFY_URLS", webhook.url())
    monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{webhook.address}/ping/{SECRET}")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422, body=json.dumps(echo)))
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    result = cdn.sslctl("daemon-tick", "--json")
    assert result.exit_code == 7
    assert result.json["pinged"] is True
    assert webhook.pings == [f"/ping/{SECRET}"]
    (body,) = webhook.bodies
    assert body.startswith(f"{ONE}\nEmergency, C4_")
    assert f"sslctl view {NAME}" in body
    for secret in ("s3cret-token", "PRIVATE KEY", "BEGIN", SECRET):
        assert secret not in body
    assert SECRET not in result.stdout + result.stderr
    assert webhook.messages[0]["type"] == "failure"


def test_tick_sends_no_ping_when_no_notice_was_delivered(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Webhook() as pinged:
        monkeypatch.setenv("SSLCTL_NOTIFY_URLS", webhook.url())
        monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{pinged.address}/{SECRET}")
        break_uploads(cdn, NAME)
        webhook.status = 500
        result = cdn.sslctl("daemon-tick")
        assert result.exit_code == 7
        assert "URL 1 (json) answered 500" in result.stdout
        assert SECRET not in result.stdout + result.stderr
        assert pinged.pings == []
        webhook.status = 200
        assert tick(cdn)["pinged"] is True
        pinged.status = 500
        result = cdn.sslctl("daemon-tick", "-q")
        assert "The ping of notify.ping_url failed: it answered 500" in result.stdout
        assert SECRET not in result.stdout + result.stderr


def test_tick_sends_no_ping_when_the_database_is_unusable(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{webhook.address}/")
    assert cdn.sslctl("daemon-tick", "--json").json["pinged"] is True
    (cdn.folder / "state" / "sslctl.db").write_text("no database")
    assert cdn.sslctl("daemon-tick").exit_code == 8
    assert len(webhook.pings) == 1


def test_notify_command_tests_every_url_and_reports_which_failed(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cdn.sslctl("notify")
    assert result.exit_code == 8
    assert "notify.urls and notify.urls_file are not set" in result.stderr
    file = cdn.folder / "urls"
    file.write_text(f"{webhook.url()}\nnosuch://{SECRET}\n")
    file.chmod(0o600)
    monkeypatch.setenv("SSLCTL_NOTIFY_URLS_FILE", str(file))
    result = cdn.sslctl("notify")
    assert result.exit_code == 75
    assert result.stdout == (
        "URL 1 (json):    delivered\nURL 2 (nosuch):  not delivered (is not a URL that apprise supports)\n"
    )
    assert webhook.messages[0]["type"] == "info"
    assert SECRET not in result.stdout + result.stderr
    file.write_text(webhook.url())
    result = cdn.sslctl("notify", "--json")
    assert result.exit_code == 0
    assert result.json["urls"] == [
        {"position": 1, "scheme": "json", "delivered": True, "why": None, "route": None}
    ]


@pytest.mark.parametrize("how", ["text", "markdown", "html"])
def test_words_of_a_server_are_no_mention_in_any_format(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_URLS", f"{webhook.url()}?format={how}")
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Failure")
    answer = "<!channel> @everyone [x](https://evil.test) <b>"
    cdn.issuer.refusals.append(IssueError(Code.CHALLENGE_FAILED, answer))
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 4
    tick(cdn)
    (body,) = webhook.bodies
    assert "everyone" in body
    assert not [each for each in ("@everyone", "<!", "<b>", "](", "&lt;b&gt;") if each in body]


def test_message_kinds_are_known_to_apprise() -> None:
    assert {kind.value for kind in MessageKind} <= {kind.value for kind in apprise.NotifyType}
