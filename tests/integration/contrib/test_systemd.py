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
PAGE = FOLDER / "sslctl-page.service"
UNITS = ("sslctl.service", "sslctl.timer", "sslctl-failed.service", "sslctl-page.service")

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
    for unit in UNITS:
        text = (FOLDER / unit).read_text().replace("/usr/local/bin/sslctl", sys.executable)
        text = text.replace("#OnFailure=", "OnFailure=")
        (tmp_path / unit).write_text(text)
    return tmp_path


def exposure(unit: Path) -> float:
    found = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", str(unit)))
    assert found is not None
    return float(found[1])


def test_systemd_analyze_verify_finds_no_problem_in_the_units(installed: Path) -> None:
    output = analyze("verify", "--man=no", *(str(installed / unit) for unit in UNITS))
    assert [line for line in output.splitlines() if "sslctl" in line] == []


@pytest.mark.parametrize("unit", [SERVICE, PAGE])
def test_service_exposure_level_is_at_most_1_6(unit: Path) -> None:
    assert exposure(unit) <= 1.6


def test_service_exposure_level_in_standalone_mode_is_at_most_1_8(tmp_path: Path) -> None:
    both = SERVICE.read_text() + (FOLDER / "standalone.conf").read_text()
    (tmp_path / "sslctl.service").write_text(both)
    assert exposure(tmp_path / "sslctl.service") <= 1.8


def test_timer_triggers_at_midnight_in_singapore_and_every_5_minutes() -> None:
    first, second = settings(FOLDER / "sslctl.timer")["OnCalendar"]
    analyzed = analyze("calendar", "--base-time=2026-11-23 04:00:00 UTC", "--iterations=2", first)
    moments = re.findall(r"(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d) UTC", analyzed)
    assert [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in dict.fromkeys(moments)] == [
        datetime(2026, 11, 23, 16, tzinfo=UTC),
        datetime(2026, 11, 24, 16, tzinfo=UTC),
    ]
    assert "*-*-* *:00/5:00" in analyze("calendar", second)


def test_timer_is_persistent_and_exact() -> None:
    timer = settings(FOLDER / "sslctl.timer")
    assert timer["Persistent"] == ["true"]
    assert timer["RandomizedDelaySec"] == ["0"]
    assert timer["AccuracySec"] == ["1s"]


def test_on_failure_names_a_unit_that_uses_nothing_of_sslctl() -> None:
    failed = FOLDER / "sslctl-failed.service"
    assert f"#OnFailure={failed.name}\n" in SERVICE.read_text()
    commands = settings(failed)["ExecStart"]
    assert all(command.removeprefix("-").startswith("/bin/sh -c ") for command in commands)
    assert not [command for command in commands if "sslctl daemon-tick" in command or "bin/sslctl" in command]


def test_every_exit_code_of_a_tick_is_explained() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    table = operations.partition("## Exit codes of a tick")[2].partition("\n## ")[0]
    fails = {int(row[0]): row[2] for line in table.splitlines() if (row := _cells(line)) and row[0].isdigit()}
    succeeds = set(map(int, settings()["SuccessExitStatus"][0].split())) | {0}
    assert {code for code, fails_unit in fails.items() if fails_unit == "no"} == succeeds
    assert {Exit.TRY_LATER, Exit.UNUSABLE, Exit.BUG, Exit.INTERRUPTED} == {
        code for code, fails_unit in fails.items() if fails_unit == "yes"
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("|") else []


def test_success_exit_status_contains_only_the_codes_of_findings() -> None:
    codes = set(map(int, settings()["SuccessExitStatus"][0].split()))
    assert codes == {Exit.SOME_NOT_WELL, Exit.EMERGENCY}


@pytest.mark.parametrize("unit", [SERVICE, PAGE])
def test_service_does_not_hide_other_processes(unit: Path) -> None:
    """With hidepid a process of another user namespace is invisible, and its claims would be ignored."""
    assert "ProtectProc" not in settings(unit)


def test_page_listens_where_the_example_of_nginx_connects() -> None:
    page, nginx = settings(PAGE), (ROOT / "contrib" / "nginx" / "sslctl-page.conf").read_text()
    [start] = page["ExecStart"]
    path = start.rpartition(" ")[2]
    assert path.startswith(f"/run/{page['RuntimeDirectory'][0]}/")
    assert f"proxy_pass http://unix:{path}:;" in nginx
    assert f'socket_group = "{page["SupplementaryGroups"][0]}"' in nginx


@pytest.mark.parametrize("unit", [SERVICE, PAGE])
def test_service_environment_contains_no_secret(unit: Path) -> None:
    given = settings(unit)
    names = {each.partition(":")[0] for each in given["LoadCredential"]}
    for variable in given["Environment"]:
        name, _, value = variable.partition("=")
        assert name.endswith("_FILE")
        assert value.removeprefix("%d/") in names
