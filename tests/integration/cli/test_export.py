"""`sslctl export`: inventory and history as CSV, JSON lines and calendars, for programs and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.text import instant
from tests.support.calendar_file import read_calendar
from tests.support.cdn import Cdn

NOTE = '=HYPERLINK("x"), "a;b\\c" 客户'


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """A served domain, one with a text certificate, one without any certificate, and a deleted one."""
    for name in ("shop", "www.shop", "text", "gone"):
        cdn.add_domain(f"{name}.example.com")
    cdn.add_domain("lost.example.com", points_at="elsewhere.test")
    cdn.sslctl("add", "shop.example.com", "--san", "www.shop.example.com")
    cdn.sslctl("add", "gone.example.com")
    cdn.sslctl("add", "text.example.com", *cdn.paste(cdn.text_pair("text.example.com", days=10)))
    cdn.sslctl("add", "lost.example.com")
    cdn.sslctl("note", "text.example.com", NOTE)
    cdn.sslctl("customer", "text.example.com", "Acme, Inc.")
    cdn.sslctl("delete", "gone.example.com", "--yes")
    return cdn


def export(cdn: Cdn, *arguments: str) -> str:
    """Return standard output of an export that must succeed without a word on standard error."""
    result = cdn.sslctl("export", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_inventory_is_the_list_as_csv_or_as_one_object_on_each_line(fleet: Cdn) -> None:
    assert export(fleet, "inventory") == fleet.sslctl("list", "--csv").stdout
    domains = fleet.sslctl("list", "--json").json["domains"]
    assert json_lines(export(fleet, "inventory", "--format", "jsonl")) == domains
    assert [each["domain"] for each in domains] == [
        "lost.example.com",
        "shop.example.com",
        "text.example.com",
    ]


def test_inventory_takes_the_pattern_and_the_filters_of_list(fleet: Cdn) -> None:
    def exported(*options: str) -> list[str]:
        found = json_lines(export(fleet, "inventory", "--format", "jsonl", *options))
        return [each["domain"].partition(".")[0] for each in found]

    assert exported("s*") == ["shop"]
    assert exported("--source", "text") == ["text"]
    assert exported("--status", "Failure", "--status", "Success") == ["lost", "shop", "text"]
    assert exported("--customer", "Acme, Inc.") == ["text"]
    assert exported("--expiring-within", "2w") == ["text"]
    assert exported("--deleted") == ["gone"]
    refused = fleet.sslctl("export", "inventory", "--deleted", "--status", "Failure")
    assert (refused.exit_code, "deleted domains have no status" in refused.stderr) == (2, True)


def test_spreadsheet_does_not_run_a_note_and_gets_it_back_whole(fleet: Cdn) -> None:
    rows = list(csv.DictReader(io.StringIO(export(fleet, "inventory", "--source", "text"), newline="")))
    assert [(row["domain"], row["note"], row["customer"]) for row in rows] == [
        ("text.example.com", f"'{NOTE}", "Acme, Inc.")
    ]


def test_calendar_has_the_expiry_of_each_certificate(fleet: Cdn) -> None:
    calendar = read_calendar(export(fleet, "inventory", "--format", "ics").encode())
    assert set(calendar.events) == {
        "shop.example.com: the certificate expires",
        "text.example.com: the certificate expires",
    }
    text = calendar.events["text.example.com: the certificate expires"]
    (expires_at,) = [
        each["expires_at"]
        for each in fleet.sslctl("list", "--json").json["domains"]
        if each["domain"] == "text.example.com"
    ]
    assert text["DTSTART"] == expires_at.replace("-", "").replace(":", "")
    assert text["DTSTAMP"] == instant(fleet.clock()).replace("-", "").replace(":", "")
    assert text["DESCRIPTION"].splitlines() == [
        "Status: Success",
        "Served: valid, 10 days left",
        "Renewal: none; a person must add a new certificate",
        "Customer: Acme, Inc.",
        f"Note: {NOTE}",
        "More: sslctl view text.example.com",
    ]
    shop = calendar.events["shop.example.com: the certificate expires"]["DESCRIPTION"]
    assert "Renewal: sslctl renews the certificate\nOther names: www.shop.example.com\n" in shop
    # No alarms: a calendar of thousands would ring all day.
    assert not [each for event in calendar.inside for each in event.inside]


def test_next_import_of_a_calendar_replaces_the_entries_by_later_ones(fleet: Cdn) -> None:
    def shop() -> dict[str, str]:
        calendar = read_calendar(export(fleet, "inventory", "shop", "--format", "ics").encode())
        return calendar.events["shop.example.com: the certificate expires"]

    before = shop()
    fleet.clock.move(days=84)
    fleet.sslctl("daemon-tick")
    after = shop()
    assert before["UID"] == after["UID"]
    for name in ("DTSTART", "DTSTAMP"):
        assert before[name] < after[name]
    assert int(before["SEQUENCE"]) < int(after["SEQUENCE"]) < 1 << 31
    every = read_calendar(export(fleet, "inventory", "--format", "ics").encode()).events.values()
    assert len({event["UID"] for event in every}) == len(every) == 2


def test_calendar_is_valid_if_nothing_expires(fleet: Cdn, tmp_path: Path) -> None:
    file = tmp_path / "expiry.ics"
    result = fleet.sslctl("export", "inventory", "lost", "-o", str(file))
    assert result.exit_code == 0
    assert result.stdout == (
        f"{file}: 0 domains, 1 without a certificate left out, {file.stat().st_size} bytes\n"
    )
    assert read_calendar(file.read_bytes()).events == {}
    refused = fleet.sslctl("export", "inventory", "--deleted", "--format", "ics")
    assert (refused.exit_code, "a calendar has no deleted domains" in refused.stderr) == (2, True)


def test_history_is_the_audit_trail(fleet: Cdn) -> None:
    events = fleet.sslctl("audit", "list", "--json").json["events"]
    assert json_lines(export(fleet, "history", "--format", "jsonl")) == events
    rows = list(csv.DictReader(io.StringIO(export(fleet, "history"), newline="")))
    assert [int(row["id"]) for row in rows] == [event["id"] for event in events]
    assert {row["kind"] for row in rows} >= {"added", "issued", "serving", "deleted"}
    assert {row["version"] for row in rows} == {"", "1"}
    entries = read_calendar(export(fleet, "history", "--format", "ics").encode()).inside
    assert len({each.properties["UID"] for each in entries}) == len(events)
    assert [each.properties["DTSTART"] for each in entries] == [
        event["at"].replace("-", "").replace(":", "") for event in events
    ]


def test_history_is_restricted_by_time_actor_domain_and_the_filters_of_list(fleet: Cdn) -> None:
    def domains(*options: str) -> set[str | None]:
        found = json_lines(export(fleet, "history", "--format", "jsonl", *options))
        return {each["domain"] and each["domain"].partition(".")[0] for each in found}

    assert domains() >= {"shop", "text", "lost", "gone"}
    assert domains("--domain", "GONE.example.com") == {"gone"}
    assert domains("--match", "o") == {"shop", "lost", "gone", "text"}
    assert domains("--match", "gone") == {"gone"}
    assert domains("--source", "text") == {"text"}
    assert domains("--status", "Failure") == {"lost"}
    assert domains("--status", "Failure", "--domain", "shop.example.com") == set()
    assert domains("--actor", "nobody") == domains("--since", "2030-01-01") == set()
    unknown = fleet.sslctl("export", "history", "--domain", "unknown.example.com")
    assert (unknown.exit_code, "was never managed here" in unknown.stderr) == (9, True)


@pytest.mark.parametrize("what", ["inventory", "history"])
def test_empty_selection_is_reported_and_exported(fleet: Cdn, what: str) -> None:
    result = fleet.sslctl("export", what, "--customer", "Acme Inc")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert result.stderr == (
        "No domains match: --customer 'Acme Inc'. Customers with a similar name: Acme, Inc.\n"
    )


def test_file_has_the_format_of_its_ending_and_no_key(fleet: Cdn, tmp_path: Path) -> None:
    endings = {"csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "ics": "ics", "CSV": "csv", "txt": "csv"}
    for what in ("inventory", "history"):
        for ending, kind in endings.items():
            file = tmp_path / f"{what}.{ending}"
            answer = fleet.sslctl("export", what, "-o", str(file), "--json").json
            assert (answer["format"], answer["bytes"]) == (kind, file.stat().st_size)
            printed = export(fleet, what, "--format", kind)
            assert file.read_bytes().decode() == printed
            assert "PRIVATE KEY" not in printed
            assert file.stat().st_mode & 0o777 == 0o600
            assert answer["left_out"] == (1 if (what, ending) == ("inventory", "ics") else 0)
            if kind == "jsonl":
                assert answer["rows"] == len(printed.splitlines())


def test_file_is_replaced_only_if_asked_and_nothing_lies_beside_it(fleet: Cdn, tmp_path: Path) -> None:
    file = tmp_path / "out" / "fleet.csv"
    file.parent.mkdir()
    file.write_text("mine")
    refused = fleet.sslctl("export", "inventory", "-o", str(file))
    assert (refused.exit_code, "--force overwrites it" in refused.stderr) == (2, True)
    assert file.read_text() == "mine"
    result = fleet.sslctl("export", "inventory", "-o", str(file), "--force")
    assert (result.exit_code, result.stdout) == (0, f"{file}: 3 domains, {file.stat().st_size} bytes\n")
    assert fleet.sslctl("export", "inventory", "-o", "-", "--json").exit_code == 2
    assert export(fleet, "inventory", "-o", "-") == file.read_bytes().decode()
    assert list(file.parent.iterdir()) == [file]


def test_file_that_is_no_regular_one_is_never_replaced(fleet: Cdn, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "folder").mkdir(parents=True)
    os.mkfifo(out / "pipe")
    for command in ("export inventory -o", "report"):
        for path, problem in (
            ("pipe", "it is no regular file"),
            ("folder", "it is no regular file"),
            ("none/fleet.csv", "No such file"),
            ("x" * 300, "File name too long"),
        ):
            result = fleet.sslctl(*command.split(), str(out / path), "--force")
            assert (result.exit_code, problem in result.stderr) == (2, True)
    assert sorted(out.iterdir()) == [out / "folder", out / "pipe"]


def test_export_of_many_domains_is_written_in_blocks(cdn: Cdn) -> None:
    names = sorted(f"d{number:04}.example.com" for number in range(1100))
    store = cdn.app().store
    store.add_domains(names)
    store.close()
    assert [each["domain"] for each in json_lines(export(cdn, "inventory", "--format", "jsonl"))] == names
    cdn.clock.move(hours=1)
    events = json_lines(export(cdn, "history", "--format", "jsonl", "--match", "d1"))
    assert [each["domain"] for each in events] == [name for name in names if name.startswith("d1")]
    since = instant(cdn.clock() - timedelta(minutes=1))
    assert export(cdn, "history", "--since", since).splitlines() == ["id,at,actor,domain,kind,detail,version"]
