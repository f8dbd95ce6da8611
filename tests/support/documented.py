"""The console blocks of the documentation: their commands, and a machine in a folder that runs those of an administrator."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from sslctl.app import App
from tests.support import ROOT
from tests.support.cdn import Cdn, Result

_BLOCK = re.compile(
    r"(?:<!-- (?P<marker>[^>]+) -->\n)?```console\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_DIRECTORY_URLS = re.compile(r"https://acme(-staging)?-v02\.api\.letsencrypt\.org/directory")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a page, the exit code that a comment behind it names, and the output that the page shows."""

    command: str
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class Block:
    """A console block, and the comment before it, which says how it is special; empty if it is not."""

    marker: str
    text: str

    @property
    def steps(self) -> list[Step]:
        """The commands, which begin with `$`, or with `#` for root."""
        steps = []
        for part in re.split(r"^[$#] ", self.text, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            code = re.search(r"  # exit code (\d+)$", line)
            steps.append(Step(line, int(code[1]) if code else 0, output))
        return steps


def blocks(text: str) -> list[Block]:
    """Return the console blocks of a page. Raise `ValueError` if one is not written as the others are."""
    found = [Block(match["marker"] or "", match["text"]) for match in _BLOCK.finditer(text)]
    if text.count("```console") != len(found):
        raise ValueError("a console block is not in the form of the others")
    return found


def matches(shown: str, printed: str) -> bool:
    """Return whether a page may show `shown` for the output `printed`.

    Numbers and the width of columns may differ. `…` stands for any text in its line, and alone for any lines.
    """
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n"
        for line in _masked(shown).splitlines()
    )
    return re.fullmatch(pattern, _masked(printed)) is not None


def _masked(text: str) -> str:
    return re.sub(r"[ ]+$", "", re.sub(r" {2,}", " ", re.sub(r"\d+", "0", text)), flags=re.MULTILINE)


def install_data_files(folder: Path) -> None:
    """Copy the data files of the package into `folder`, as an installation into a virtual environment does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name, patterns in project["tool"]["setuptools"]["data-files"].items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for pattern in patterns:
            for path in ROOT.glob(pattern):
                shutil.copy(path, folder / name)


class DocumentedMachine:
    """A machine whose files are below `folder`. Its CDN is `cdn`, and `directory_url` is in place of each CA's.

    `run` takes a command of root. sslctl runs in this process, and commands on files really run, below `folder`. What needs
    root or the Internet is not run; of `pip install` and `python3 -m venv` the files are made that later commands need.
    """

    _ON_FILES = frozenset({"cp", "install", "ln", "mv", "rm"})
    _OF_ROOT = frozenset({"apt-get", "chgrp", "chmod", "chown", "journalctl", "systemctl", "useradd"})

    def __init__(
        self, cdn: Cdn, folder: Path, monkeypatch: pytest.MonkeyPatch, *, directory_url: str
    ) -> None:
        self._cdn = cdn
        self.folder = folder
        self._directory_url = directory_url
        self._environment = monkeypatch
        for name in ("etc/systemd/system", "opt", "usr/local/bin", "var/lib", "var/backups"):
            (folder / name).mkdir(parents=True)

    @property
    def config_path(self) -> Path:
        """The configuration of the machine."""
        return self.folder / "etc" / "sslctl" / "config.toml"

    def configure(self, **keys: str) -> None:
        """Set keys in the configuration, each in place of its default."""
        text = _DIRECTORY_URLS.sub(self._directory_url, self.config_path.read_text())
        text = text.replace('"/var/', f'"{self.folder}/var/')
        for key, value in keys.items():
            text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
            assert count == 1, key
        self.config_path.write_text(text)

    def run(self, command: str) -> Result | None:
        """Run a command of a page. Return the result of sslctl, None for another command."""
        line = re.sub(r"(?<![\w./-])/(?=(?:etc|opt|usr|var)/)", f"{self.folder}/", command)
        line = _DIRECTORY_URLS.sub(self._directory_url, line)
        words = shlex.split(line.removeprefix("sudo -u sslctl "))
        program = Path(words[0]).name
        if program == "sslctl":
            app = App(self.config_path, self._cdn.clock)
            app.issuer = self._cdn.issuer
            return self._cdn.sslctl(*words[1:], app=app)
        if program == "export":
            for word in words[1:]:
                self._environment.setenv(*word.split("=", 1))
        elif program == "unset":
            for word in words[1:]:
                self._environment.delenv(word)
        elif program in self._ON_FILES:
            self._run_on_files(line)
        elif program == "pip":
            install_data_files(Path(words[0]).parents[1])
        elif words[1:3] == ["-m", "venv"]:
            Path(words[3]).mkdir()
        else:
            assert program in self._OF_ROOT, command
        return None

    def _run_on_files(self, line: str) -> None:
        elsewhere = [word for word in shlex.split(line) if not self._may_be_used(word)]
        assert not elsewhere, f"would be used on this machine: {elsewhere}"
        # Only root could make files that belong to the user sslctl.
        result = subprocess.run(
            ["sh", "-c", line.replace(" -o sslctl", "")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), line

    def _may_be_used(self, word: str) -> bool:
        is_elsewhere = word.startswith(("/", "~", "..")) and not word.startswith(f"{self.folder}/")
        return word == "/dev/null" or not (is_elsewhere or "/../" in word or "$" in word)
