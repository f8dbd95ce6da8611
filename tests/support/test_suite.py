"""The results of `make bench` and `make torture`: a run of some parts keeps the published results of the others."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.support.suite import Request, Results, Suite

SUITE = Suite("torture", "class", "classes", ("kill", "disk", "clocks"), "reliability")


def run(folder: Path, *parts: str, publish: bool = True, **found: object) -> None:
    """Run `parts` with the results `found`."""
    out = folder / f"{time.monotonic_ns()}.json"
    results = Results(Request(SUITE, parts, out, small=False, publish=publish, folder=folder))
    for part in parts:
        results.add(part, time.monotonic(), **found)
    results.publish()


def published(folder: Path) -> dict[str, Any]:
    classes: dict[str, Any] = json.loads((folder / "reliability.json").read_text())["classes"]
    return classes


def test_publishing_some_parts_keeps_the_published_results_of_the_others(tmp_path: Path) -> None:
    run(tmp_path, "clocks", "kill", cases=1)
    run(tmp_path, "disk", "kill", cases=2)
    assert {part: found["cases"] for part, found in published(tmp_path).items()} == {
        "kill": 2, "disk": 2, "clocks": 1,
    }  # fmt: skip
    assert list(published(tmp_path)) == ["kill", "disk", "clocks"]


def test_part_that_does_not_exist_any_more_is_not_published_again(tmp_path: Path) -> None:
    (tmp_path / "reliability.json").write_text('{"classes": {"old": {"cases": 1}}}')
    run(tmp_path, "kill", cases=2)
    assert list(published(tmp_path)) == ["kill"]


def test_nothing_is_published_unless_asked(tmp_path: Path) -> None:
    run(tmp_path, "kill", publish=False, cases=1)
    assert not (tmp_path / "reliability.json").exists()
