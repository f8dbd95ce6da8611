"""contrib/systemd: the units, checked with systemd-analyze."""

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
        ["systemd-analyze", "--no-pager", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def settings(path: Path = SERVICE) -> dict[str, list[str]]:
    """Return each setting with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program that exists on this machine."""
    for unit in ("sslctl.service", "sslctl.timer"):
        text = (FOLDER / unit).read_text().replace("/usr/local/bin/sslctl", sys.executable)
        (tmp_path / unit).write_text(text)
    return tmp_path


def exposure(unit: Path) -> float:
    found = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", str(unit)))
    assert found is not None
    return float(found[1])


def test_systemd_analyze_verify_finds_no_problem_in_the_units(installed: Path) -> None:
    output = analyze("verify", "--man=no", str(installed / "sslctl.service"), str(installed / "sslctl.timer"))
    assert [line for line in output.splitlines() if "sslctl" in line] == []


def test_service_exposure_level_is_at_most_1_6() -> None:
    assert exposure(SERVICE) <= 1.6


def test_service_exposure_level_in_standalone_mode_is_at_most_1_8(tmp_path: Path) -> None:
    both = SERVICE.read_text() + (FOLDER / "standalone.conf").read_text()
    (tmp_path / "sslctl.service").write_text(both)
    assert exposure(tmp_path / "sslctl.service") <= 1.8


def test_timer_triggers_at_midnight_in_singapore_and_every_full_hour() -> None:
    first, second = settings(FOLDER / "sslctl.timer")["OnCalendar"]
    analyzed = analyze("calendar", "--base-time=2026-11-23 04:00:00 UTC", "--iterations=2", first)
    moments = re.findall(r"(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d) UTC", analyzed)
    assert [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in dict.fromkeys(moments)] == [
        datetime(2026, 11, 23, 16, tzinfo=UTC),
        datetime(2026, 11, 24, 16, tzinfo=UTC),
    ]
    assert "*-*-* *:00:00" in analyze("calendar", second)


def test_timer_is_persistent_and_exact() -> None:
    timer = settings(FOLDER / "sslctl.timer")
    assert timer["Persistent"] == ["true"]
    assert timer["RandomizedDelaySec"] == ["0"]
    assert timer["AccuracySec"] == ["1s"]


def test_success_exit_status_contains_only_the_codes_of_findings() -> None:
    codes = set(map(int, settings()["SuccessExitStatus"][0].split()))
    assert codes == {Exit.SOME_NOT_WELL, Exit.EMERGENCY}


def test_service_does_not_hide_other_processes() -> None:
    """With hidepid a process of another user namespace is invisible, and its claims would be ignored."""
    assert "ProtectProc" not in settings()


def test_service_environment_contains_no_secret() -> None:
    given = settings()
    names = {each.partition(":")[0] for each in given["LoadCredential"]}
    for variable in given["Environment"]:
        name, _, value = variable.partition("=")
        assert name.endswith("_FILE")
        assert value.removeprefix("%d/") in names
