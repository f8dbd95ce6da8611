from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.rules.database_server import DatabaseServer, find_faults

GOOD = DatabaseServer(
    version="15.9",
    database="sslctl",
    role="sslctl",
    is_superuser=False,
    is_owner=False,
    fsync="on",
    synchronous_commit="on",
    skew=timedelta(seconds=5),
    connections_left=10,
    connections_needed=10,
    is_private=True,
)


def test_server_of_the_documentation_has_no_fault() -> None:
    assert list(find_faults(GOOD)) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"is_superuser": True, "is_owner": True}, "is a superuser"),
        ({"is_owner": True}, "can change the tables"),
        ({"fsync": "off"}, "fsync is off"),
        ({"synchronous_commit": "off"}, "synchronous_commit is off"),
        ({"skew": timedelta(seconds=-6)}, "differ by 6 seconds"),
        ({"connections_left": 9}, "only 9 more connections"),
        ({"is_private": False}, "is not encrypted"),
    ],
)
def test_each_fault_is_found_with_what_to_do(change: dict[str, object], wanted: str) -> None:
    ((fault, hint),) = find_faults(replace(GOOD, **change))  # type: ignore[arg-type]
    assert wanted in fault
    assert hint
