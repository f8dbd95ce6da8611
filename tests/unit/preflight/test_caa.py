"""Which CAA records let the CA issue by HTTP-01 (RFC 8659, RFC 8657)."""

from __future__ import annotations

import dns.rdata
import pytest
from dns.rdataclass import IN
from dns.rdatatype import CAA as CAA_TYPE
from dns.rdtypes.ANY.CAA import CAA

from sslctl.preflight.caa import permit

IDENTITIES = ("letsencrypt.org", "ca.example")


def caa(tag: str, value: str, flags: int = 0) -> CAA:
    wire = bytes([flags, len(tag)]) + tag.encode() + value.encode("latin-1")
    record = dns.rdata.from_wire(IN, CAA_TYPE, wire, 0, len(wire))
    assert isinstance(record, CAA)
    return record


@pytest.mark.parametrize(
    "value",
    [
        "letsencrypt.org",
        "LetsEncrypt.ORG",
        "ca.example",
        " \tletsencrypt.org ",
        "letsencrypt.org;",
        "letsencrypt.org ; ",
        "letsencrypt.org; policy=ev",
        "letsencrypt.org; validationmethods=http-01",
        "letsencrypt.org;validationmethods = dns-01,http-01",
        "letsencrypt.org; accounturi=https://acme.example/acct/1; validationmethods=http-01,dns-01",
        "letsencrypt.org; empty=",
    ],
)
def test_an_issue_that_names_the_ca_permits(value: str) -> None:
    assert permit([caa("issue", value)], IDENTITIES)
    assert permit([caa("ISSUE", value)], IDENTITIES)
    assert permit([caa("issue", "other.example"), caa("issue", value)], IDENTITIES)


@pytest.mark.parametrize(
    "value",
    [
        ";",
        "",
        " ; ",
        "other.example",
        "letsencrypt.org.other.example",
        "xletsencrypt.org",
        "letsencrypt.org.",
        "letsencrypt.org; validationmethods=dns-01",
        "letsencrypt.org; validationmethods=",
        "letsencrypt.org; validationmethods=http-01; validationmethods=dns-01",
        "letsencrypt.org; validationmethods=xhttp-01",
        "letsencrypt.org; no value",
        "letsencrypt.org;;",
        "letsencrypt.org letsencrypt.org",
        "lets\x00encrypt.org",
        " " * 60_000 + "letsencrypt.org x",
        "a" + "-" * 60_000,
        "letsencrypt.org; a" + " " * 60_000 + "b",
    ],
)
def test_an_issue_that_names_nobody_or_another_or_another_method_forbids(value: str) -> None:
    assert not permit([caa("issue", value)], IDENTITIES)


def test_a_set_without_an_issue_property_restricts_nobody() -> None:
    assert permit([caa("iodef", "mailto:security@example.com"), caa("issuewild", ";")], IDENTITIES)
    assert permit([caa("issuemail", ";", flags=128)], IDENTITIES)


def test_issuewild_does_not_stand_in_for_issue() -> None:
    assert not permit([caa("issuewild", "letsencrypt.org"), caa("issue", ";")], IDENTITIES)


def test_an_unknown_property_forbids_only_when_it_is_critical() -> None:
    allowed = caa("issue", "letsencrypt.org")
    assert permit([allowed, caa("tbs", "unknown")], IDENTITIES)
    assert permit([allowed, caa("tbs", "unknown", flags=127)], IDENTITIES)
    assert not permit([allowed, caa("tbs", "unknown", flags=128)], IDENTITIES)


def test_a_value_that_is_no_text_at_all_names_nobody() -> None:
    assert not permit([caa("issue", "\xff\xfe")], IDENTITIES)
