"""The texts for customers: complete in both languages, without internal words, and in good Chinese typography."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from string import Formatter

import pytest

from sslctl.rules.customer_message import PHRASES, TEXTS
from sslctl.rules.customer_texts import ANSWERED, HARMLESS, NEEDS_RECORDS, Language
from sslctl.rules.reasons import REASONS, Code, Owner

OF_CUSTOMER = {code for code, reason in REASONS.items() if reason.owner is Owner.CUSTOMER}
_INTERNAL = re.compile(
    r"\b(sslctl|C4|ACME|HTTP-01|tick|recheck|finding|Failure|Pending|operator)\b|[A-Z0-9]+_[A-Z0-9_]+"
)
_HAN = r"[\u4e00-\u9fff]"
_FULL_WIDTH = "，。：；！？（）“”"

languages = pytest.mark.parametrize("language", Language)


def every_text(language: Language) -> Iterator[str]:
    for text in TEXTS[language].values():
        yield from (text.problem, text.action)
    yield from (phrase for phrase in asdict(PHRASES[language]).values() if phrase.strip())


@languages
def test_every_code_of_the_customer_and_no_other_has_a_text(language: Language) -> None:
    assert set(TEXTS[language]) == OF_CUSTOMER


def test_sets_of_codes_hold_only_codes_of_the_customer() -> None:
    assert NEEDS_RECORDS | ANSWERED | HARMLESS <= OF_CUSTOMER


@languages
def test_texts_have_no_internal_words(language: Language) -> None:
    assert [text for text in every_text(language) if _INTERNAL.search(text)] == []


def test_internal_words_include_codes() -> None:
    assert all(_INTERNAL.search(f"see {code}") for code in Code if "_" in code)


def test_phrases_of_both_languages_have_the_same_placeholders() -> None:
    english, chinese = (asdict(PHRASES[language]) for language in (Language.EN, Language.ZH))
    assert {key: _fields(text) for key, text in english.items()} == {
        key: _fields(text) for key, text in chinese.items()
    }


def _fields(text: str) -> set[str | None]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


@languages
def test_texts_of_reasons_have_no_placeholder(language: Language) -> None:
    assert [text for text in TEXTS[language].values() if _fields(text.problem + text.action)] == []


def test_chinese_has_full_width_punctuation_and_spaces_around_latin_words() -> None:
    for text in every_text(Language.ZH):
        prose = re.sub(
            r"\{(at|deadline|expiry|checks)\}", "时间", re.sub(r"\{(sgt|utc|domain|number|)\}", "X1", text)
        )
        prose = prose.replace("{readable}", "X1")
        assert not re.search(rf"{_HAN}[A-Za-z0-9]|[A-Za-z0-9]{_HAN}", prose), text
        assert not re.search(rf"{_HAN}\s*[,.:;!?()\"]|[,.:;!?()\"]\s*{_HAN}", prose), text
        assert not re.search(rf" [{_FULL_WIDTH}]|[{_FULL_WIDTH}] ", prose), text
        assert not re.search(rf"{_HAN} {_HAN}", prose), text


def test_english_sentences_are_ascii_except_for_the_quotes() -> None:
    texts = "".join(every_text(Language.EN)).replace("“", "").replace("”", "")
    assert texts.isascii()
