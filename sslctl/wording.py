"""How texts name the control plane: "C4", or "the control plane" where another one is configured.

Texts are written as for C4. One without values goes through `in_words` or `in_chinese`; an f-string names `{C4}`, so that the
values in it are never changed. Help texts, and texts that only C4 can cause, say "C4" as it is.

The choice is one for the process, as that of a language is: `app.py` makes it when it has read the configuration.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NAME = "control plane"
_CHINESE_NAME = "控制平面"
# Codes such as C4_REJECTED are other words.
_WORD = re.compile(r"(?P<begin>^|[.!?] )?(?P<article>\b[Tt]h(?:e|is) )?\bC4\b")
_CHINESE_WORD = re.compile(r" ?C4 ?")


class _C4:
    """The name of the control plane in an f-string.

    `{C4:The}` begins a sentence; `{C4:bare}` follows an article or is a label.
    """

    def __init__(self) -> None:
        self.is_configured = True

    def __format__(self, form: str) -> str:
        """Return the name in the form "", "The" or "bare"."""
        name = {"": f"the {_NAME}", "The": f"The {_NAME}", "bare": _NAME}[form]
        return "C4" if self.is_configured else name

    def __str__(self) -> str:
        """Return the name as it is within a sentence."""
        return f"{self}"


C4 = _C4()


def choose_name(*, is_c4: bool) -> None:
    """Let texts from now on say "C4" if `is_c4`, otherwise "the control plane"."""
    C4.is_configured = is_c4


def in_words(text: str) -> str:
    """Return `text`, which has no values in it, with the name of the control plane in place of the word C4."""
    return text if C4.is_configured else _replace(text)


def in_chinese(text: str) -> str:
    """Return the Chinese `text`, which has no values in it, likewise."""
    return text if C4.is_configured else _CHINESE_WORD.sub(_CHINESE_NAME, text)


@lru_cache(maxsize=1024)
def _replace(text: str) -> str:
    return _WORD.sub(_name, text)


def _name(found: re.Match[str]) -> str:
    begin, article = found["begin"], found["article"]
    if article is None:
        article = "the " if begin is None else "The "
    return f"{begin or ''}{article}{_NAME}"
