"""The language of a response, and the texts in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from flask import Request, g, request

from sslctl.errors import Problem, SslctlError
from sslctl.rules.customer_texts import Language
from sslctl.rules.reasons import Code, Status
from sslctl.rules.singapore import format_sgt
from sslctl.web import (
    action_texts_en,
    action_texts_zh,
    history_texts_zh,
    reason_texts_en,
    reason_texts_zh,
    texts_en,
    texts_zh,
)
from sslctl.web.error_texts import ErrorText, ErrorTexts
from sslctl.wording import in_chinese, in_words

COOKIE = "sslctl_lang"
PARAMETER = "lang"

TEXTS = {
    Language.EN: {**texts_en.TEXTS, **action_texts_en.TEXTS},
    Language.ZH: {**texts_zh.TEXTS, **action_texts_zh.TEXTS},
}
_LABELS = {Language.EN: reason_texts_en.LABELS, Language.ZH: reason_texts_zh.LABELS}
_Error = TypeVar("_Error", bound=SslctlError)
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


class Texts:
    """The texts of the page in one language. Calling it returns one of them with its fields filled in."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **fields: object) -> str:
        """Return the text `key`. Fields are plain text: the template escapes the whole."""
        return self._named(TEXTS[self.language][key]).format(**fields)

    def number(self, key: str, number: int, **fields: object) -> str:
        """Return the text `key` in its form for `number`."""
        return self(plural_key(key, number), number=f"{number:,}", **fields)

    @property
    def html_language(self) -> str:
        """The language tag (BCP 47)."""
        return "zh-Hans" if self.language is Language.ZH else "en"

    @property
    def other(self) -> Language:
        """The language that the page offers instead."""
        return Language.EN if self.language is Language.ZH else Language.ZH

    def label(self, code: Code) -> str:
        """Return the short label of a reason."""
        return self._named(_LABELS[self.language][code])

    def event_kind(self, kind: str) -> str:
        """Return the kind of an event as the history shows it. A kind of an earlier release may have no translation."""
        return self._named(kind if self.language is Language.EN else history_texts_zh.KINDS.get(kind, kind))

    def step(self, line: str) -> str | None:
        """Return a line of a job's progress, `domain: step`, in this language; None if it is another line."""
        domain, _, step = line.partition(": ")
        chinese = {in_words(known): text for known, text in history_texts_zh.STEPS.items()}
        if step not in chinese:
            return None
        shown = step if self.language is Language.EN else in_chinese(chinese[step])
        return self("site.colon", label=domain, text=shown)

    def next_step(self, code: Code, english: str) -> str:
        """Return the next step for `code`, whose English text is `english`."""
        return english if self.language is Language.EN else in_chinese(reason_texts_zh.NEXT_STEPS[code])

    def error(self, error: SslctlError) -> ErrorText:
        """Return an error of the core or of a form in this language."""
        if self.language is Language.EN:
            return ErrorText(error.message, error.hint or "")
        return self._errors.describe(error)

    def problem(self, problem: Problem, english: str) -> str:
        """Return the sentence about `problem`, which is `english` in English."""
        return english if self.language is Language.EN else self._errors.sentence(problem)

    def _named(self, text: str) -> str:
        """Return `text` with the name of the control plane in this language."""
        return in_words(text) if self.language is Language.EN else in_chinese(text)

    @property
    def _errors(self) -> ErrorTexts:
        return ErrorTexts(TEXTS[self.language], self._show)

    def _show(self, value: object) -> object:
        if isinstance(value, timedelta):
            return self.length(value)
        if isinstance(value, datetime):
            return format_sgt(value)
        return self(f"status.{value}") if isinstance(value, Status) else value

    def length(self, length: timedelta) -> str:
        """Return a length of time in its largest unit, rounded down, as `singapore.format_duration` does."""
        seconds = int(length.total_seconds())
        for unit, size in _UNITS:
            if seconds >= size:
                return self.number(f"length.{unit}", seconds // size)
        return self.number("length.second", seconds)

    def relative(self, at: datetime, now: datetime) -> str:
        """Return how far `at` is from `now`: `in 9 days`, `2 hours ago`."""
        key = "relative.future" if at > now else "relative.past"
        return self(key, length=self.length(abs(at - now)))


def plural_key(key: str, number: int) -> str:
    """Return the key of the text `key` in its form for `number`."""
    return f"{key}.one" if number == 1 else f"{key}.many"


def make_error(kind: type[_Error], key: str, **fields: object) -> _Error:
    """Return an error of a form with the text `key`, which is shown in the language of its page."""
    return kind(Texts(Language.EN)(key, **fields), problem=Problem(key, fields))


def request_texts() -> Texts:
    """Return the texts in the language of the current request."""
    if "texts" not in g:
        g.texts = Texts(choose_language(request))
    found: Texts = g.texts
    return found


def choose_language(request: Request) -> Language:
    """Return the language for `request`: of its parameter, else of its cookie, else what the browser prefers."""
    for wanted in (request.args.get(PARAMETER), request.cookies.get(COOKIE)):
        if wanted in set(Language):
            return Language(wanted)
    return Language(request.accept_languages.best_match(["en", "zh"]) or "en")
