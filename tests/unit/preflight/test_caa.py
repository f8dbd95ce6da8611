"""Which CAA records let the CA issue by HTTP-01. The CA's published code is the judge: letsencrypt/boulder, commit 2d00c8e27919.

Each row names the function of `va/caa.go` that decides, or the case of `va/caa_test.go` that it repeats.
"""

from __future__ import annotations

import dns.rdata
import pytest
from dns.rdataclass import IN
from dns.rdatatype import CAA as CAA_TYPE
from hypothesis import given
from hypothesis import strategies as st

from sslctl.preflight.caa import CaaIdentity, Property, find_refusal, permit, read_property

ACCOUNT = "https://acme-v02.api.letsencrypt.org/acme/acct/123"
OUR_ACCOUNT = f"accounturi={ACCOUNT}"
V1_ACCOUNT = "accounturi=https://acme-v01.api.letsencrypt.org/acme/reg/123"
OTHER_ACCOUNT = "accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/321"
LE = "letsencrypt.org"
IDENTITY = CaaIdentity((LE, "ca.example"), ACCOUNT)

Record = tuple[int, str, str]


def issue(value: str) -> list[Record]:
    return [(0, "issue", value)]


def refusal_of(records: list[Record], identity: CaaIdentity = IDENTITY) -> str | None:
    """Return the reason why `records` forbid; None if they allow."""
    refusal = find_refusal([Property(*record) for record in records], identity)
    return None if refusal is None else refusal.why


ALLOWED: list[tuple[str, list[Record]]] = [
    ("validateCAA: no records", []),
    ("test present.com", issue(LE)),
    ("checkCAARecords: another identity of the CA", issue("ca.example")),
    ("filterCAA: tags are lowered", [(0, "iSsUe", LE)]),
    ("validateCAA: one of two records is enough", [*issue("ca.com"), *issue(LE)]),
    ("test multi-crit-present.com", [(1, "issue", "ca.com"), (1, "issue", LE)]),
    ("filterCAA: a critical issue is known", [(128, "issue", LE)]),
    ("filterCAA: iodef is known", [(128, "iodef", "mailto:security@example.com")]),
    ("filterCAA: issuemail is known", [(128, "issuemail", ";")]),
    ("filterCAA: issuevmc is known", [(128, "issuevmc", ";"), *issue(LE)]),
    ("filterCAA: known tags are lowered", [(129, "IssueVMC", "vmc.example")]),
    ("filterCAA: a critical issuewild is known", [(128, "issuewild", ";")]),
    ("test unknown-noncritical.com: the bits 0x7E are not critical", [(0x7E, "foo", "bar")]),
    ("filterCAA: an unknown tag that is not critical", [(0, "tbs", "x"), *issue(LE)]),
    ("filterCAA: a tag with a hyphen that is not critical", [(0, "x-y", "z"), *issue(LE)]),
    ("filterCAA: an empty tag that is not critical", [(0, "", "z"), *issue(LE)]),
    ("validateCAA: issuewild is for wildcards only", [(0, "issuewild", ";")]),
    ("test unsatisfiable-wildcard-override.com, no wildcard", [*issue(LE), (0, "issuewild", "ca.com")]),
    ("parseCAARecord: white space around the issuer", issue(f" \t{LE} ")),
    ("parseCAARecord: a semicolon without parameters", issue(f"{LE};")),
    ("parseCAARecord: a semicolon and white space", issue(f"{LE} ; \t")),
    ("test present-with-parameter.com", issue(f"  {LE}  ;foo=bar;baz=bar")),
    ("parseCAARecord: an empty value", issue(f"{LE}; policy=")),
    ("parseCAARecord: an empty tag has no disallowed character", issue(f"{LE}; =x")),
    ("parseCAARecord: SplitN keeps an equals sign in the value", issue(f"{LE}; a=b=c")),
    ("parseCAARecord: white space around tag and value", issue(f"{LE};\tvalidationmethods = http-01 ")),
    ("test present-http-only.com", issue(f"{LE}; validationmethods=http-01")),
    ("test present-http-or-dns.com", issue(f"{LE}; validationmethods=http-01,dns-01")),
    ("caaValidationMethodMatches: the last of the list", issue(f"{LE}; validationmethods=dns-01,http-01")),
    ("caaValidationMethodMatches: an unknown method", issue(f"{LE}; validationmethods=ca-x-1,http-01")),
    ("caaValidationMethodMatches: a bad label after it", issue(f"{LE}; validationmethods=http-01,a_b")),
    ("caaValidationMethodMatches: a comma after it", issue(f"{LE}; validationmethods=http-01,")),
    ("caaValidationMethodMatches: tags compare exactly", issue(f"{LE}; ValidationMethods=dns-01")),
    ("test present-correct-accounturi.com", issue(f"{LE}; {OUR_ACCOUNT}")),
    ("caaAccountURIMatches: the URL of ACMEv1", issue(f"{LE}; {V1_ACCOUNT}")),
    ("caaAccountURIMatches: tags compare exactly", issue(f"{LE}; AccountURI=https://other.example/1")),
    ("test present-http-only-correct-accounturi.com", issue(f"{LE}; {OUR_ACCOUNT}; validationmethods=http-01")),
    ("test present-multiple-accounturi.com", [*issue(f"{LE}; {OTHER_ACCOUNT}"), *issue(f"{LE}; {OUR_ACCOUNT}")]),
    ("validateCAA: a malformed record beside a good one", [*issue(f"{LE}; x"), *issue(LE)]),
]  # fmt: skip

UNNAMED = ""
MALFORMED = "its parameters are malformed"
CRITICAL = "the CA does not know this critical tag"
METHODS = "its validationmethods do not allow http-01"
ELSEWHERE = "its accounturi is not our account"
FORBIDDEN: list[tuple[str, list[Record], str]] = [
    ("test reserved.com", issue("ca.com"), UNNAMED),
    ("test mixedcase.com", [(0, "iSsUe", "ca.com")], UNNAMED),
    ("test critical.com", [(1, "issue", "ca.com")], UNNAMED),
    ("test unsatisfiable.com", issue(";"), UNNAMED),
    ("parseCAARecord: an empty value", issue(""), UNNAMED),
    ("parseCAARecord: only white space", issue(" ; "), UNNAMED),
    ("caaDomainMatches: case counts", issue("LetsEncrypt.ORG"), UNNAMED),
    ("caaDomainMatches: a trailing dot", issue(f"{LE}."), UNNAMED),
    ("caaDomainMatches: a name below", issue(f"acme.{LE}"), UNNAMED),
    ("caaDomainMatches: a longer name", issue(f"x{LE}"), UNNAMED),
    ("caaDomainMatches: another top-level domain", issue(f"{LE}.example"), UNNAMED),
    ("caaDomainMatches: two names", issue(f"{LE} {LE}"), UNNAMED),
    ("caaDomainMatches: quotes inside the value", issue(f'"{LE}"'), UNNAMED),
    ("caaDomainMatches: a zero byte", issue("lets\x00encrypt.org"), UNNAMED),
    ("caaDomainMatches: bytes that are not text", issue("\xff\xfe"), UNNAMED),
    ("validateCAA: issuewild allows no other name", [(0, "issuewild", LE), *issue(";")], UNNAMED),
    ("test unknown-critical.com", [(128, "foo", "bar")], CRITICAL),
    ("test unknown-critical2.com", [(1, "foo", "bar")], CRITICAL),
    ("filterCAA: an unknown critical tag beside a good issue", [*issue(LE), (128, "foo", "bar")], CRITICAL),
    ("filterCAA: every bit is set", [*issue(LE), (255, "foo", "bar")], CRITICAL),
    ("filterCAA: a critical tag with a hyphen", [*issue(LE), (128, "issue-x", "z")], CRITICAL),
    ("filterCAA: a critical empty tag", [*issue(LE), (1, "", "z")], CRITICAL),
    ("filterCAA: a critical tag with white space", [*issue(LE), (128, "issue ", LE)], CRITICAL),
    ("test present-with-invalid-tag.com", issue(f"{LE}; a_b=123"), MALFORMED),
    ("test present-with-invalid-value.com", issue(f"{LE}; ab=1 2 3"), MALFORMED),
    ("parseCAARecord: a hyphen in a parameter tag", issue(f"{LE}; account-uri=x"), MALFORMED),
    ("parseCAARecord: no equals sign", issue(f"{LE}; policy"), MALFORMED),
    ("parseCAARecord: two semicolons", issue(f"{LE};;"), MALFORMED),
    ("parseCAARecord: a semicolon at the end", issue(f"{LE}; a=b;"), MALFORMED),
    ("parseCAARecord: a value that is not ASCII", issue(f"{LE}; a=\xe9"), MALFORMED),
    ("parseCAARecord: a tag that is not ASCII", issue(f"{LE}; \xe9=a"), MALFORMED),
    ("parseCAARecord: a line break is not white space", issue(f"{LE}; a=b\n"), MALFORMED),
    ("test present-dns-only.com", issue(f"{LE}; validationmethods=dns-01"), METHODS),
    ("caaValidationMethodMatches: an empty list", issue(f"{LE}; validationmethods="), METHODS),
    ("caaValidationMethodMatches: methods compare exactly", issue(f"{LE}; validationmethods=HTTP-01"), METHODS),
    ("caaValidationMethodMatches: a longer method", issue(f"{LE}; validationmethods=xhttp-01"), METHODS),
    ("caaValidationMethodMatches: a bad label before it", issue(f"{LE}; validationmethods=a_b,http-01"), METHODS),
    ("caaValidationMethodMatches: a comma before it", issue(f"{LE}; validationmethods=,http-01"), METHODS),
    ("caaValidationMethodMatches: twice, both satisfied",
     issue(f"{LE}; validationmethods=http-01; validationmethods=http-01"), "it has validationmethods twice"),
    ("test present-incorrect-accounturi.com", issue(f"{LE}; {OTHER_ACCOUNT}"), ELSEWHERE),
    ("test present-http-only-incorrect-accounturi.com",
     issue(f"{LE}; {OTHER_ACCOUNT}; validationmethods=http-01"), ELSEWHERE),
    ("test present-dns-only-correct-accounturi.com",
     issue(f"{LE}; {OUR_ACCOUNT}; validationmethods=dns-01"), METHODS),
    ("caaAccountURIMatches: a URL that is longer", issue(f"{LE}; {OUR_ACCOUNT}4"), ELSEWHERE),
    ("caaAccountURIMatches: a trailing slash", issue(f"{LE}; {OUR_ACCOUNT}/"), ELSEWHERE),
    ("caaAccountURIMatches: only the number", issue(f"{LE}; accounturi=123"), ELSEWHERE),
    ("caaAccountURIMatches: an empty URL", issue(f"{LE}; accounturi="), ELSEWHERE),
    ("caaAccountURIMatches: not a URL of RFC 3986", issue(f"{LE}; accounturi=:%zz"), ELSEWHERE),
    ("caaAccountURIMatches: twice, both ours", issue(f"{LE}; {OUR_ACCOUNT}; {OUR_ACCOUNT}"), "it has accounturi twice"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "records"), ALLOWED, ids=[rule for rule, _ in ALLOWED])
def test_find_refusal_finds_none_when_boulder_issues(rule: str, records: list[Record]) -> None:
    assert refusal_of(records) is None, rule


@pytest.mark.parametrize(("rule", "records", "why"), FORBIDDEN, ids=[rule for rule, _, _ in FORBIDDEN])
def test_find_refusal_explains_it_when_boulder_refuses(rule: str, records: list[Record], why: str) -> None:
    assert refusal_of(records) == why, rule


@pytest.mark.parametrize("value", [f"{' ' * 60_000}{LE} x", f"a{'-' * 60_000}", f"{LE}; a{' ' * 60_000}b"])
def test_find_refusal_of_a_long_value_ends(value: str) -> None:
    assert refusal_of(issue(value)) is not None


def test_find_refusal_leaves_the_account_to_the_ca_when_it_is_not_known() -> None:
    unknown = CaaIdentity((LE,))
    assert refusal_of(issue(f"{LE}; {OTHER_ACCOUNT}"), unknown) is None
    assert refusal_of(issue(f"{LE}; {OUR_ACCOUNT}; {OTHER_ACCOUNT}"), unknown) == "it has accounturi twice"


def test_find_refusal_accepts_only_the_same_url_of_an_account_at_another_ca() -> None:
    other = CaaIdentity(("ca.example",), "https://ca.example/acme/acct/123")
    assert refusal_of(issue("ca.example; accounturi=https://ca.example/acme/acct/123"), other) is None
    assert refusal_of(issue("ca.example; accounturi=https://ca.example/acme/reg/123"), other) == ELSEWHERE


def test_find_refusal_accepts_the_acmev1_url_of_an_account_in_staging() -> None:
    staging = CaaIdentity((LE,), "https://acme-staging-v02.api.letsencrypt.org/acme/acct/7")
    old = "accounturi=https://acme-staging.api.letsencrypt.org/acme/reg/7"
    assert refusal_of(issue(f"{LE}; {old}"), staging) is None


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        (issue("ca.com"), 'issue "letsencrypt.org" or issue "ca.example"'),
        (issue(f"{LE}; {OTHER_ACCOUNT}"), f'issue "letsencrypt.org; accounturi={ACCOUNT}"'),
        ([*issue(LE), (128, "foo", "bar")], "no critical foo"),
    ],
)
def test_find_refusal_returns_what_the_ca_would_accept(records: list[Record], wanted: str) -> None:
    refusal = find_refusal([Property(*record) for record in records], IDENTITY)
    assert refusal is not None
    assert refusal.wanted == wanted


def test_find_refusal_explains_the_record_that_names_the_ca() -> None:
    assert refusal_of([*issue("ca.com"), *issue(f"{LE}; validationmethods=dns-01")]) == METHODS


@pytest.mark.parametrize("tag", ["issue", "x-y", ""])
def test_read_property_returns_flags_tag_and_value(tag: str) -> None:
    wire = bytes([129, len(tag)]) + tag.encode() + b'a"\\\xff'
    record = dns.rdata.GenericRdata(IN, CAA_TYPE, wire)
    assert read_property(record) == Property(129, tag, 'a"\\\xff')
    assert str(read_property(record)) == f'129 {tag} "a\\"\\\\\xff"'


@pytest.mark.parametrize("wire", [b"", b"\x00", b"\x00\x06issue"])
def test_read_property_raises_value_error_when_the_record_is_malformed(wire: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        read_property(dns.rdata.GenericRdata(IN, CAA_TYPE, wire))


_properties = st.builds(
    Property,
    st.sampled_from([0, 1, 128]),
    st.sampled_from(["issue", "Issue", "issuewild", "iodef", "tbs"]),
    st.sampled_from(
        [
            ";",
            "",
            "letsencrypt.org",
            "letsencrypt.org; foo",
            "letsencrypt.org; accounturi=https://ca.test/2",
            "letsencrypt.org; validationmethods=dns-01",
            "pki.example",
        ]
    ),
)


@given(properties=st.lists(_properties, max_size=4), account=st.sampled_from(["", "https://ca.test/1"]))
def test_permitted_properties_are_not_refused(properties: list[Property], account: str) -> None:
    identity = CaaIdentity(("letsencrypt.org",), account)
    permitted = permit(properties, identity)
    assert find_refusal(permitted, identity) is None
    others = [each for each in properties if each.tag == "issuewild" or each.value == "pki.example"]
    assert [each for each in others if each.tag != "tbs" and each not in permitted] == []


def test_permitted_properties_name_our_account_beside_another_one() -> None:
    other = Property(0, "issue", "letsencrypt.org; accounturi=https://ca.test/2")
    permitted = permit([other], CaaIdentity(("letsencrypt.org",), "https://ca.test/1"))
    assert permitted == [other, Property(0, "issue", "letsencrypt.org; accounturi=https://ca.test/1")]


def test_unknown_critical_property_is_removed_and_no_ca_is_added() -> None:
    assert permit([Property(128, "tbs", "x")], CaaIdentity(("letsencrypt.org",))) == []


def test_zone_text_escapes_all_but_printable_ascii() -> None:
    assert Property(0, "a b", 'x"\\\xe9\n;').zone_text == '0 a\\032b "x\\"\\\\\\233\\010;"'
