"""Errors of the core and of forms in Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sslctl.errors import Problem, SslctlError
from sslctl.web import error_texts_zh


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error as a page shows it: the sentence and the hint in its language, and `details` that exist in English only."""

    message: str
    hint: str = ""
    details: tuple[str, ...] = ()


class ErrorTexts:
    """The Chinese texts of errors.

    `own` are the texts of the page, from which errors of its forms come. `show` returns a value that a sentence names, such as a time,
    as the page shows it.
    """

    def __init__(self, own: Mapping[str, str], show: Callable[[object], object]) -> None:
        self._own = own
        self._show = show

    def describe(self, error: SslctlError) -> ErrorText:
        """Return `error` in Chinese; without a problem the sentence is that of its code, and the English ones are details."""
        problem = error.problem
        if problem is None:
            details = tuple(filter(None, (error.message, error.hint)))
            return ErrorText(error_texts_zh.CODES[error.code], details=details)
        hint = error_texts_zh.HINTS.get(problem.key, "").format(**self._fields(problem))
        return ErrorText(self.sentence(problem), hint, (problem.detail,) if problem.detail else ())

    def sentence(self, problem: Problem) -> str:
        """Return the sentence about `problem`."""
        text = self._own.get(problem.key) or error_texts_zh.PROBLEMS[problem.key]
        return text.format(**self._fields(problem))

    def _fields(self, problem: Problem) -> dict[str, object]:
        return {key: self._show(value) for key, value in problem.fields.items()}
