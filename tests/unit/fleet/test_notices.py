"""Notices: one message grouped by reason, sent at once for a new problem and then repeated daily."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.fleet.messages import LONGEST, compose_trouble
from sslctl.fleet.notices import Recipients, choose_recipients
from sslctl.fleet.troubles import EXPIRES_SOON, Group, Groups, Trouble, find_status_trouble
from sslctl.notify import MessageKind
from sslctl.rules.model import Certificate, Domain, Finding, Source
from sslctl.rules.notice import Notice
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.text import without_markup
from tests.support.fakes import START
from tests.support.store_cases import leaf

DAY = timedelta(days=1)
EMERGENCY = Status.EMERGENCY


def domain(
    name: str, code: Code | None = Code.C4_UPLOAD_FAILED, found: str = "answered 503", days: float = 9
) -> Domain:
    """Make a domain that holds a certificate which ends in `days`."""
    finding = None if code is None else Finding(code, found, "", START, START)
    wanted = Certificate(1, 1, 1, Source.C4, leaf(START - 90 * DAY, days=90 + days), START)
    serving = wanted if code is None or days <= 0 else None
    return Domain(1, name, (), Source.C4, START, finding=finding, wanted=wanted, serving=serving)


def groups_of(*domains: Domain) -> list[Group[Trouble]]:
    troubles = (find_status_trouble(each, START) for each in domains)
    return Groups(each for each in troubles if each is not None).in_order()


def notice_of(*names: str, hours: float = 0, missed: tuple[int, ...] = ()) -> Notice:
    """Return the notice sent `hours` ago of `names`."""
    return Notice(START - timedelta(hours=hours), frozenset((name, EMERGENCY) for name in names), missed)


def recipients(before: Notice, *names: str, status: Status = EMERGENCY) -> Recipients:
    troubles = frozenset((name, status) for name in names)
    return choose_recipients(before, troubles, troubles, DAY, START)


def test_decide_notifies_everybody_at_once_of_a_new_problem() -> None:
    assert recipients(Notice(), "a.test") is Recipients.ALL
    assert recipients(notice_of("a.test"), "a.test", "b.test") is Recipients.ALL
    assert recipients(notice_of("a.test"), "b.test") is Recipients.ALL


def test_decide_treats_a_worse_status_as_new() -> None:
    assert recipients(notice_of("a.test"), "a.test", status=Status.EXPIRED) is Recipients.ALL


def test_decide_repeats_the_same_notice_after_the_repeat_interval() -> None:
    assert recipients(notice_of("a.test", "b.test", hours=23), "a.test", "b.test") is Recipients.NONE
    assert recipients(notice_of("a.test", "b.test", hours=23.99), "a.test", "b.test") is Recipients.ALL
    assert recipients(notice_of("a.test", "b.test", hours=24), "a.test") is Recipients.ALL


def test_decide_repeats_a_notice_from_the_future_at_once() -> None:
    assert recipients(notice_of("a.test", hours=-0.1), "a.test") is Recipients.NONE
    assert recipients(notice_of("a.test", hours=-0.2), "a.test") is Recipients.ALL
    assert recipients(notice_of("a.test", hours=-960), "a.test") is Recipients.ALL


def test_decide_ignores_a_partial_recovery_and_its_return() -> None:
    assert recipients(notice_of("a.test", "b.test"), "a.test") is Recipients.NONE
    assert recipients(notice_of("a.test", "b.test"), "a.test", "b.test") is Recipients.NONE


def test_decide_notifies_everybody_of_what_is_reported_only_once() -> None:
    troubles = frozenset({("a.test", EMERGENCY)})
    found = choose_recipients(notice_of("a.test"), troubles, troubles, DAY, START, has_news=True)
    assert found is Recipients.ALL


def test_decide_notifies_of_full_recovery_once() -> None:
    assert recipients(notice_of("a.test")) is Recipients.ALL
    assert recipients(notice_of()) is Recipients.NONE
    assert recipients(notice_of(hours=1000)) is Recipients.NONE
    assert recipients(Notice()) is Recipients.NONE


def test_decide_retries_undelivered_urls_unless_all_are_notified() -> None:
    assert recipients(notice_of("a.test", missed=(2,)), "a.test") is Recipients.MISSED
    assert recipients(notice_of(missed=(2,))) is Recipients.MISSED
    assert recipients(notice_of("a.test", missed=(2,)), "b.test") is Recipients.ALL


def test_message_groups_by_owner_and_reason_and_names_the_most_urgent_first() -> None:
    groups = groups_of(
        *(domain(f"{number:02}.test") for number in range(12)),
        domain("one.test", Code.C4_UNAUTHORIZED, "answered 401"),
        domain("expired.test", Code.CNAME_MISSING, days=-1),
        domain("well.test", None),
    )
    message = compose_trouble(groups)
    assert message.kind is MessageKind.TROUBLE
    assert message.title == "sslctl: 13 domains in Emergency, 1 domain in Expired"
    assert message.body.split("\n\n") == [
        (
            "Emergency, C4_UPLOAD_FAILED: 12 domains; c4 must act\n"
            "00.test: The certificate is issued, but its upload to C4 failed: answered 503.\n"
            "A tick uploads the same certificate again, without a new order.\n"
            "00.test (dark), 01.test (dark), 02.test (dark), 03.test (dark), 04.test (dark), 05.test (dark),"
            " 06.test (dark), 07.test (dark), 08.test (dark), 09.test (dark) and 2 more\n"
            "sslctl view 00.test"
        ),
        (
            "Emergency, C4_UNAUTHORIZED: 1 domain; operator must act\n"
            "The certificate is issued, but C4 refused sslctl's token for the upload: answered 401.\n"
            "Put a valid token into the file that c4.token_file names.\n"
            "one.test (dark)\n"
            "sslctl view one.test"
        ),
        (
            "Expired, CERT_EXPIRED (CNAME_MISSING): 1 domain; customer must act\n"
            + message.body.split("\n\n")[2].splitlines()[1]
            + "\nThe customer must set the CNAME; an apex domain needs the CDN's addresses instead.\n"
            "expired.test (expired 1 day ago)\n"
            "sslctl view expired.test"
        ),
        (
            "All of them, the soonest expiry first: sslctl list --sort expires --status Emergency --status Expired"
        ),
    ]


def test_domains_that_expire_soon_come_before_many_that_never_had_a_certificate() -> None:
    never = [
        Domain(
            1,
            f"{number}.test",
            (),
            Source.C4,
            START,
            finding=Finding(Code.CNAME_MISSING, "", "", START, START),
        )
        for number in range(500)
    ]
    late = replace(
        domain("late.test", Code.CAA_FORBIDS, days=2), serving=domain("late.test", None, days=2).wanted
    )
    long_ago = domain("long-ago.test", Code.CNAME_MISSING, days=-40)
    body = compose_trouble(groups_of(*never, long_ago, late)).body
    assert [block.split(":")[0] for block in body.split("\n\n")] == [
        "Failure, CAA_FORBIDS", "Expired, CERT_EXPIRED (CNAME_MISSING)", "Failure, CNAME_MISSING",
        "All of them, the soonest expiry first",
    ]  # fmt: skip
    assert "late.test (2 days left)" in body


def test_groups_of_one_owner_are_together() -> None:
    urgent = domain("a.test", Code.CNAME_MISSING, days=-1)
    c4 = domain("b.test", Code.C4_UPLOAD_FAILED, days=2)
    customer = domain("c.test", Code.NXDOMAIN, days=-3)
    order = [group.first.name for group in groups_of(c4, customer, urgent)]
    assert order == ["b.test", "a.test", "c.test"]


def test_message_names_the_ten_most_urgent_of_two_thousand_domains_in_forty_reasons() -> None:
    codes = [code for code in Code if code is not Code.CERT_EXPIRED][:40]
    domains = [
        domain(
            f"{number}.{'x' * 20}.example.com",
            codes[number % 40],
            "\x1b[31mred\u202e\r\n" + "y" * 9000,
            days=-1 - number / 50,
        )
        for number in range(2000)
    ]
    message = compose_trouble(groups_of(*domains))
    assert len(message.title) + len(message.body) <= LONGEST
    assert "The most urgent:" in message.body
    for number in range(10):
        assert f"{number}.{'x' * 20}.example.com (expired " in message.body
    assert "All of them, the soonest expiry first: sslctl list --sort expires" in message.body
    for line in message.body.splitlines():
        assert line == "" or line.isprintable()
        assert "\u202e" not in line


@pytest.mark.parametrize("number", [1, 2, 30, 2000])
def test_message_with_the_longest_names_is_within_the_limit_of_chats(number: int) -> None:
    longest = ".".join(["x" * 61] * 4)
    codes = list(Code)
    domains = [
        domain(f"{each:04}.{longest}"[:253], codes[each % len(codes)], "y" * 9000, days=-1 - each / 5000)
        for each in range(number)
    ]
    message = compose_trouble(groups_of(*domains))
    assert len(message.title) + len(message.body) <= LONGEST
    assert f"0000.{longest}"[:253] in message.body
    assert "sslctl " in message.body


@pytest.mark.parametrize(
    "found",
    [
        "@everyone", "@here and @channel", "<!channel>", "<@U024BE7LH>", "<#C024BE7LR>", "<@&1234>", "@room",
        "[reset your password](https://evil.test)", "![x](https://evil.test/x.png)", "<https://evil.test|login>",
        "<b>x</b>", "&lt;b&gt;", "*bold* _it_ ~~no~~ ||spoiler|| `code`", "# heading", "\\@everyone",
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 2])
def test_compose_neutralises_mentions_and_markup_of_a_server(found: str, number: int) -> None:
    domains = [domain(f"{each}.test", Code.CHALLENGE_FAILED, found) for each in range(number)]
    body = compose_trouble(groups_of(*domains)).body
    quoted = next(line for line in body.splitlines() if "could not validate" in line)
    assert not set(quoted) & set("@<>&*_~|`[]#!\\")
    # A person still reads what the server said.
    assert unicodedata.normalize("NFKC", found) in unicodedata.normalize("NFKC", quoted)


def test_no_sentence_of_the_reasons_needs_a_character_that_is_neutralised() -> None:
    sentences = {reason.explain("", "") for reason in REASONS.values()}
    assert sentences == set(map(without_markup, sentences))


def test_compose_returns_a_recovery_message_without_groups() -> None:
    message = compose_trouble([])
    assert message.kind is MessageKind.RECOVERED
    assert message.title == "sslctl: all domains have recovered"


def test_domain_that_has_recovered_is_no_trouble() -> None:
    assert find_status_trouble(replace(domain("a.test", None)), START) is None


def test_message_of_lost_certificates_names_the_first_and_counts_the_rest() -> None:
    message = compose_trouble((), lost=[f"d{number}.test" for number in range(7)])
    assert message.title == "sslctl: C4 had lost the certificate of 7 domains"
    assert (
        "C4_LOST: C4 had lost the certificate of d0.test, d1.test, d2.test, d3.test, d4.test and 2 more;"
        in message.body
    )
    assert "`sslctl view d0.test`" in message.body


def test_command_of_a_message_lists_also_what_expires_last() -> None:
    troubles = [
        Trouble(
            f"d{days:02}.test", EXPIRES_SOON, "expires", Code.QUEUED, None, Owner.OPERATOR, "It waits.", "Look.",
            timedelta(days=days),
        )
        for days in range(1, 21)
    ]  # fmt: skip
    message = compose_trouble(Groups(troubles).in_order())
    assert message.title == "sslctl: 20 domains expire, the first in 1 day"
    assert message.body.endswith("sslctl list --sort expires --expiring-within 20d")
