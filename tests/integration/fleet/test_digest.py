"""New warnings are reported in one digest a day."""

from __future__ import annotations

import pytest

from sslctl.notify import MessageKind
from sslctl.rules.model import Source
from sslctl.rules.reasons import Owner
from tests.support.cdn import Cdn
from tests.support.notifying import NotifyingCdn

NAMES = [f"d{number}.example.com" for number in range(4)]


@pytest.fixture
def notifying(cdn: Cdn) -> NotifyingCdn:
    notifying = NotifyingCdn(cdn)
    for name in NAMES:
        notifying.add_domain(name)
    assert notifying.sslctl("add", *NAMES).exit_code == 0
    notifying.tick()
    return notifying


def digests(notifying: NotifyingCdn) -> list[str]:
    return notifying.titles(MessageKind.DIGEST)


def install_text(cdn: Cdn, *names: str) -> None:
    """Let the customers install certificates of their own on C4."""
    for name in names:
        control_plane = cdn.app().control_plane
        control_plane.remove(name)
        control_plane.upload(name, cdn.text_pair(name), Source.TEXT)


def notice_now(cdn: Cdn, *names: str) -> None:
    """Let sslctl see what C4 has for `names`, before the look of the day does."""
    cdn.sslctl("recheck", *names)
    for name in names:
        assert "OTHER_CERTIFICATE" in cdn.sslctl("view", name, "--json").stdout


def leave(cdn: Cdn, name: str) -> None:
    cdn.clear_dns(name)
    cdn.point(name, "elsewhere.example.org")


def test_new_warnings_are_reported_once_and_at_most_one_digest_is_sent_in_a_day(
    notifying: NotifyingCdn,
) -> None:
    install_text(notifying, NAMES[0])
    notifying.tick(days=1)
    assert digests(notifying) == ["1 new warning"]
    body = notifying.notifier.sent[0][0].body
    assert "New warning, OTHER_CERTIFICATE: 1 domain; " in body
    assert f"sslctl view {NAMES[0]}" in body
    install_text(notifying, NAMES[1], NAMES[2])
    notice_now(notifying, NAMES[1], NAMES[2])
    for _ in range(23):
        notifying.tick(hours=1)
    assert digests(notifying) == ["1 new warning"]
    for _ in range(48):
        notifying.tick(hours=1)
    assert digests(notifying) == ["1 new warning", "2 new warnings"]
    assert NAMES[0] not in notifying.notifier.sent[-1][0].body
    assert len(notifying.sent) == 2


def test_digest_is_sent_although_the_clock_was_ahead_at_the_last_one(notifying: NotifyingCdn) -> None:
    install_text(notifying, NAMES[0])
    notifying.tick(days=40)
    assert digests(notifying) == ["1 new warning"]
    notifying.clock.move(days=-40)
    install_text(notifying, NAMES[1])
    notice_now(notifying, NAMES[1])
    notifying.tick(hours=1)
    assert digests(notifying) == ["1 new warning", "1 new warning"]
    assert NAMES[1] in notifying.notifier.sent[-1][0].body


def test_no_digest_is_sent_without_a_new_warning(notifying: NotifyingCdn) -> None:
    for _ in range(10):
        notifying.tick(days=1)
    assert notifying.sent == []


def test_warning_that_becomes_another_one_is_new(notifying: NotifyingCdn) -> None:
    leave(notifying, NAMES[0])
    for _ in range(20):
        notifying.tick(days=1)
    bodies = [message.body for message, _ in notifying.notifier.sent]
    assert ["CNAME_ELSEWHERE" in body for body in bodies] == [True, False]
    assert ["DEPARTED" in body for body in bodies] == [False, True]


def test_warning_that_ended_is_new_when_it_begins_again(notifying: NotifyingCdn) -> None:
    leave(notifying, NAMES[0])
    for _ in range(8):
        notifying.tick(days=1)
    assert len(digests(notifying)) == 1
    notifying.clear_dns(NAMES[0])
    notifying.point(NAMES[0], f"{NAMES[0]}.cdn.test")
    for _ in range(3):
        notifying.tick(days=1)
    assert len(digests(notifying)) == 1
    leave(notifying, NAMES[0])
    for _ in range(8):
        notifying.tick(days=1)
    assert len(digests(notifying)) == 2


def test_url_that_missed_a_digest_gets_it_at_the_next_tick(notifying: NotifyingCdn) -> None:
    notifying.notifier.deaf = {2}
    install_text(notifying, NAMES[0])
    notifying.tick(days=1)
    assert "The last digest has not been delivered since " in notifying.sslctl("list").stderr
    install_text(notifying, NAMES[1])
    notice_now(notifying, NAMES[1])
    notifying.notifier.deaf = set()
    notifying.tick(hours=1)
    assert notifying.sent == [("sslctl: 1 new warning", (1, 2)), ("sslctl: 1 new warning", (2,))]
    assert NAMES[0] in notifying.notifier.sent[1][0].body
    assert notifying.sslctl("list").stderr == ""


def test_text_certificate_that_expires_soon_is_no_part_of_a_digest(notifying: NotifyingCdn) -> None:
    """The notices report it, with 30, 7 and 1 days left."""
    pair = notifying.paste(notifying.text_pair("text.example.com", days=31))
    notifying.add_domain("text.example.com")
    assert notifying.sslctl("add", "text.example.com", *pair).exit_code == 0
    for _ in range(28):
        notifying.tick(days=1)
    assert digests(notifying) == []
    assert notifying.titles() == ["1 domain expires in 30 days", "1 domain expires in 7 days"]


def test_digest_goes_to_the_routes(notifying: NotifyingCdn) -> None:
    route = notifying.add_route(Owner.CUSTOMER)
    leave(notifying, NAMES[0])
    install_text(notifying, NAMES[1])
    for _ in range(8):
        notifying.tick(days=1)
    heard = [message.body for message, _ in route.sent]
    assert [NAMES[0] in body for body in heard] == [True, *(False for _ in heard[1:])]
    assert all("CNAME_ELSEWHERE" not in message.body for message, _ in notifying.notifier.sent)


def test_many_doubtful_answers_are_no_part_of_a_digest(notifying: NotifyingCdn) -> None:
    more = [f"m{number}.example.com" for number in range(8)]
    for name in more:
        notifying.add_domain(name)
    assert notifying.sslctl("add", *more).exit_code == 0
    for name in more:
        leave(notifying, name)
    for _ in range(8):
        notifying.tick(days=1)
    assert digests(notifying) == []
    assert notifying.titles()[0] == "CNAME_ELSEWHERE about 8 domains, not believed"
