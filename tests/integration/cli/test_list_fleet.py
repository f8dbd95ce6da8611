"""`sslctl list` of many domains streams its output: the first page is written at once, and no domain is lost."""

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
    store.add_domains(NAMES)
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
def test_list_exits_with_0_when_the_reader_closes_the_pipe_after_the_first_page(
    fleet: Cdn, options: list[str]
) -> None:
    """`sslctl list | head`: the rest does not fit into the pipe."""
    with start(fleet, *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(_PATIENCE_SECONDS) == 0


def test_list_does_not_block_writers_while_its_reader_is_slow(fleet: Cdn) -> None:
    with start(fleet) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("DOMAIN ")
        assert fleet.sslctl("add", "--no-wait", "zzz.example.com").exit_code == 0
        names = [line.split()[0] for line in process.stdout]
        assert process.wait(_PATIENCE_SECONDS) == 0
    assert names == NAMES


def test_list_json_writes_one_domain_per_line(fleet: Cdn) -> None:
    result = fleet.sslctl("list", "--json")
    head, *lines, end = result.stdout.splitlines()
    around = json.loads(f"{head}{end}")
    assert (around["domains"], around["counts"]["listed"]) == ([], len(NAMES))
    assert [json.loads(line.removesuffix(","))["domain"] for line in lines] == NAMES
    assert [domain["domain"] for domain in result.json["domains"]] == NAMES


def test_list_table_columns_are_aligned_in_every_row(fleet: Cdn) -> None:
    header, *rows = fleet.sslctl("list").stdout.splitlines()
    assert [row.split()[0] for row in rows] == NAMES
    assert {row.index("Pending") for row in rows} == {header.index("STATUS")}
    assert {row.index("QUEUED") for row in rows} == {header.index("REASON")}


def test_list_csv_has_one_header_and_every_domain(fleet: Cdn) -> None:
    rows = list(csv.DictReader(io.StringIO(fleet.sslctl("list", "--csv").stdout, newline="")))
    assert [row["domain"] for row in rows] == NAMES
