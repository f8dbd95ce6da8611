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
def test_permit_is_true_when_issue_names_the_ca(value: str) -> None:
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
def test_permit_is_false_when_issue_names_another_ca_or_method_or_none(value: str) -> None:
    assert not permit([caa("issue", value)], IDENTITIES)


def test_permit_is_true_without_an_issue_property() -> None:
    assert permit([caa("iodef", "mailto:security@example.com"), caa("issuewild", ";")], IDENTITIES)
    assert permit([caa("issuemail", ";", flags=128)], IDENTITIES)


def test_permit_ignores_issuewild() -> None:
    assert not permit([caa("issuewild", "letsencrypt.org"), caa("issue", ";")], IDENTITIES)


def test_permit_is_false_for_an_unknown_property_only_if_it_is_critical() -> None:
    allowed = caa("issue", "letsencrypt.org")
    assert permit([allowed, caa("tbs", "unknown")], IDENTITIES)
    assert permit([allowed, caa("tbs", "unknown", flags=127)], IDENTITIES)
    assert not permit([allowed, caa("tbs", "unknown", flags=128)], IDENTITIES)


def test_permit_is_false_when_the_value_is_not_text() -> None:
    assert not permit([caa("issue", "\xff\xfe")], IDENTITIES)
