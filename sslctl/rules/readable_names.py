"""Which international names can be shown in Unicode: those that a reader cannot mistake for another name.

The rule is stricter than Unicode's (UTS 39, section 5): each label is of one script, one of those below, and has a letter that does
not look like one of ASCII. Scripts that are written from right to left are left out: a terminal would reorder the name.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from sslctl.rules.names import unicode_name

_NEUTRAL = frozenset("0123456789-")
_KANA_AND_HAN = "CJK"
# The first word of the Unicode names of a script's characters.
_SCRIPTS = {
    "LATIN": "LATIN", "CYRILLIC": "CYRILLIC", "GREEK": "GREEK", "HANGUL": "HANGUL", "THAI": "THAI",
    "DEVANAGARI": "DEVANAGARI", "CJK": _KANA_AND_HAN, "IDEOGRAPHIC": _KANA_AND_HAN, "HIRAGANA": _KANA_AND_HAN,
    "KATAKANA": _KANA_AND_HAN,
}  # fmt: skip
# Letters without a decomposition that nobody reads as another one.
_MORE_LATIN = frozenset("ßæœøđħłŋþð")
# A label of these alone can be read as one of ASCII, or as a hyphen or a slash.
_LOOK_ALIKE = frozenset("авекмнорстухіјѕԁԛԝһӏгпьҽѡѵүαβγεηικμνορστυχωςノ丿丶丨ー一二三工口〇")


@lru_cache(maxsize=4096)
def readable_name(name: str) -> str:
    """Return the normalised `name` in Unicode if it cannot be mistaken for another; otherwise as it is, in A-labels."""
    if "xn--" not in name:
        return name
    readable = unicode_name(name)
    return readable if readable and all(map(_is_unambiguous, readable.split("."))) else name


def _is_unambiguous(label: str) -> bool:
    if label.isascii():
        # An A-label that stayed is valid Punycode, but IDNA does not allow it.
        return not label.startswith("xn--")
    letters = [character for character in label if character not in _NEUTRAL]
    scripts = set(map(_script_of, letters))
    return len(scripts) == 1 and "" not in scripts and not _LOOK_ALIKE.issuperset(letters)


def _script_of(character: str) -> str:
    """Return the script of `character`, empty if it has none that is shown."""
    first_word = unicodedata.name(character, "").replace("-", " ").partition(" ")[0]
    script = _SCRIPTS.get(first_word, "")
    if script == "LATIN" and not (_base_of(character).isascii() or character in _MORE_LATIN):
        return ""
    return script


def _base_of(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0]
