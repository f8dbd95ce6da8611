"""A pattern over domain names, as an operator types it: a part of a name, or a glob of a whole name, in ASCII or in Unicode."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import idna

from sslctl.errors import BadInput, Problem
from sslctl.text import clean

_LONGEST = 253
_WILDCARDS = frozenset("*?[")
_TOKEN = re.compile(r"\*|\?|\[!?[^\[\]*?]+\]|[^*?\[\]]")
_PLAIN = re.compile(r"[a-z0-9.\-]*", re.ASCII)


@dataclass(frozen=True)
class NamePattern:
    """A pattern that names match in either form, A-labels or Unicode, whatever the case.

    With one of `*`, `?` and `[` it is a glob, which must match a whole name; `*` matches dots, too. Otherwise it is a part of a
    name. `text` is in lower case and not empty.
    """

    text: str

    @property
    def is_glob(self) -> bool:
        """Whether the pattern is a glob."""
        return not _WILDCARDS.isdisjoint(self.text)

    @property
    def tokens(self) -> list[str]:
        """The parts of a glob: `*`, `?`, sets such as `[a-c]` and `[!x]`, and single characters."""
        return _TOKEN.findall(self.text)

    def matches(self, names: Iterable[str]) -> bool:
        """Return whether one of `names`, A-labels, matches."""
        return any(self._matches(name) or ("xn--" in name and self._matches(decode(name))) for name in names)

    def _matches(self, name: str) -> bool:
        if self.is_glob:
            return self._expression.fullmatch(name) is not None
        return self.text in name

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        """The glob as a regular expression whose time grows with the length of a name, not with a power of it.

        What stands between two `*` is taken where it occurs first: a later place could not help the rest. So no part is tried
        again (an atomic group).
        """
        parts = [""]
        for each in self.tokens:
            if each == "*":
                parts.append("")
            else:
                parts[-1] += _expression_of(each)
        first, *middle, last = parts if len(parts) > 1 else (*parts, "")
        between = "".join(f"(?>.*?{part})" for part in middle if part)
        return re.compile(f"{first}{between}.*{last}" if len(parts) > 1 else first)


def parse(text: str) -> NamePattern:
    """Return the pattern in `text`. Raise `BadInput` if it is empty, or if no name can match it."""
    shown = f'"{clean(text, 100)}" is no pattern of domain names'
    stripped = text.strip()
    if not stripped:
        raise BadInput(
            "the pattern is empty", hint="leave it out to mean every domain", problem=Problem("pattern.empty")
        )
    if len(stripped) > _LONGEST:
        raise BadInput(
            f"{shown}: it is longer than a name can be, {_LONGEST} characters",
            problem=Problem("pattern.long", {"most": _LONGEST}),
        )
    try:
        pattern = stripped.lower() if stripped.isascii() else idna.uts46_remap(stripped, std3_rules=False)
    except idna.IDNAError as error:
        detail = clean(error, 120)
        raise BadInput(
            f"{shown}: it breaks a rule of IDNA ({detail})", problem=Problem("pattern.idna", {}, detail)
        ) from error
    pattern = ".".join(map(decode, pattern.split("."))) if not pattern.isascii() else pattern
    if len(pattern) > 1:
        pattern = pattern.removesuffix(".")
    tokens = _TOKEN.findall(pattern)
    if not pattern:
        raise BadInput(f"{shown}: it has only invisible characters", problem=Problem("pattern.invisible"))
    if "".join(tokens) != pattern or any("--" in each for each in tokens if len(each) > 1):
        raise BadInput(
            f"{shown}: a [ is not closed, or its set cannot be used", problem=Problem("pattern.bracket")
        )
    literal = "".join(token.strip("[!]") for token in tokens if token not in ("*", "?"))
    if any(character.isascii() and not _PLAIN.fullmatch(character) for character in literal):
        raise BadInput(
            f"{shown}: a name has only letters, digits, hyphens and dots",
            hint="use a part of a name, such as acme, or a glob, such as '*.acme.example'",
            problem=Problem("pattern.characters"),
        )
    found = NamePattern(pattern)
    try:
        found.matches(("a",))
    except re.error as error:
        detail = clean(error, 100)
        raise BadInput(
            f"{shown}: a set in it cannot be used ({detail})", problem=Problem("pattern.set", {}, detail)
        ) from error
    return found


def decode(name: str) -> str:
    """Return `name` with each A-label in Unicode; one that is not valid Punycode stays.

    It is for matching, never for display: the rules of IDNA are not checked, which takes a tenth of the time.
    """
    return ".".join(map(_decode_label, name.split("."))) if "xn--" in name else name


def _decode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode().decode("punycode")
    except UnicodeError:
        return label


def _expression_of(part: str) -> str:
    if part == "?":
        return "."
    if not part.startswith("["):
        return re.escape(part)
    negated, members = part.startswith("[!"), part.strip("[!]")
    # A hyphen between two characters is a range; a backslash cannot occur.
    return f"[{'^' if negated else ''}{members}]"
