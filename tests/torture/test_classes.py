"""The small slice of every class of faults; `make torture` runs the whole of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import network
from tests.torture.case import CLASSES, load

_WITH_POSTGRES = {"hosts_kill", "hosts_network", "hosts_race", "server_loss"}
_WITH_PEBBLE = {
    "kill", "ca_faults", "concurrency", "hostile_files", "secret_leaks", "several_cas", *_WITH_POSTGRES,
}  # fmt: skip


def _marks(name: str) -> Iterator[pytest.MarkDecorator]:
    if name in _WITH_PEBBLE:
        yield pytest.mark.pebble
    if name in _WITH_POSTGRES:
        yield pytest.mark.postgres
    if name == "hosts_network":
        yield pytest.mark.skipif(bool(network.missing()), reason=network.missing())


@pytest.mark.parametrize("name", [pytest.param(name, marks=list(_marks(name))) for name in CLASSES])
def test_invariants_hold_after_every_fault(name: str, tmp_path: Path) -> None:
    cases = list(load(name).run(tmp_path, small=True))
    assert cases
    assert [case.fault for case in cases if not case.tries] == []
    violations = [(case.fault, violation) for case in cases for violation in case.violations]
    assert violations == [], violations
