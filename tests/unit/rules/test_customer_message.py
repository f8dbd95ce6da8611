"""Messages to customers: for whom, in what order, with which records and deadline, and what must not be in them."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from sslctl.rules.customer_message import (
    CustomerMessage,
    LeftOut,
    explain_left_out,
    find_needs,
    write_messages,
)
from sslctl.rules.customer_texts import Language
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Caution, Domain, Finding, Source, Suspicion, Unconfirmed
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.remarks import Remarks
from sslctl.rules.singapore import next_midnight
from tests.unit.rules.builders import NOW, certificate, domain, finding, serving

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
SHOP = "shop.example.com"
TARGET = f"{SHOP}.cdn.example.net"
CNAME = DnsRecord("CNAME", SHOP, ("old.example.org",), (TARGET,))
MIDNIGHT = next_midnight(NOW)
OF_CUSTOMER = [code for code, reason in REASONS.items() if reason.owner is Owner.CUSTOMER]
EN, ZH = Language.EN, Language.ZH


def found(code: Code, *records: DnsRecord, retry_at: datetime | None = MIDNIGHT) -> Finding:
    return replace(finding(code), retry_at=retry_at, records=records)


def served(known: Domain, left: timedelta) -> Domain:
    held = certificate(left=left)
    return replace(known, wanted=held, serving=held)


def messages(*domains: Domain, language: Language = EN, now: datetime = NOW) -> list[CustomerMessage]:
    return write_messages(chain.from_iterable(find_needs(each, now) for each in domains), language, now)


def message(*domains: Domain, language: Language = EN, now: datetime = NOW) -> CustomerMessage:
    (only,) = messages(*domains, language=language, now=now)
    return only


ELSEWHERE = domain(name=SHOP, finding=found(Code.CNAME_ELSEWHERE, CNAME), **serving(left=5 * DAY))
GOLDEN_EN = """\
Hello,

We need your help with the HTTPS certificate of shop.example.com.

DNS points to another destination than our CDN, so we cannot issue or renew the certificate. Please change the DNS records as shown below.

Type: CNAME
Name: shop.example.com
Now: “old.example.org”
Value: shop.example.com.cdn.example.net

At present visitors do not reach our CDN, so they do not see our certificate. Please do this before 2026-11-28 00:00 SGT (2026-11-27 16:00 UTC): that is our last automatic check before the certificate expires on 2026-11-28 12:00 SGT (2026-11-28 04:00 UTC).

You do not need to answer. We check again automatically by 2026-11-24 00:00 SGT (2026-11-23 16:00 UTC) at the latest, and every day after that; everything else then happens by itself.

Thank you."""
GOLDEN_ZH = """\
您好！

shop.example.com 的 HTTPS 证书需要您协助处理。

域名的 DNS 指向了其他地址，而不是我们的 CDN，因此我们无法签发或续期证书。请按以下内容修改 DNS 记录。

类型：CNAME
名称：shop.example.com
当前值：“old.example.org”
记录值：shop.example.com.cdn.example.net

目前，访问者无法到达我们的 CDN，因此看到的不是我们的证书。请在新加坡时间 2026-11-28 00:00（UTC 2026-11-27 16:00）之前完成：这是证书到期前的最后一次自动检查，证书将于新加坡时间 2026-11-28 12:00（UTC 2026-11-28 04:00）到期。

您无需回复。我们最迟会在新加坡时间 2026-11-24 00:00（UTC 2026-11-23 16:00）自动重新检查，之后每天检查一次，其余步骤都会自动完成。

谢谢！"""


def test_message_has_problem_record_deadline_and_next_check_in_english() -> None:
    written = message(ELSEWHERE)
    assert written.subject == "Action needed for the HTTPS certificate of shop.example.com"
    assert written.body == GOLDEN_EN
    assert (written.customer, written.domains) == ("", (SHOP,))


def test_message_has_problem_record_deadline_and_next_check_in_chinese() -> None:
    written = message(ELSEWHERE, language=ZH)
    assert written.subject == "shop.example.com 的 HTTPS 证书需要您处理"
    assert written.body == GOLDEN_ZH


ACME = Remarks(customer="acme")
FEW = [
    domain(name="new.example", finding=found(Code.CNAME_MISSING, CNAME), remarks=ACME),
    domain(
        name="later.example",
        finding=found(Code.CNAME_ELSEWHERE, CNAME),
        remarks=ACME,
        **serving(left=6 * DAY),
    ),
    domain(
        name="text.example", source=Source.TEXT, remarks=ACME, **serving(left=9 * DAY, source=Source.TEXT)
    ),
    domain(
        name="soon.example",
        finding=found(Code.CNAME_ELSEWHERE, CNAME),
        c4_customer="acme",
        **serving(left=4 * DAY),
    ),
]


def test_domains_of_one_customer_are_in_one_message_in_sections_by_problem_most_urgent_first() -> None:
    written = message(*FEW)
    assert (written.customer, written.subject) == (
        "acme",
        "Action needed for the HTTPS certificates of 4 domains",
    )
    assert written.domains == ("soon.example", "later.example", "text.example", "new.example")
    heads = [line for line in written.body.splitlines() if line.startswith(("* ", "1.", "2.", "3.", "4."))]
    assert [line[:14].rstrip() for line in heads] == [
        "1. DNS points",
        "* soon.example",
        "* later.exampl",
        "2. The certifi",
        "* text.example",
        "3. DNS has no",
        "* new.example",
    ]


def test_customers_and_domains_no_customer_get_one_message_each_most_urgent_first() -> None:
    others = [
        domain(
            name=name,
            finding=found(Code.NXDOMAIN, CNAME),
            created_at=NOW - age,
            remarks=Remarks(customer=who),
        )
        for name, age, who in (
            ("young.example", DAY, ""),
            ("old.example", 2 * DAY, ""),
            ("bolt.example", 3 * DAY, "bolt"),
        )
    ]
    assert [(each.customer, each.domains) for each in messages(*others, ELSEWHERE)] == [
        ("", (SHOP,)),
        ("bolt", ("bolt.example",)),
        ("", ("old.example",)),
        ("", ("young.example",)),
    ]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("code", OF_CUSTOMER)
@pytest.mark.parametrize("left", [None, 5 * DAY, HOUR / 2, -DAY], ids=str)
def test_no_message_has_an_open_placeholder(code: Code, language: Language, left: timedelta | None) -> None:
    held = {} if left is None else serving(left=left)
    status = REASONS[code].status
    about = (
        {"caution": Caution(code, "this", "that", NOW - DAY, (CNAME,))}
        if status is Status.SUCCESS
        else {"finding": replace(found(code, CNAME), tries=9)}
    )
    written = message(domain(name=SHOP, **held, **about), language=language)
    assert not {"{", "}"} & set(written.subject + written.body)
    assert "None" not in written.body
    assert code not in written.body


@pytest.mark.parametrize(
    ("expiry", "deadline"),
    [
        (MIDNIGHT + HOUR, MIDNIGHT),
        (MIDNIGHT + DAY, MIDNIGHT),
        (MIDNIGHT + DAY + HOUR - SECOND, MIDNIGHT),
        (MIDNIGHT + DAY + HOUR, MIDNIGHT + DAY),
    ],
)
def test_deadline_is_the_last_daily_check_that_is_an_hour_before_the_expiry(
    expiry: datetime, deadline: datetime
) -> None:
    written = message(served(ELSEWHERE, expiry - NOW))
    assert f"before {deadline.astimezone(UTC):%Y-%m-%d %H:%M}" in written.body.replace("SGT (", "before ")


def test_customer_is_asked_to_answer_if_no_daily_check_comes_before_the_expiry() -> None:
    body = message(served(ELSEWHERE, MIDNIGHT + HOUR - SECOND - NOW)).body
    assert "as soon as possible, and tell us when it is done" in body
    assert "do not need to answer" not in body


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({}, "Our CDN has no certificate until this is done."),
        (
            serving(left=-DAY),
            "the certificate on our CDN expired on 2026-11-22 12:00 SGT (2026-11-22 04:00 UTC).",
        ),
    ],
)
def test_message_without_a_valid_certificate_has_no_date_to_wait_for(
    held: dict[str, object], sentence: str
) -> None:
    body = message(domain(name=SHOP, finding=found(Code.CNAME_ELSEWHERE, CNAME), **held)).body
    assert sentence in body
    assert "before" not in body


def test_expiring_certificate_of_the_customer_has_its_expiry_as_deadline_and_no_automatic_check() -> None:
    body = message(domain(name=SHOP, source=Source.TEXT, **serving(left=9 * DAY, source=Source.TEXT))).body
    assert "Please do this before 2026-12-02 12:00 SGT (2026-12-02 04:00 UTC)" in body
    assert "never send a private key by e-mail" in body
    assert "automatically by" not in body


def test_time_of_the_check_is_the_latest_and_is_left_out_if_it_is_over_or_unknown() -> None:
    other = replace(ELSEWHERE, name="b.example", finding=found(Code.CNAME_ELSEWHERE, retry_at=MIDNIGHT + DAY))
    together = [replace(each, remarks=ACME) for each in (ELSEWHERE, other)]
    assert "by 2026-11-25 00:00 SGT" in message(*together).body
    overdue = message(replace(ELSEWHERE, finding=found(Code.CNAME_ELSEWHERE, CNAME, retry_at=NOW)))
    assert "We check again automatically every day;" in overdue.body
    late = replace(
        ELSEWHERE, name="c.example", remarks=ACME, finding=found(Code.CNAME_ELSEWHERE, retry_at=NOW)
    )
    assert "We check again automatically every day;" in message(*together, late).body
    warned = domain(
        name=SHOP, caution=Caution(Code.CNAME_ELSEWHERE, "", "", NOW, (CNAME,)), **serving(left=60 * DAY)
    )
    assert "We check again automatically every day;" in message(warned).body


def test_check_after_a_step_that_did_not_answer_counts_and_not_that_of_the_finding() -> None:
    asked = Unconfirmed(Code.C4_UNANSWERED, "HTTP 503", NOW - HOUR, NOW + HOUR)
    body = message(replace(ELSEWHERE, unconfirmed=asked)).body
    assert "automatically by 2026-11-23 13:00 SGT" in body
    assert "503" not in body


@pytest.mark.parametrize(("lasts", "is_needed"), [(DAY - SECOND, False), (DAY, True)])
@pytest.mark.parametrize("kind", ["unconfirmed", "caution"])
def test_dns_that_does_not_answer_needs_the_customer_after_a_day(
    kind: str, lasts: timedelta, is_needed: bool
) -> None:
    asked: dict[str, object] = {
        "unconfirmed": Unconfirmed(Code.DNS_UNANSWERED, "SERVFAIL from 192.0.2.53", NOW - lasts, NOW + HOUR),
        "caution": Caution(Code.ADDRESS_UNANSWERED, "SERVFAIL from 192.0.2.53", "", NOW - lasts),
    }
    written = messages(domain(name=SHOP, **{kind: asked[kind]}, **serving(left=5 * DAY)))
    assert ["The name servers give no usable answer" in each.body for each in written] == [True] * is_needed
    assert not any("192.0.2.53" in each.body for each in written)


@pytest.mark.parametrize(("tries", "is_needed"), [(1, False), (3, False), (4, True)])
def test_dns_that_never_answered_needs_the_customer_after_some_tries(tries: int, is_needed: bool) -> None:
    unanswered = replace(found(Code.DNS_UNANSWERED), tries=tries)
    assert bool(find_needs(domain(finding=unanswered), NOW)) == is_needed


def test_reason_that_is_both_finding_and_warning_is_written_once() -> None:
    both = replace(ELSEWHERE, caution=Caution(Code.CNAME_ELSEWHERE, "", "", NOW, (CNAME,)))
    assert message(both).body == message(ELSEWHERE).body


def test_renewal_that_fails_is_the_reason_of_an_expired_domain() -> None:
    assert [need.code for need in find_needs(served(ELSEWHERE, -DAY), NOW)] == [Code.CNAME_ELSEWHERE]


def test_departed_customer_may_stay_or_answer() -> None:
    left = Caution(Code.CNAME_ELSEWHERE, "", "", NOW - 8 * DAY, (CNAME,))
    body = message(domain(name=SHOP, caution=left, **serving(left=60 * DAY))).body
    assert "If you left on purpose, please tell us" in body
    assert f"Value: {TARGET}" in body
    assert "do not need to answer" not in body


def test_records_are_set_deleted_extended_or_not_known() -> None:
    records = [
        DnsRecord("A", SHOP, ("192.0.2.9",), ()),
        DnsRecord("CNAME", SHOP, (), (TARGET,)),
        DnsRecord(
            "CAA",
            "example.com",
            ('0 issue "a.test"', '0 issue ";"'),
            ('0 issue "a.test"', '0 issue "ca.test"'),
        ),
        DnsRecord("A", "example.com", ("192.0.2.9",), None),
    ]
    body = message(domain(name=SHOP, finding=found(Code.CNAME_MISSING, *records))).body
    assert [part for part in body.split("\n\n") if part.startswith("Type")] == [
        f"Type: A\nName: {SHOP}\nNow: “192.0.2.9”\nValue: none; please delete the record",
        f"Type: CNAME\nName: {SHOP}\nValue: {TARGET}",
        """Type: CAA\nName: example.com\nNow: “0 issue "a.test"”\nNow: “0 issue ";"”
Value to add: 0 issue "ca.test"\nValue to remove: “0 issue ";"”""",
        "Type: A\nName: example.com\nNow: “192.0.2.9”\nValue: as in the instructions that you received from us",
    ]


def test_broken_dnssec_shows_the_ds_records_and_leaves_the_choice() -> None:
    record = DnsRecord("DS", "example.com", ("1 13 2 ABCD",), ())
    body = message(domain(name=SHOP, finding=found(Code.DNSSEC_BOGUS, record))).body
    assert "Type: DS\nName: example.com\nNow: “1 13 2 ABCD”\n\n" in body
    assert "delete" not in body


def test_lack_of_records_is_known_if_the_text_asks_for_them() -> None:
    def lacks(code: Code, *records: DnsRecord) -> bool:
        (need,) = find_needs(domain(finding=found(code, *records)), NOW)
        return need.lacks_records

    assert lacks(Code.CNAME_MISSING)
    assert lacks(Code.CNAME_MISSING, replace(CNAME, wanted=None))
    assert not lacks(Code.CNAME_MISSING, CNAME)
    assert not lacks(Code.DNSSEC_BOGUS)
    assert "DNS records: as in the instructions" in message(domain(finding=found(Code.CAA_FORBIDS))).body


def test_text_from_dns_is_quoted_without_markup_links_lines_and_control_characters() -> None:
    hostile = '0 iodef "https://evil.example/<b>[x](y)"\r\nSubject: @all \x1b[31m\u202e'
    record = DnsRecord("CAA", "a<b>.example.com", (hostile,), ('0 issue "https://evil.example"',))
    body = message(domain(name=SHOP, finding=found(Code.CAA_FORBIDS, record))).body
    assert not {"<", ">", "[", "]", "@", "\r", "\x1b", "\u202e"} & set(body)
    assert "://" not in body
    assert "\nSubject" not in body
    (current,) = [line for line in body.splitlines() if line.startswith("Now: ")]
    assert (current[5], current[-1]) == ("“", "”")


def test_international_name_is_shown_in_unicode_and_as_it_is_typed_in_dns() -> None:
    name = "xn--fsqu00a.example"
    known = domain(name=name, finding=found(Code.PORTS_NOT_ENABLED))
    assert message(known).subject.endswith("of 例子.example (xn--fsqu00a.example)")
    assert message(known, language=ZH).subject.startswith("例子.example（xn--fsqu00a.example）")


@pytest.mark.parametrize(
    ("changes", "code", "owner"),
    [
        ({"finding": found(Code.PORT_80_CLOSED)}, Code.PORT_80_CLOSED, Owner.CDN),
        ({"finding": found(Code.CA_PAUSED, retry_at=None)}, Code.CA_PAUSED, Owner.OPERATOR),
        ({"finding": found(Code.QUEUED)}, Code.QUEUED, Owner.NOBODY),
        ({"caution": Caution(Code.TARGET_CAA_FORBIDS, "", "", NOW)}, Code.TARGET_CAA_FORBIDS, Owner.CDN),
        ({"unconfirmed": Unconfirmed(Code.C4_UNANSWERED, "", NOW, NOW)}, Code.C4_UNANSWERED, Owner.C4),
        ({"suspicion": Suspicion(Code.NXDOMAIN, "", "", NOW, NOW, (CNAME,))}, Code.NXDOMAIN, Owner.CUSTOMER),
        ({}, None, None),
    ],
)
def test_domain_without_need_of_the_customer_names_who_must_act(
    changes: dict[str, object], code: Code | None, owner: Owner | None
) -> None:
    known = domain(**serving(), **changes)
    assert find_needs(known, NOW) == []
    left_out = explain_left_out(known, NOW)
    assert (left_out.name, left_out.code, left_out.owner) == (known.name, code, owner)
    assert bool(left_out.next_step) == (code is not None)


def test_suspicion_is_not_written_to_the_customer_and_is_said_not_to_be_believed() -> None:
    known = domain(**serving(), suspicion=Suspicion(Code.NXDOMAIN, "", "", NOW, NOW, (CNAME,)))
    assert explain_left_out(known, NOW) == LeftOut(
        "a.test",
        Status.SUCCESS,
        Code.NXDOMAIN,
        Owner.CUSTOMER,
        "This answer is not believed yet. The next ticks ask again.",
    )
