"""The documentation covers the code: commands, options, reasons, keys, events, exit codes, paths and links."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import click
import pytest

from sslctl.cli.main import COMMANDS, sslctl
from sslctl.config import settings
from sslctl.errors import Exit
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from tests.support import ROOT, environment

_FOLDERS = ("contrib", "docs", "sslctl", "tests")
PAGES = [*ROOT.glob("*.md"), *(page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.md"))]
README = (ROOT / "README.md").read_text()
JSON = (ROOT / "docs" / "json.md").read_text()

_LINK = re.compile(r"\]\(([^)\s]+)\)")
# A name in backticks that is a path of this repository: below one of its folders, or a file in its root.
_PATH = re.compile(rf"(?:\.ci|{'|'.join(_FOLDERS)})/[\w./*-]*|[\w-]+\.(?:py|md|toml|yaml|json)|Makefile")
_TEST = re.compile(r"test_\w+")


def _name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_generated_parts_of_the_documentation_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=_name_of)
def test_every_link_points_to_an_existing_file_and_heading(page: Path) -> None:
    links = [link for link in _LINK.findall(_without_code(page.read_text())) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def _without_code(text: str) -> str:
    """Return Markdown `text` without its code blocks and code spans: what looks like a link there is none."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target.read_text())


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of Markdown `text`."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    anchors: set[str] = set()
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = sum(1 for known in anchors if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known))
        anchors.add(f"{anchor}-{number}" if number else anchor)
    return anchors


def test_link_check_rejects_missing_files_and_headings(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `code` heading: yes\n\n# Twice\n\n# Twice\n\n```\n# no heading\n```\n")
    for link in ("page.md", "#one-code-heading-yes", "page.md#twice", "#twice-1", "../" + tmp_path.name):
        assert _leads_somewhere(page, link), link
    for link in ("other.md", "#none", "page.md#twice-2", "#no-heading"):
        assert not _leads_somewhere(page, link), link


def test_readme_stays_short() -> None:
    assert len(README.split()) <= 2300


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_and_test_named_in_backticks_exists(page: str) -> None:
    named = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text())
    paths = [name for name in named if _PATH.fullmatch(name)]
    assert len(paths) > 20
    assert [path for path in paths if not list(ROOT.glob(path))] == []
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in named if _TEST.fullmatch(name) and f"def {name}(" not in source] == []


def _commands() -> list[click.Command]:
    context = click.Context(sslctl)
    found = [sslctl.get_command(context, name) for name in COMMANDS]
    groups = [command for command in found if isinstance(command, click.Group)]
    return [command for command in found if command] + [
        child for group in groups for child in group.commands.values()
    ]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command.name)
def test_every_command_and_option_has_a_help_text(command: click.Command) -> None:
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{command.name} {parameter.opts}"


def test_readme_overview_lists_every_command() -> None:
    for name in COMMANDS:
        assert re.search(rf"sslctl {name}\b", README), name


def test_every_code_has_a_reason_and_every_owner_is_used() -> None:
    assert set(REASONS) == set(Code)
    assert {reason.owner for reason in REASONS.values()} == set(Owner)


def test_every_status_and_exit_code_is_documented() -> None:
    for status in Status:
        assert f"| {status} |" in README
    for code in Exit:
        assert re.search(rf"^\| {code.value} \|", README, re.MULTILINE), code


def test_example_configuration_lists_every_key_with_its_default() -> None:
    example = ROOT / "docs" / "config.example.toml"
    assert settings.load(example, {}) == settings.Config(path=example)
    section = ""
    named = set()
    for line in example.read_text().splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        if match := re.match(r"(\w+) = ", line):
            named.add((section, match[1]))
    # An empty array could not be extended by the tables that an operator adds.
    for section, key in settings.ARRAYS_OF_TABLES:
        assert f"\n#[[{section}.{key}]]\n" in example.read_text()
        named.add((section, key))
    assert named == {(section, key) for section, key, _ in settings.keys()}


def test_every_event_kind_is_documented() -> None:
    """Events are written with literal kinds, in the store, the pipeline and the commands."""
    written = set()
    for path in (ROOT / "sslctl").rglob("*.py"):
        text = path.read_text()
        written |= set(re.findall(r'_append_event\(\s*\w+(?:\.\w+)?, "([^"]+)"', text))
        written |= set(re.findall(r'_append_general_event\(\w+, "([^"]+)"', text))
        written |= set(re.findall(r'\.record_event\(\s*\w+, "([^"]+)"', text))
        written |= set(re.findall(r'self\._stamp\(\w+, "\w+", "([^"]+)"', text))
    written |= {"issued", "pasted"}
    assert len(written) > 10
    assert {kind for kind in written if f"`{kind}`" not in JSON} == set()


def test_crontab_runs_every_5_minutes_and_explains_why() -> None:
    crontab = (ROOT / "contrib" / "cron" / "sslctl").read_text()
    lines = [
        line
        for line in crontab.splitlines()
        if line and not line.startswith("#") and "=" not in line.split()[0]
    ]
    assert lines == ["*/5 * * * * root sslctl daemon-tick -q"]
    assert "CRON_TZ" in crontab
    assert not re.search(r"^CRON_TZ", crontab, re.MULTILINE)


def test_run_every_5_minutes_hits_midnight_in_singapore_in_every_zone() -> None:
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    zones = sorted(available_timezones())
    assert len(zones) > 300
    assert [zone for zone in zones if midnight.astimezone(ZoneInfo(zone)).minute % 5] == []
