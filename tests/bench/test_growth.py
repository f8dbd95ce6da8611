"""The simulation of growth: with the least number of renewals a day none is late, and with fewer some are."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.simulate_growth import FLEETS, Growth
from tests.support import ROOT, environment


def test_no_certificate_of_ten_million_domains_expires_with_the_least_number_a_day() -> None:
    script = ROOT / "tests" / "bench" / "simulate_growth.py"
    result = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"{domains:,}" for domains, _ in FLEETS]
    assert {row[-1] for row in rows} == {"0"}


def test_fewer_renewals_a_day_than_the_least_are_late_or_too_many() -> None:
    fleet = Growth(100_000, 10)
    least = fleet.least_a_day()
    fewer = least * 9 // 10
    assert not any(day.late or day.renewals > least for day in fleet.days(least))
    assert any(day.late or day.renewals > fewer for day in fleet.days(fewer))


def test_fleet_that_arrives_slowly_needs_about_its_average() -> None:
    assert Growth(1_000_000, 10).least_a_day() < 1.05 * 1_000_000 / 38


def test_documentation_has_the_table_that_the_simulation_prints() -> None:
    script = ROOT / "tests" / "bench" / "simulate_growth.py"
    printed = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, check=True
    )
    assert printed.stdout in (ROOT / "docs" / "growth.md").read_text()
