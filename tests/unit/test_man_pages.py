"""The manual pages: one for each command, with all its options, without a warning of groff, and found by `man`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import man_pages
import pytest

from sslctl.cli.main import COMMANDS, sslctl
from sslctl.config import settings
from sslctl.errors import Exit
from tests.support import ROOT
from tests.support.documented import install_data_files

_FOLDER = ROOT / "docs" / "man"
_PAGES = sorted(_FOLDER.iterdir())

needs_man = pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")


def _read(name: str) -> str:
    """Return a page without the escapes of roff for fonts and minus signs."""
    return re.sub(r"\\f[BIR]|\\(?=-)", "", (_FOLDER / f"{name}.1").read_text())


def _names(parameters: list[click.Parameter]) -> Iterator[str]:
    for parameter in parameters:
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)


def _render(*paths: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Format pages as for a dumb terminal, whose output has no sequences for fonts."""
    return subprocess.run(
        ["groff", "-man", "-ww", "-Tascii", "-P-cbou", *map(str, paths)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )


def test_there_is_one_page_for_sslctl_and_for_each_command() -> None:
    assert [page.name for page in _PAGES] == sorted(["sslctl.1", *(f"sslctl-{name}.1" for name in COMMANDS)])


@pytest.mark.parametrize("name", COMMANDS)
def test_page_has_every_option_of_the_command_and_of_its_subcommands(name: str) -> None:
    page = _read(f"sslctl-{name}")
    command = sslctl.get_command(click.Context(sslctl), name)
    assert command is not None
    children = command.commands.values() if isinstance(command, click.Group) else []
    for each in (command, *children):
        assert all(f"\n{option}" in page or f", {option}" in page for option in _names(each.params))
    assert all(f'.SS "sslctl {name} {child.name}' in page for child in children)


def test_page_of_sslctl_has_every_command_exit_code_and_variable() -> None:
    page = _read("sslctl")
    assert all(f"\nsslctl-{name}(1)\n{text}" in page for name, text in COMMANDS.items())
    assert all(f"\n.TP\n{code.value}\n" in page for code in Exit)
    variables = {
        f"SSLCTL_{section}_{key}".upper()
        for section, key, _ in settings.keys()
        if (section, key) not in settings.ARRAYS_OF_TABLES
    }
    assert variables <= set(re.findall(r"^SSLCTL_\w+$", page, re.MULTILINE))


def test_paragraph_of_a_help_text_that_keeps_its_lines_keeps_them_in_the_page() -> None:
    page = _read("sslctl-completion")
    assert "\n.nf\nbash, in \\(ti/.bashrc:\n  source <(sslctl completion bash)\n" in page


@needs_man
def test_groff_has_no_warning_about_a_page() -> None:
    assert _render(*_PAGES).stderr == ""


@needs_man
def test_groff_warns_of_a_broken_page() -> None:
    assert "warning" in _render(text=".TH A 1\n.SH NAME\n\\[nothing]\n").stderr


@needs_man
def test_text_is_printed_as_it_was_whatever_signs_it_has() -> None:
    text = r".PP 'quoted' \fB\n ~user ^ --no-wait - 100% \" [x] {a|b} <(c) `list --all` …"
    result = _render(text=f".TH A 1\n.SH NAME\n{man_pages.to_roff(text)}\n{man_pages.to_roff('.x')}\n")
    printed = " ".join(result.stdout.split())
    assert text.replace("`", "").replace("…", "...") + " .x" in printed
    assert result.stderr == ""


@needs_man
def test_man_finds_the_pages_of_an_installation_whose_program_is_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    install_data_files(tmp_path)
    result = subprocess.run(
        ["man", "-w", *(page.stem for page in _PAGES)],
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == [
        str(tmp_path / "share" / "man" / "man1" / page.name) for page in _PAGES
    ]
