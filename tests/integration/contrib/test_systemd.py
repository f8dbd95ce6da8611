"""contrib/systemd: what systemd itself says of the units."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.errors import Exit
from tests.support import ROOT

FOLDER = ROOT / "contrib" / "systemd"
SERVICE = FOLDER / "sslctl.service"

pytestmark = pytest.mark.systemd


def analyze(*arguments: str) -> str:
    result = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def settings(path: Path = SERVICE) -> dict[str, list[str]]:
    """Give each setting with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program that there is on this machine."""
    for unit in ("sslctl.service", "sslctl.timer"):
        text = (FOLDER / unit).read_text().replace("/usr/local/bin/sslctl", sys.executable)
        (tmp_path / unit).write_text(text)
    return tmp_path


def exposure(unit: Path) -> float:
    found = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", str(unit)))
    assert found is not None
    return float(found[1])


def test_systemd_finds_no_fault_with_the_units(installed: Path) -> None:
    output = analyze("verify", "--man=no", str(installed / "sslctl.service"), str(installed / "sslctl.timer"))
    assert [line for line in output.splitlines() if "sslctl" in line] == []


def test_the_service_is_little_exposed() -> None:
    assert exposure(SERVICE) <= 1.6


def test_in_standalone_mode_it_is_hardly_more(tmp_path: Path) -> None:
    both = SERVICE.read_text() + (FOLDER / "standalone.conf").read_text()
    (tmp_path / "sslctl.service").write_text(both)
    assert exposure(tmp_path / "sslctl.service") <= 1.8


def test_the_timer_meets_midnight_in_singapore() -> None:
    first, second = settings(FOLDER / "sslctl.timer")["OnCalendar"]
    analyzed = analyze("calendar", "--base-time=2026-11-23 04:00:00 UTC", "--iterations=2", first)
    moments = re.findall(r"(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d) UTC", analyzed)
    assert [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in dict.fromkeys(moments)] == [
        datetime(2026, 11, 23, 16, tzinfo=UTC),
        datetime(2026, 11, 24, 16, tzinfo=UTC),
    ]
    assert "*-*-* *:00:00" in analyze("calendar", second)


def test_the_timer_is_neither_early_nor_late_nor_forgetful() -> None:
    timer = settings(FOLDER / "sslctl.timer")
    assert timer["Persistent"] == ["true"]
    assert timer["RandomizedDelaySec"] == ["0"]
    assert timer["AccuracySec"] == ["1s"]


def test_what_a_tick_found_fails_no_unit_and_what_stopped_it_does() -> None:
    codes = set(map(int, settings()["SuccessExitStatus"][0].split()))
    assert codes == {Exit.SOME_NOT_WELL, Exit.EMERGENCY}


def test_who_claims_a_domain_can_be_seen_by_the_tick() -> None:
    """Behind hidepid a process of another user namespace is invisible, and its claims would count for nothing."""
    assert "ProtectProc" not in settings()


def test_no_secret_is_in_the_environment() -> None:
    given = settings()
    names = {each.partition(":")[0] for each in given["LoadCredential"]}
    for variable in given["Environment"]:
        name, _, value = variable.partition("=")
        assert name.endswith("_FILE")
        assert value.removeprefix("%d/") in names
