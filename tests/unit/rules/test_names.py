"""Which domain names are accepted and in which form, and with which message others are refused."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.errors import BadInput, Exit
from sslctl.rules.names import (
    _read_any,
    _read_plain,
    normalise,
    normalise_all,
    registered_domain,
    require_few,
    unicode_name,
)

STRICT = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 58, "de"])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop.example.com", "shop.example.com"),
        ("Shop.EXAMPLE.com", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("example.com", "example.com"),
        ("shop.example.co.uk", "shop.example.co.uk"),
        ("a.test", "a.test"),
        ("1.2.3.example.com", "1.2.3.example.com"),
        ("a-b--c.example.com", "a-b--c.example.com"),
        ("bücher.example.com", "xn--bcher-kva.example.com"),
        ("BÜCHER.example.com", "xn--bcher-kva.example.com"),
        ("bu\u0308cher.example.com", "xn--bcher-kva.example.com"),
        ("faß.example.com", "xn--fa-hia.example.com"),
        ("XN--BCHER-KVA.example.com", "xn--bcher-kva.example.com"),
        ("shop。example．com", "shop.example.com"),  # noqa: RUF001 - the full stops of East Asian keyboards
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        # IDNA 2008 refuses emoji; CAs issue for their A-labels (Boulder, policy/pa.go, validDomain).
        ("xn--i-7iq.ws", "xn--i-7iq.ws"),
        ("XN--I-7IQ.ws", "xn--i-7iq.ws"),
        ("shop.xn--ls8h.la", "shop.xn--ls8h.la"),
        ("xn--1ug110abm53b.ws", "xn--1ug110abm53b.ws"),
        # Joiners where a script needs them (RFC 5892, appendix A).
        ("क्\u200dष.example.com", "xn--11b2ezcw70k.example.com"),
        ("نامه\u200cای.example.com", "xn--mgba3gch31f060k.example.com"),  # noqa: RUF001
        ("xn--mgba3gch31f060k.example.com", "xn--mgba3gch31f060k.example.com"),
        ("www.ck", "www.ck"),
        ("github.io", "github.io"),
        (LONGEST, LONGEST),
        (LONGEST + ".", LONGEST),
        ("a" * 63 + ".example.com", "a" * 63 + ".example.com"),
    ],
)
def test_normalise_returns_the_canonical_form(text: str, name: str) -> None:
    assert normalise(text) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("*.example.com", "wildcard"),
        ("*", "wildcard"),
        ("192.0.2.1", "IP address"),
        ("2001:db8::1", "IP address"),
        ("[2001:db8::1]", "IP address"),
        ("fe80::1%eth0", "IP address"),
        ("１92.0.2.1", "begins with a digit"),  # noqa: RUF001 - a full-width digit
        ("127.1", "begins with a digit"),
        ("a.0x7f", "begins with a digit"),
        ("example.123", "begins with a digit"),
        ("https://shop.example.com", "URL; use the name alone"),
        ("https://shop.example.com/path", "URL; use the name alone"),
        ("shop.example.com/path", "path; use the name alone"),
        ("shop.example.com\\path", "path; use the name alone"),
        ("shop.example.com?a=b", "path; use the name alone"),
        ("../example.com", "path; use the name alone"),
        ("..", "empty label"),
        (".", "empty label"),
        ("shop.example.com:443", "port; use the name alone"),
        ("[2001:db8::1]:443", "port; use the name alone"),
        ("someone@example.com", "e-mail address"),
        ("localhost", "single label"),
        ("com", "single label"),
        ("co.uk", "public suffix"),
        ("CO.UK.", "public suffix"),
        ("anything.ck", "public suffix"),
        ("公司.cn", "public suffix"),
        ("xn--55qx5d.cn", "public suffix"),
        ("a" * 64 + ".example.com", "more than 63 octets"),
        ("ä" * 63 + ".example.com", "Label too long"),
        (LONGEST.replace("d.de", "dd.de"), "longer than 253 octets"),
        ("a." * 600 + "de", "longer than 253 octets"),
        ("shop..example.com", "empty label"),
        (".example.com", "empty label"),
        ("example.com..", "more than one dot"),
        ("under_score.example.com", "underscore"),
        ("two words.example.com", "white space"),
        (" example.com", "white space"),
        ("example.com\n", "white space"),
        ("shop\u00a0x.example.com", "white space"),
        ("shop;id.example.com", "only letters, digits, hyphens and dots"),
        ("$(id).example.com", "only letters, digits, hyphens and dots"),
        ("-shop.example.com", "begins or ends with a hyphen"),
        ("--force.example.com", "begins or ends with a hyphen"),
        ("shop-.example.com", "begins or ends with a hyphen"),
        ("example.-com", "begins or ends with a hyphen"),
        ("shop\x00.example.com", "control or an invisible character"),
        ("shop\x1b[31m.example.com", "control or an invisible character"),
        ("shop\x7f.example.com", "control or an invisible character"),
        ("shop\u202emoc.example.com", "control or an invisible character"),
        ("shop\u200b.example.com", "control or an invisible character"),
        ("shop\u200d.example.com", "IDNA 2008"),
        ("shop\u200c.example.com", "IDNA 2008"),
        ("\u200d.example.com", "IDNA 2008"),
        ("👩\u200d❤.example.com", "IDNA 2008"),
        ("shop\u00ad.example.com", "control or an invisible character"),
        ("shop\ufeff.example.com", "control or an invisible character"),
        ("shop\U000e0041.example.com", "control or an invisible character"),
        ("shop\ud800.example.com", "control or an invisible character"),
        ("shop\ufe0f.example.com", "invisible"),
        ("shop\u3164.example.com", "invisible"),
        ("shop\u034f.example.com", "invisible"),
        ("a／b.example.com", "IDNA 2008"),  # noqa: RUF001 - a full-width solidus
        ("℀.example.com", "IDNA 2008"),
        ("i❤.example.com", "IDNA 2008"),
        ("אa.example.com", "IDNA 2008"),
        ("ab--c.example.com", "IDNA 2008"),
        ("xn--a.example.com", "IDNA 2008"),
        # Punycode that is not what its own text encodes to, text that is not in form C, text that UTS 46 changes.
        ("xn--bcher-kva-.example.com", "hyphen"),
        ("xn--a-xbb.example.com", "IDNA 2008"),
        ("xn--qei9934e.example.com", "IDNA 2008"),
        ("xn--kja.example.com", "IDNA 2008"),
        ("xn--a-6m0i.example.com", "IDNA 2008"),
        ("xn--bcher-kvb9999999.example.com", "IDNA 2008"),
        ("\u0301a.example.com", "IDNA 2008"),
    ],
)
def test_normalise_raises_bad_input_with_the_reason_for_an_unusable_name(text: str, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        normalise(text)
    assert problem in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.exit_code is Exit.USAGE


def test_bad_input_names_the_input() -> None:
    with pytest.raises(
        BadInput, match=r'^"\*\.example\.com" cannot be used as a domain name: it is a wildcard'
    ):
        normalise("*.example.com")


def test_bad_input_shortens_a_huge_input() -> None:
    with pytest.raises(BadInput) as caught:
        normalise("a" * 10_000_000)
    assert len(caught.value.message) < 300


# Text that is nearly a name, which reaches deeper checks than random text.
nearly_names = st.lists(
    st.text(st.sampled_from("aA09-_. ;/:*@\\äßאשع\u200d\u202e\u3002１x\x1b\n\x00\u0301\u3164n"), max_size=66),  # noqa: RUF001
    max_size=6,
).map(lambda labels: ".".join([*labels, "com"]))
hidden = st.sampled_from("\u200b\u200d\u202e\u2066\u00ad\ufeff\u180e\u034f\u3164\ufe0f\U000e0061\x00\x1b\x85")


names = st.lists(st.text("abyz0189-éß東אबक्", min_size=1, max_size=12), min_size=1, max_size=6).map(".".join)


def accept(text: str) -> str:
    try:
        return normalise(text)
    except BadInput:
        return ""


@given(st.one_of(st.text(), nearly_names))
def test_normalise_accepts_any_text_or_refuses_it_in_one_printable_line(text: str) -> None:
    if not accept(text):
        with pytest.raises(BadInput) as caught:
            normalise(text)
        assert caught.value.message.isprintable()


@given(st.one_of(names.map("{}.com".format), nearly_names))
def test_normalise_returns_a_strict_host_name_and_is_idempotent(text: str) -> None:
    name = accept(text)
    if not name:
        return
    assert STRICT.fullmatch(name)
    assert len(name) <= 253
    assert not any(unicodedata.category(character).startswith(("C", "Z")) for character in name)
    assert not set(name) & set("/\\;_*:@?#")
    assert normalise(name) == name
    assert normalise(name.upper() + ".") == name


@given(hidden, st.integers(min_value=0, max_value=len("shop.example.com")))
def test_normalise_refuses_hidden_characters(character: str, place: int) -> None:
    with pytest.raises(BadInput):
        normalise("shop.example.com"[:place] + character + "shop.example.com"[place:])


def test_normalise_all_keeps_the_order() -> None:
    assert normalise_all(["b.example.com", "A.example.com."]) == ("b.example.com", "a.example.com")
    assert normalise_all([]) == ()


def test_normalise_all_raises_bad_input_for_the_same_name_in_two_spellings() -> None:
    with pytest.raises(
        BadInput, match=r'"xn--bcher-kva\.example\.com" is given twice.*"Bücher\.example\.com"'
    ):
        normalise_all(["Bücher.example.com", "a.example.com", "xn--bcher-kva.example.com"])


def test_import_does_not_read_the_public_suffix_list() -> None:
    program = "import sys, sslctl.rules.names; assert 'publicsuffixlist' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


_labels = st.text("abxnXZ019-", min_size=1, max_size=6) | st.sampled_from(
    ("xn--bcher-kva", "ab--c", "a-b--c", "a" * 63, "a" * 64, "", "ß", "com", "co.uk", "\u212a", "1e3", "0x7f")
)


@given(labels=st.lists(_labels, min_size=1, max_size=60), end=st.sampled_from(("", ".", "..", "\n", " ")))
def test_read_plain_agrees_with_read_any(labels: list[str], end: str) -> None:
    text = ".".join(labels) + end
    name = _read_plain(text)
    assert name in ("", text.lower().removesuffix("."))
    if name:
        assert _read_any(text) == name


@pytest.mark.parametrize("text", ["shop.example.com", "WWW.a-b--c.1and1.example.co.uk.", LONGEST])
def test_read_plain_accepts_ordinary_names(text: str) -> None:
    assert _read_plain(text)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("new.blog.example.co.uk", "example.co.uk"),
        ("shop.someone.github.io", "someone.github.io"),
        ("github.io", "github.io"),
        ("www.city.kawasaki.jp", "city.kawasaki.jp"),
        ("a.b.unknown-tld", "b.unknown-tld"),
        ("xn--bcher-kva.example.xn--p1ai", "example.xn--p1ai"),
    ],
)
def test_registered_domain_follows_the_public_suffix_list(name: str, domain: str) -> None:
    """Private suffixes count too, and a suffix is its own registered domain, as at Let's Encrypt."""
    assert registered_domain(name) == domain


def test_same_text_given_twice_is_not_explained_as_another_spelling() -> None:
    with pytest.raises(BadInput) as caught:
        normalise_all(["d1.example.test", "d1.example.test"])
    assert caught.value.message == '"d1.example.test" is given twice'


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("xn--bcher-kva.example.com", "bücher.example.com"),
        ("xn--mgba3gch31f060k.example.com", "نامه\u200cای.example.com"),  # noqa: RUF001
        ("xn--i-7iq.ws", ""),
        ("shop.example.com", ""),
    ],
)
def test_unicode_name_shows_what_idna_allows(name: str, shown: str) -> None:
    assert unicode_name(name) == shown


@pytest.mark.parametrize(
    ("profile", "most"),
    [("", 100), ("classic", 100), ("tlsclient", 100), ("tlsserver", 25), ("shortlived", 25)],
)
def test_require_few_raises_bad_input_above_the_limit_of_the_profile(profile: str, most: int) -> None:
    given_names = [f"d{number}.example.com" for number in range(most + 1)]
    require_few(given_names[:-1], profile)
    with pytest.raises(BadInput, match=f"at most {most} names, and {most + 1} are given"):
        require_few(given_names, profile)
