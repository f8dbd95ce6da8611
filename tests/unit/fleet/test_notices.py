"""Notices: one message grouped by reason, sent at once for a new problem and then repeated daily."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.fleet.notices import Recipients, choose_recipients, compose, group_troubles
from sslctl.notify import MessageKind
from sslctl.rules.model import Certificate, Domain, Finding, Notice, Source
from sslctl.rules.reasons import REASONS, Code, Status
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


def test_decide_ignores_a_partial_recovery_and_its_return() -> None:
    assert recipients(notice_of("a.test", "b.test"), "a.test") is Recipients.NONE
    assert recipients(notice_of("a.test", "b.test"), "a.test", "b.test") is Recipients.NONE


def test_decide_notifies_of_full_recovery_once() -> None:
    assert recipients(notice_of("a.test")) is Recipients.ALL
    assert recipients(notice_of()) is Recipients.NONE
    assert recipients(notice_of(hours=1000)) is Recipients.NONE
    assert recipients(Notice()) is Recipients.NONE


def test_decide_retries_undelivered_urls_unless_all_are_notified() -> None:
    assert recipients(notice_of("a.test", missed=(2,)), "a.test") is Recipients.MISSED
    assert recipients(notice_of(missed=(2,))) is Recipients.MISSED
    assert recipients(notice_of("a.test", missed=(2,)), "b.test") is Recipients.ALL


def test_survey_groups_domains_by_reason_with_the_worst_and_largest_group_first() -> None:
    domains = [
        domain("expired.test", Code.CNAME_MISSING, days=-1),
        domain("one.test", Code.C4_UNAUTHORIZED, "answered 401"),
        *(domain(f"{number:02}.test") for number in range(12)),
        domain("well.test", None),
    ]
    troubles, groups = group_troubles(domains, START)
    assert ("expired.test", Status.EXPIRED) in troubles
    assert len(troubles) == 14
    assert [(group.code, group.number, group.names[0]) for group in groups] == [
        (Code.C4_UPLOAD_FAILED, 12, "00.test"),
        (Code.C4_UNAUTHORIZED, 1, "one.test"),
        (Code.CERT_EXPIRED, 1, "expired.test"),
    ]
    message = compose(groups)
    assert message.kind is MessageKind.TROUBLE
    assert message.title == "sslctl: 13 domains in Emergency, 1 domain in Expired"
    assert message.body.split("\n\n")[:2] == [
        (
            "Emergency, C4_UPLOAD_FAILED: 12 domains; c4 must act\n"
            "00.test: The certificate is issued, but its upload to C4 failed: answered 503.\n"
            "The next tick uploads the same certificate again, without a new order.\n"
            "00.test, 01.test, 02.test, 03.test, 04.test, 05.test, 06.test, 07.test, 08.test, 09.test and 2 more\n"
            "sslctl view 00.test"
        ),
        (
            "Emergency, C4_UNAUTHORIZED: 1 domain; operator must act\n"
            "The certificate is issued, but C4 refused sslctl's token for the upload: answered 401.\n"
            "Put a valid token into the file that c4.token_file names.\n"
            "one.test\n"
            "sslctl view one.test"
        ),
    ]


def test_compose_names_the_reason_that_blocks_the_renewal_of_an_expired_domain() -> None:
    _, groups = group_troubles([domain("a.test", Code.CNAME_MISSING, days=-1)], START)
    first, *rest = compose(groups).body.splitlines()
    assert first == "Expired, CERT_EXPIRED (CNAME_MISSING): 1 domain; customer must act"
    assert rest[1] == "The customer must set the CNAME; an apex domain needs the CDN's addresses instead."


def test_compose_returns_a_bounded_and_printable_message() -> None:
    longest = ".".join(["x" * 61] * 4)
    codes = list(Code)
    domains = [
        domain(
            f"{number}.{longest}", codes[number % len(codes)], "\x1b[31mred\u202e\r\n" + "y" * 9000, days=-1
        )
        for number in range(2000)
    ]
    message = compose(group_troubles(domains, START)[1])
    assert len(message.body) < 60_000
    assert "more reasons: sslctl list --sort status" in message.body
    for line in message.body.splitlines():
        assert line == "" or line.isprintable()
        assert "\u202e" not in line


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
    body = compose(group_troubles(domains, START)[1]).body
    quoted = next(line for line in body.splitlines() if "could not validate" in line)
    assert not set(quoted) & set("@<>&*_~|`[]#!\\")
    # A person still reads what the server said.
    assert unicodedata.normalize("NFKC", found) in unicodedata.normalize("NFKC", quoted)


def test_no_sentence_of_the_reasons_needs_a_character_that_is_neutralised() -> None:
    sentences = {reason.explain("", "") for reason in REASONS.values()}
    assert sentences == set(map(without_markup, sentences))


def test_compose_returns_a_recovery_message_without_groups() -> None:
    message = compose([])
    assert message.kind is MessageKind.RECOVERED
    assert message.title == "sslctl: all domains have recovered"


def test_survey_excludes_domains_that_have_recovered() -> None:
    assert group_troubles([replace(domain("a.test", None))], START) == (frozenset(), [])
