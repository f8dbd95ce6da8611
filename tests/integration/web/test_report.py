"""`sslctl report`: one static file with what is not well, and nothing that could act or leak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.fakes import Clock
from tests.support.html_page import Page
from tests.support.site_cases import ELSEWHERE, HOSTILE, WELL, write_config


def report(folder: Path, file: Path, *options: str) -> int:
    return run(["report", str(file), *options], App(write_config(folder), Clock()))


def test_report_lists_what_is_not_well_without_scripts_links_and_keys(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fleet.html"
    assert report(filled, file, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    html = file.read_text()
    assert (answer["file"], answer["bytes"]) == (str(file), len(html.encode()))
    assert file.stat().st_mode & 0o777 == 0o600
    page = Page(html)
    assert not [
        each for each in page.elements if each.tag in ("script", "link", "a", "form", "img", "button")
    ]
    assert not [
        key
        for each in page.elements
        for key in each.attributes
        if key.startswith("on") or key in ("href", "src")
    ]
    names = [
        each.text.split()[0]
        for each in page.find("th", class_="domain")
        if each.inside[-3:-1] == ("table", "tbody")
    ]
    assert len(names) == answer["unwell"] < answer["domains"]
    assert ELSEWHERE in names
    assert WELL not in names
    assert HOSTILE in " ".join(each.attributes.get("title", "") for each in page.elements)
    assert len(page.find("figure")) == 3
    assert "PRIVATE KEY" not in html


def test_report_is_written_in_chinese_and_replaces_a_file_only_if_asked(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fleet.html"
    assert report(filled, file, "--lang", "zh") == 0
    page = Page(file.read_text())
    assert page.find("html", lang="zh-Hans")
    assert page.text_of("h1") == "SSL 报告"
    capsys.readouterr()
    assert report(filled, file) == 2
    assert "--force overwrites it" in capsys.readouterr().err
    assert "报告" in file.read_text()
    assert report(filled, file, "--force") == 0
    assert "报告" not in file.read_text()
    assert report(filled, tmp_path / "missing" / "fleet.html") == 2
