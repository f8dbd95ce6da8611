"""`sslctl audit`: verify and list."""

from __future__ import annotations

import pytest

from sslctl.errors import NotManaged
from tests.support.cdn import Cdn
from tests.support.history_cases import edit, sql
from tests.support.store_backends import SqliteBackend


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain("shop.example.com")
    cdn.sslctl("add", "shop.example.com")
    cdn.clock.move(hours=1)
    cdn.sslctl("add", "other.example.com", "--no-wait")
    return cdn


def test_verify_says_that_all_is_whole_and_gives_the_head(shop: Cdn) -> None:
    found = shop.sslctl("audit", "verify", "--json")
    assert (found.exit_code, found.json["whole"], found.json["broken"]) == (0, True, None)
    head = found.json["head"]
    assert shop.sslctl("audit", "verify").stdout == (
        f"{found.json['events']} events unchanged (chained since 2026-11-23 12:00 SGT); head {head}\n"
    )
    shop.sslctl("add", "third.example.com", "--no-wait")
    assert shop.sslctl("audit", "verify", "--head", head).exit_code == 0


def test_verify_says_what_was_edited(shop: Cdn) -> None:
    edit(SqliteBackend(shop.folder / "state"), sql("UPDATE event SET actor = 'nobody' WHERE id = 3"))
    result = shop.sslctl("audit", "verify")
    assert (result.exit_code, result.stdout) == (8, "")
    assert result.stderr.startswith("sslctl: error: the history was edited: event 3 (")
    assert "2 events before that" in result.stderr
    found = shop.sslctl("audit", "verify", "--json")
    assert (found.exit_code, found.json["whole"], found.json["events"]) == (8, False, 2)


def test_verify_says_that_a_noted_head_is_gone(shop: Cdn) -> None:
    result = shop.sslctl("audit", "verify", "--head", f"99:{'0' * 32}")
    assert (result.exit_code, "event 99, which was noted as a head, is missing" in result.stderr) == (8, True)
    assert shop.sslctl("audit", "verify", "--head", "99:0").exit_code == 2


def test_list_tells_who_did_what(shop: Cdn) -> None:
    events = shop.sslctl("audit", "list", "--json").json["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert {event["domain"] for event in events} == {"shop.example.com", "other.example.com"}
    only = shop.sslctl("audit", "list", "--domain", "SHOP.example.com", "--json").json["events"]
    assert [event["kind"] for event in only] == ["added", "ordered", "issued", "uploaded", "serving"]
    late = shop.sslctl("audit", "list", "--since", "2026-11-23 12:30").stdout
    assert [line.split()[-1] for line in late.splitlines()] == ["DETAIL", "names"]
    assert "other.example.com" in late
    assert shop.sslctl("audit", "list", "--actor", "(script)", "--json").json["events"] == events
    assert shop.sslctl("audit", "list", "--actor", "nobody").stdout == ""
    unknown = shop.sslctl("audit", "list", "--domain", "unknown.example.com")
    assert unknown.exit_code == NotManaged.exit_code
