"""The alert rules and the dashboard of contrib/monitoring: valid, tested by promtool, and about metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sslctl.metrics.families import METRICS
from sslctl.rules.reasons import Owner, Status
from tests.support.programs import find_program

FOLDER = Path(__file__).parents[3] / "contrib" / "monitoring"
NAMES = {metric.name for metric in METRICS}
LABELS: dict[str, set[str]] = {"owner": set(Owner), "status": set(Status)}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find_program("promtool") or ""
    return subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)


def rules(file: str = "sslctl.rules.yml") -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load((FOLDER / file).read_text())["groups"] for rule in group["rules"]
    ]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "sslctl-dashboard.json").read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


@pytest.mark.promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    tested = promtool("test", "rules", "sslctl.rules.test.yml")
    assert (tested.returncode, tested.stderr) == (0, "")


@pytest.mark.promtool
def test_promtool_parses_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel:{number}", "expr": expr.replace("$instance", ".*")}
        for number, expr in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    checked = promtool("check", "rules", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")


def test_expressions_use_only_metrics_and_label_values_that_exist() -> None:
    used = set()
    for expr in expressions():
        used |= set(re.findall(r"\bsslctl_\w+", expr))
        for label, values in re.findall(r'(owner|status)!?=~?"([^"]+)"', expr):
            assert set(values.split("|")) <= LABELS[label]
    assert used <= NAMES
    assert used == NAMES, "a metric that no alert and no panel shows"


def test_each_alert_has_a_severity_a_test_and_words() -> None:
    tests = yaml.safe_load((FOLDER / "sslctl.rules.test.yml").read_text())["tests"]
    fired = {test["alertname"] for case in tests for test in case["alert_rule_test"] if test["exp_alerts"]}
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["alert"] in fired


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
