"""Whatever stands in the database, no command prints escape sequences or bidirectional characters out of it."""

from __future__ import annotations

import pytest

from tests.support.cdn import Cdn
from tests.support.store_cases import database_of, look_into

WELL, UNWELL = "shop.example.com", "unwell.example.com"
HOSTILE = "a\x1b]0;owned\x07b\x1b[31mc\u202egpj.exe\x9b2J\rd\u200b"
FORBIDDEN = ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\u200b")

COLUMNS = [
    ("domain", "finding_found"),
    ("domain", "finding_wanted"),
    ("certificate", "issuer"),
    ("certificate", "key_type"),
    ("certificate", "serial"),
    ("event", "actor"),
    ("event", "detail"),
    ("milestone", "detail"),
    ("ca_pause", "why"),
    ("notice", "why"),
]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """A domain in Success, one in Failure, a tick that was made, a pause and a notice."""
    # The values that are put into the database are no fingerprints and no positions.
    cdn.is_json_checked = False
    cdn.add_domain(WELL)
    cdn.add_domain(UNWELL, points_at="elsewhere.example.net")
    cdn.sslctl("add", WELL)
    cdn.sslctl("add", UNWELL)
    assert cdn.sslctl("daemon-tick").exit_code in (0, 5)
    with look_into(database_of(cdn.folder / "state")) as connection:
        ca = "SELECT ca FROM acme_order LIMIT 1"
        connection.execute(
            f"INSERT INTO ca_pause SELECT ca, 'account', ?, ?, 'why' FROM ({ca})",  # noqa: S608 - constants
            (f"{cdn.clock():%Y-%m-%dT%H:%M:%SZ}", f"{cdn.clock():%Y-%m-%d}T23:59:59Z"),
        )
        connection.execute(
            "INSERT INTO notice VALUES ('', 'trouble', ?, '[]', '[]', '[0]', ?, 'why')",
            (f"{cdn.clock():%Y-%m-%dT%H:%M:%SZ}", f"{cdn.clock():%Y-%m-%dT%H:%M:%SZ}"),
        )
    return cdn


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda it: it)
def test_no_command_prints_control_characters_out_of_the_database(
    fleet: Cdn, table: str, column: str
) -> None:
    with look_into(database_of(fleet.folder / "state")) as connection:
        for trigger in ("event_unchanged", "event_chained"):
            connection.execute(f"DROP TRIGGER {trigger}")
        changed = connection.execute(f"UPDATE {table} SET {column} = ?", (HOSTILE,))  # noqa: S608 - constants
        assert changed.rowcount > 0
    printed = ""
    for command in (
        ("list",),
        ("list", "--json"),
        ("list", "--csv"),
        ("view", WELL),
        ("view", UNWELL),
        ("view", UNWELL, "--json"),
        ("audit", "list"),
        ("audit", "verify"),
        ("doctor",),
        ("recheck", UNWELL),
    ):
        result = fleet.sslctl(*command)
        output = result.stdout.replace("\r\n", "\n") + result.stderr
        assert [it for it in FORBIDDEN if it in output] == [], command
        printed += output
    if table not in ("certificate", "milestone"):
        # A certificate's digest does not match any more, so it is not shown at all; doctor shows only a milestone's time.
        assert "gpj.exe" in printed


def test_no_command_prints_control_characters_out_of_a_name(fleet: Cdn) -> None:
    with look_into(database_of(fleet.folder / "state")) as connection:
        connection.execute("UPDATE domain SET name = ? WHERE name = ?", (HOSTILE, UNWELL))
    for command in (("list",), ("list", "--csv"), ("audit", "list"), ("daemon-tick",), ("keys", "prune")):
        result = fleet.sslctl(*command)
        output = result.stdout.replace("\r\n", "\n") + result.stderr
        assert [it for it in FORBIDDEN if it in output] == [], command
