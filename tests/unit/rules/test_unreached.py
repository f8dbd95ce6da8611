"""Which visitors do not reach the CDN, so miss a certificate that is valid there."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.customer_message import Need, write_messages
from sslctl.rules.customer_texts import Language
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.rules.unreached import Unreached, find_unreached
from tests.unit.rules.builders import NOW, domain, serving

DAY = timedelta(days=1)
AWAY = (Code.CNAME_ELSEWHERE, Code.CNAME_MISSING, Code.NXDOMAIN, Code.DEPARTED)
SENTENCES = {
    Language.EN: {
        Unreached.ALL: "At present visitors do not",
        Unreached.SOME: "At present some visitors do not",
    },
    Language.ZH: {Unreached.ALL: "目前，访问者无法", Unreached.SOME: "目前，部分访问者无法"},
}


@pytest.mark.parametrize("code", AWAY)
def test_all_visitors_miss_the_certificate_of_a_domain_that_points_elsewhere(code: Code) -> None:
    assert find_unreached(domain(**serving(left=5 * DAY)), [code], NOW) is Unreached.ALL


def test_only_some_visitors_miss_it_because_of_ipv6_or_if_other_names_may_be_right() -> None:
    known = domain(**serving(left=5 * DAY))
    assert find_unreached(known, [Code.AAAA_ELSEWHERE], NOW) is Unreached.SOME
    others = domain(sans=("www.example.com",), **serving(left=5 * DAY))
    assert find_unreached(others, [Code.CNAME_ELSEWHERE], NOW) is Unreached.SOME
    assert find_unreached(known, [Code.AAAA_ELSEWHERE, Code.NXDOMAIN], NOW) is Unreached.ALL


def test_nobody_misses_a_certificate_that_is_not_there_or_has_expired() -> None:
    for known in (domain(), domain(**serving(left=-DAY))):
        assert find_unreached(known, AWAY, NOW) is None


def test_nothing_but_dns_that_points_elsewhere_keeps_visitors_away() -> None:
    known = domain(**serving(left=5 * DAY))
    others = set(Code) - {*AWAY, Code.AAAA_ELSEWHERE}
    assert find_unreached(known, others, NOW) is None


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("code", [code for code, reason in REASONS.items() if reason.owner is Owner.CUSTOMER])
@pytest.mark.parametrize("is_served", [False, True])
def test_message_to_the_customer_has_the_sentence_if_and_only_if_visitors_miss_the_certificate(
    language: Language, code: Code, *, is_served: bool
) -> None:
    record = DnsRecord("CNAME", "shop.example.com", ("old.example.org",), ("cdn.example.net",))
    held = serving(left=5 * DAY) if is_served else {}
    known = domain(**held)
    wanted = find_unreached(known, [code], NOW)
    (written,) = write_messages([Need(known, code, (record,), None)], language, NOW)
    found = [kind for kind, sentence in SENTENCES[language].items() if sentence in written.body]
    assert found == ([] if wanted is None else [wanted])
