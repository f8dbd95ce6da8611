"""The DNS records to set, in the outputs of the commands."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.support.cdn import Cdn
from tests.support.store_cases import database_of, look_into

NAME, WWW, TARGET = "shop.example.com", "www.example.com", "shop.example.com.cdn.test"


def shown_records(cdn: Cdn) -> str:
    """Return what is in the CSV column `records` of the only domain."""
    (row,) = csv.DictReader(io.StringIO(cdn.sslctl("list", "--csv").stdout))
    return row["records"]


def test_records_of_each_name_are_in_json_csv_and_view(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.zone.add(WWW, "CNAME", "other.elsewhere.test")
    added = cdn.sslctl("add", NAME, "--san", WWW, "--json").json["domains"][0]
    wanted = [
        {"type": "CNAME", "name": NAME, "current": ["parking.elsewhere.test"], "wanted": [TARGET]},
        {"type": "CNAME", "name": WWW, "current": ["other.elsewhere.test"], "wanted": [TARGET]},
    ]
    assert added["reason"]["records"] == wanted
    assert cdn.sslctl("list", "--json").json["domains"][0]["reason"]["records"] == wanted
    assert shown_records(cdn) == f"CNAME {NAME} -> {TARGET}; CNAME {WWW} -> {TARGET}"
    assert "\nRecords to set\n" in cdn.sslctl("view", NAME).stdout


def test_view_shows_each_value_on_a_line_of_its_own(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.zone.add("example.com", "CAA", '0 issue "pki.example"', '0 iodef "mailto:a@b.test"')
    cdn.sslctl("add", NAME)
    lines = cdn.sslctl("view", NAME).stdout.splitlines()
    place = lines.index("Record to set")
    assert [line.rstrip() for line in lines[place + 2 : place + 5]] == [
        '  CAA   example.com  0 iodef "mailto:a@b.test"  0 iodef "mailto:a@b.test"',
        '                     0 issue "pki.example"      0 issue "ca.test"',
        '                                                0 issue "pki.example"',
    ]


def test_records_of_a_warning_are_shown_while_the_domain_is_in_success(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.zone.add(NAME, "CNAME", "parking.elsewhere.test")
    cdn.clock.move(days=8)
    cdn.sslctl("daemon-tick")
    domain = cdn.sslctl("view", NAME, "--json").json["domain"]
    assert domain["status"] == "Success"
    (warning,) = domain["warnings"]
    assert warning["records"][0]["wanted"] == [TARGET]
    assert shown_records(cdn) == f"CNAME {NAME} -> {TARGET}"


def test_records_of_an_expired_domain_are_those_of_what_prevents_the_renewal(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    cdn.zone.add(NAME, "CNAME", "parking.elsewhere.test")
    cdn.clock.move(days=400)
    reason = cdn.sslctl("recheck", NAME, "--json").json["domains"][0]["reason"]
    assert (reason["code"], reason["also"]) == ("CERT_EXPIRED", "CNAME_ELSEWHERE")
    assert reason["records"][0]["wanted"] == [TARGET]


def test_deleted_domain_has_no_records(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    cdn.sslctl("delete", NAME, "--yes")
    (row,) = csv.DictReader(io.StringIO(cdn.sslctl("list", "--deleted", "--csv").stdout))
    assert row["records"] == ""


@pytest.mark.parametrize(
    "stored", ["no JSON", "1", "[1]", "[[]]", '[["A", "a.test", "b", []]]', '[["A", 1, [], []]]', '["ABCD"]']
)
def test_damaged_records_end_the_command_with_8(cdn: Cdn, stored: str) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    with look_into(database_of(cdn.folder / "state")) as connection:
        connection.execute("UPDATE domain SET finding_records = ?", (stored,))
    assert cdn.sslctl("list").exit_code == 8


def test_hostile_records_are_cleaned(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    cdn.sslctl("add", NAME)
    hostile = "a\x1b[31mb\u202ec"
    with look_into(database_of(cdn.folder / "state")) as connection:
        stored = json.dumps([[hostile, hostile, [hostile], [hostile]]])
        connection.execute("UPDATE domain SET finding_records = ?", (stored,))
    for command in (["list", "--csv"], ["list", "--json"], ["view", NAME]):
        output = cdn.sslctl(*command).stdout
        assert "a b c" in output
        assert "\x1b" not in output
        assert "\u202e" not in output
