"""The domains that a tick leaves not well, as cron mails them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.cli.output.unwell import write_unwell
from sslctl.rules.model import Certificate, Domain, Finding, Source, Unconfirmed
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.rules.remarks import Remarks
from sslctl.rules.snoozing import make_snooze
from tests.support.fakes import START
from tests.support.store_cases import leaf

CODES = [code for code, reason in REASONS.items() if reason.status in (Status.FAILURE, Status.PENDING)][:12]


def domain(number: int, code: Code, days: float | None) -> Domain:
    """Make a domain whose certificate has `days` left; None makes one that never had a certificate."""
    serving = (
        None
        if days is None
        else Certificate(1, 1, 1, Source.C4, leaf(START - timedelta(days=90), days=90 + days), START)
    )
    finding = Finding(code, "elsewhere.example.net", "shop.example.net", START, START)
    name = f"d{number:03}.example.com"
    return Domain(1, name, (), Source.C4, START, finding=finding, wanted=serving, serving=serving)


def lines(capsys: pytest.CaptureFixture[str], *domains: Domain) -> list[str]:
    write_unwell(iter(domains), START)
    return capsys.readouterr().out.splitlines()


def test_mail_about_366_domains_has_about_40_lines_and_begins_with_what_expires_soonest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    domains = [domain(number, CODES[number % 12], None) for number in range(300)]
    domains += [domain(300 + number, CODES[number % 12], 6 - number / 11) for number in range(66)]
    found = lines(capsys, *domains)
    # The head of the tick and what concerns many domains come on top of these.
    assert len(found) <= 38
    assert "d365.example.com" in " ".join(found[:3])
    for number in range(356, 366):
        assert f"d{number}.example.com (" in " ".join(found)
    assert "Other reasons, " in "\n".join(found)
    assert (
        f"{sum(1 for each in domains if each.finding and each.finding.code is CODES[5])} domains"
        in "\n".join(found)
    )


def test_few_domains_are_written_one_by_one_and_what_expires_soonest_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = lines(
        capsys, domain(1, Code.NXDOMAIN, None), domain(2, Code.NXDOMAIN, 5), domain(3, Code.CAA_FORBIDS, 2)
    )
    heads = [line.split(":")[0] for line in found if not line.startswith(" ")]
    assert heads == ["d003.example.com", "d002.example.com", "d001.example.com"]


def test_domains_that_could_not_be_confirmed_are_counted_with_the_command_that_lists_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    doubt = Unconfirmed(Code.C4_UNANSWERED, "answered 503", START, START)
    domains = [
        Domain(
            1, each.name, (), Source.C4, START, wanted=each.wanted, serving=each.serving, unconfirmed=doubt
        )
        for each in (domain(number, Code.NXDOMAIN, 5) for number in range(12))
    ]
    found = lines(capsys, *domains)
    assert found[0] == "Success, not confirmed, C4_UNANSWERED: 12 domains"
    assert "and 2 more: sslctl list --reason C4_UNANSWERED --sort urgency" in " ".join("".join(found).split())


def test_snoozed_and_abandoned_domains_are_only_counted(capsys: pytest.CaptureFixture[str]) -> None:
    snoozed = domain(1, Code.NXDOMAIN, 30)
    snooze = make_snooze(snoozed, START + timedelta(days=5), START)
    snoozed = replace(snoozed, remarks=Remarks(snooze=snooze))
    abandoned = replace(domain(2, Code.NXDOMAIN, None), created_at=START - timedelta(days=30))
    few = [domain(3 + number, Code.NXDOMAIN, 20) for number in range(10)]
    found = lines(capsys, *few, snoozed, abandoned)
    assert [line.split(":")[0] for line in found if not line.startswith(" ")] == [
        *(each.name for each in few),
        "Left out",
    ]
    assert found[-1] == "Left out: 1 snoozed, 1 abandoned."
    found = lines(capsys, *few, domain(13, Code.NXDOMAIN, 20), snoozed, abandoned)
    assert found[0] == "Failure NXDOMAIN: 11 domains"
    assert found[-1] == "Left out: 1 snoozed, 1 abandoned."
    assert lines(capsys, snoozed) == ["Left out: 1 snoozed."]
