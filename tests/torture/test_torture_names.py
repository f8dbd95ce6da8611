"""Hostile names and words: a slice of `make torture ARGS=hostile_names`."""

from pathlib import Path

from tests.torture import hostile_names
from tests.torture.case import require_held


def test_hostile_names_are_refused_and_hostile_words_do_no_harm(tmp_path: Path) -> None:
    require_held(hostile_names, tmp_path)
