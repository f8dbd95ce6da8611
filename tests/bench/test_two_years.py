"""The simulation of two years and a million domains: with spreading nothing expires, without it a cohort does."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT, environment

SCRIPT = ROOT / "tests" / "bench" / "simulate_two_years.py"


def test_no_certificate_of_a_million_domains_expires_with_spreading_and_some_do_without() -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    ends = {tuple(row[:3]): (row[3], row[-2], row[-1]) for row in rows if len(row) == 10}
    assert ends["published", "27,000", "yes"] == ("1,000,000", "0", "never")
    assert ends["raised", "27,000", "yes"] == ("1,000,000", "0", "never")
    assert ends["raised", "27,000", "no"] == ("1,000,000", "443,140", "2027-05-06")
