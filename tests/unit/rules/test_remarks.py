"""Texts that people record: cleaned, and never cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sslctl.errors import BadInput
from sslctl.rules.remarks import read_assignee, read_customer, read_note

READERS = [(read_customer, 100), (read_assignee, 100), (read_note, 500)]


@pytest.mark.parametrize(("read", "longest"), READERS)
def test_text_is_cleaned_and_its_length_limited(read: Callable[[str], str], longest: int) -> None:
    assert read("  Acme\t \n& Söhne ") == "Acme & Söhne"
    assert read("\x1b[31mred\x1b[0m \u202eexe.gpj\x07") == "red exe.gpj"
    assert read("x" * longest) == "x" * longest
    for size in (longest + 1, 8 * longest + 1, 10**6):
        with pytest.raises(BadInput, match=f"has {size} characters; the most is {longest}"):
            read("x" * size)


@pytest.mark.parametrize(("read", "longest"), READERS)
def test_empty_text_removes_and_invisible_text_is_refused(read: Callable[[str], str], longest: int) -> None:
    assert (read(""), read(" \n")) == ("", "")
    for text in ("\u200b", "\x1b[31m", "\x00", "\u3164"):
        with pytest.raises(BadInput, match="no visible character"):
            read(text)
    assert len(read("x" + "\u200b" * longest + "y")) == 3
