"""Files are decoded whatever wrote them; any text from outside becomes one printable line without control characters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.text import clean, decode_text


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words", "plain words"),
        ("Zürich, 東京 → ok", "Zürich, 東京 → ok"),
        ("", ""),
        (42, "42"),
        (None, "None"),
        (ValueError("bad"), "bad"),
        (Unspeakable(), "Unspeakable"),
        ("  two\r\n\tlines  ", "two lines"),
        ("line\u2028separator\u2029here\x85there", "line separator here there"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;5;196mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ends", ""),
        ("\x1bcreset", "creset"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9cafter", "0;title after"),
        ("back\x08\x08\x7f", "back"),
        ("nul\x00nul", "nul nul"),
        ("shop\u202emoc.live", "shop moc.live"),
        ("a\u200bb\u200dc\ufeffd\u00ade", "a b c d e"),
        ("a\u2066b\u2069c", "a b c"),
        ("tag\U000e0041\U000e0042", "tag"),
        ("variation\ufe0f\U000e0101", "variation"),
        ("filler\u3164\u115f\u1160\uffa0x", "filler x"),
        ("blank\u2800braille", "blank braille"),
        ("grapheme\u034fjoiner", "grapheme joiner"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("private \ue000 use", "private use"),
    ],
)
def test_clean_removes_what_could_control_a_terminal(text: object, line: str) -> None:
    assert clean(text) == line


def test_clean_cuts_a_long_text_and_marks_the_cut() -> None:
    assert clean("x" * 1000) == "x" * 299 + "…"
    assert clean("x" * 1000, 10) == "x" * 9 + "…"
    assert clean("x" * 10, 10) == "x" * 10


@given(
    st.one_of(st.text(), st.text("\x1b[]\\;0m\x07\x9b\x9dPa \n\u202e\ufe0f"), st.binary()),
    st.integers(1, 400),
)
def test_clean_turns_any_text_into_one_printable_line_within_the_limit(text: object, limit: int) -> None:
    line = clean(text, limit)
    assert len(line) <= limit
    assert not any(unicodedata.category(each).startswith(("C", "Z")) and each != " " for each in line)
    assert line == line.strip()
    assert "  " not in line
    assert clean(line, limit) == line


TEXT = "s3cret pässword\nsecond line"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_decode_text_removes_the_byte_order_mark_and_joins_line_ends(encoding: str, line_end: str) -> None:
    assert decode_text(TEXT.replace("\n", line_end).encode(encoding)) == TEXT


@pytest.mark.parametrize("start", [b"\xff\xfe", b"\xfe\xff"])
def test_decode_text_reads_utf_16_of_both_byte_orders(start: bytes) -> None:
    order = "utf-16-le" if start == b"\xff\xfe" else "utf-16-be"
    assert decode_text(start + TEXT.encode(order)) == TEXT


@pytest.mark.parametrize("content", [b"p\xe4ssword", b"\xff\xfea", b"\xfe\xff\xd8\x00"])
def test_decode_text_refuses_other_encodings(content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(content)
    assert "\ufffd" in decode_text(content, "replace")


@given(st.binary())
def test_decode_text_raises_only_unicode_decode_error(content: bytes) -> None:
    try:
        text = decode_text(content)
    except UnicodeDecodeError:
        return
    assert "\r" not in text
