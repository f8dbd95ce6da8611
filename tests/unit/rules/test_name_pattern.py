"""Patterns over domain names: parts and globs, in ASCII and in Unicode."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sslctl.errors import BadInput
from sslctl.rules.name_pattern import NamePattern, parse
from tests.support import words

_BOOKS = "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("acme", "www.acme-shop.example"),
        ("ACME", "www.acme-shop.example"),
        (" acme ", "acme.example"),
        ("ac\u200bme", "acme.example"),
        ("shop.example.com.", "shop.example.com"),
        ("*.acme.example", "a.b.acme.example"),
        ("d?.example", "d1.example"),
        ("d[0-3].example", "d2.example"),
        ("d[!0-3].example", "d7.example"),
        ("bücher", _BOOKS),
        ("BÜCHER", _BOOKS),
        ("büch", _BOOKS),
        ("bu\u0308cher", _BOOKS),
        ("cher.example", _BOOKS),
        ("b?cher.*", _BOOKS),
        ("*ü*", _BOOKS),
        ("b[üu]cher.example", _BOOKS),
        ("xn--bcher-kva", _BOOKS),
        ("XN--BCHER", _BOOKS),
        ("中国", "xn--fiqs8s.example"),
        ("中", "xn--fiqs8s.example"),
        ("中国。example", "xn--fiqs8s.example"),
        ("xn--fiqs8s.bücher", "www.xn--fiqs8s.xn--bcher-kva"),
        ("☕", "xn--53h.example"),
    ],
    ids=words,
)
def test_pattern_matches(typed: str, name: str) -> None:
    assert parse(typed).matches((name,))
    assert parse(typed).matches(("other.example", name))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("acme", "amce.example"),
        ("acme*", "www.acme.example"),
        ("d?.example", "d10.example"),
        ("d?.example", "d1xexample"),
        ("bücher", "bucher.example"),
        ("bücher", "xn--zzzzzzzzz.example"),
        ("a*b", "a.example"),
    ],
    ids=words,
)
def test_pattern_does_not_match(typed: str, name: str) -> None:
    assert not parse(typed).matches((name, "b.example"))


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "a b",
        "a_b",
        "a%",
        "'",
        '"',
        "https://shop.example.com/",
        "a@b",
        "[",
        "[]",
        "a]",
        "[z-a]",
        "\\",
        "x" * 254,
        "\u00ad",
    ],
    ids=words,
)
def test_pattern_that_no_name_can_match_is_refused(typed: str) -> None:
    with pytest.raises(BadInput):
        parse(typed)


@given(glob=st.text("ab.*?", min_size=1, max_size=8), name=st.text("ab.", max_size=10))
def test_glob_matches_what_a_search_of_every_place_would_match(glob: str, name: str) -> None:
    assume("*" in glob or "?" in glob)
    simple = glob.replace(".", r"\.").replace("*", ".*").replace("?", ".")
    assert NamePattern(glob).matches([name]) is bool(re.fullmatch(simple, name))


def test_set_with_two_hyphens_is_refused_without_a_warning_of_python() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput, match="its set cannot be used"):
            parse("[a--z]*")


def test_glob_of_many_stars_ends_on_a_long_name() -> None:
    """Tried at every place, this takes longer than the age of the universe."""
    assert not parse("*a" * 60 + "*b").matches(["a" * 240])
