"""The rules for a name are those of the whole public suffix list."""

from __future__ import annotations

from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from sslctl.rules.public_suffixes import suffixes_of

RULES = [
    line.split()[0]
    for line in Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("//")
]
PREFIXES = ("", "a.", "a.b.", "a.b.c.d.e.f.")


@pytest.mark.parametrize("only_icann", [False, True])
def test_suffixes_of_a_name_are_those_of_the_whole_list(*, only_icann: bool) -> None:
    assert len(RULES) > 8000
    whole = PublicSuffixList(only_icann=only_icann)
    suffixes = [rule.removeprefix("*.").removeprefix("!").encode("idna").decode() for rule in RULES]
    names = [prefix + suffix for suffix in (*suffixes, "unlisted", "test", "") for prefix in PREFIXES]
    different = [
        name
        for name in names
        if (found := suffixes_of(name, only_icann=only_icann)).publicsuffix(name) != whole.publicsuffix(name)
        or found.privatesuffix(name) != whole.privatesuffix(name)
    ]
    assert different == []
