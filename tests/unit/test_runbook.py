"""The runbook has one entry for every reason code."""

from __future__ import annotations

import re
import tomllib

from sslctl.rules.reasons import REASONS
from tests.support import ROOT

_PAGE = (ROOT / "docs" / "runbook.md").read_text()
_WRITTEN = tomllib.loads((ROOT / "docs" / "runbook.toml").read_text())


def test_every_code_has_a_written_part_and_nothing_else_has() -> None:
    assert set(_WRITTEN) == {"ends", *REASONS}
    for code in REASONS:
        assert set(_WRITTEN[code]) == {"verify", "ends"}, code
        assert _WRITTEN[code]["ends"] in _WRITTEN["ends"] or " " in _WRITTEN[code]["ends"], code


def test_every_code_has_one_entry_in_the_page() -> None:
    assert sorted(re.findall(r"^### (\w+)$", _PAGE, re.MULTILINE)) == sorted(REASONS)


def test_every_shared_text_of_the_end_is_used() -> None:
    assert set(_WRITTEN["ends"]) <= {_WRITTEN[code]["ends"] for code in REASONS}
