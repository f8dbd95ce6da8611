"""`sslctl list` of a fleet is written as it is read: the first page at once, and nothing of it held back or lost."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from tests.support.cdn import Cdn

NAMES = sorted(f"{'x' * (number % 50)}{number:04}.example.com" for number in range(2500))
_PATIENCE_SECONDS = 20


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    store = cdn.app().store
    store.enrol_many(NAMES)
    store.close()
    return cdn


def start(fleet: Cdn, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sslctl", "list", *options],
        env={**os.environ, "SSLCTL_CONFIG": str(fleet.config_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("options", [[], ["--json"], ["--csv"]], ids=["table", "json", "csv"])
def test_a_reader_that_leaves_after_the_first_page_is_no_trouble(fleet: Cdn, options: list[str]) -> None:
    """`sslctl list | head`: the rest does not fit into the pipe."""
    with start(fleet, *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(_PATIENCE_SECONDS) == 0


def test_others_write_while_the_reader_is_at_the_first_page(fleet: Cdn) -> None:
    with start(fleet) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("DOMAIN ")
        assert fleet.sslctl("add", "--no-wait", "zzz.example.com").exit_code == 3
        names = [line.split()[0] for line in process.stdout]
        assert process.wait(_PATIENCE_SECONDS) == 0
    assert names == NAMES


def test_every_domain_stands_on_a_line_of_its_own(fleet: Cdn) -> None:
    result = fleet.sslctl("list", "--json")
    head, *lines, end = result.stdout.splitlines()
    assert json.loads(f"{head}{end}")["domains"] == []
    assert [json.loads(line.removesuffix(","))["domain"] for line in lines] == NAMES
    assert [domain["domain"] for domain in result.json["domains"]] == NAMES


def test_the_table_lines_up_from_the_first_row_to_the_last(fleet: Cdn) -> None:
    header, *rows = fleet.sslctl("list").stdout.splitlines()
    assert [row.split()[0] for row in rows] == NAMES
    assert {row.index("Pending") for row in rows} == {header.index("STATUS")}
    assert {row.index("QUEUED") for row in rows} == {header.index("REASON")}


def test_csv_has_one_header_and_every_domain(fleet: Cdn) -> None:
    rows = list(csv.DictReader(io.StringIO(fleet.sslctl("list", "--csv").stdout, newline="")))
    assert [row["domain"] for row in rows] == NAMES
