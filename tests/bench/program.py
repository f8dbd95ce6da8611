"""How sslctl is called: as its users call it, as a process with a configuration file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import meter
from tests.bench.meter import Cost, Failed, Job

# What a shell of a user has; a proxy, a CA bundle or Python's own switches would change what is measured.
_KEPT = ("PATH", "LANG", "TZ", "PYTHONPATH")


def installed(name: str) -> list[str]:
    """Give the command `name` of this interpreter's environment, or the module where it has none."""
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.exists() else [sys.executable, "-m", name]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Give a plain environment with `home` and `more`."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(home), **more}


@dataclass(frozen=True, slots=True)
class Sslctl:
    """sslctl with the configuration file `config` and its state in `state`. `settings` are keys of the environment."""

    config: Path
    state: Path
    settings: tuple[tuple[str, str], ...] = ()

    def with_settings(self, **settings: str) -> Sslctl:
        """Give the same with more keys, such as `acme_workers="32"`."""
        named = tuple((f"SSLCTL_{key.upper()}", value) for key, value in settings.items())
        return replace(self, settings=self.settings + named)

    def environment(self) -> dict[str, str]:
        """Give the environment that it runs in."""
        return environment(
            self.state.parent,
            SSLCTL_CONFIG=str(self.config),
            SSLCTL_STATE_DIR=str(self.state),
            **dict(self.settings),
        )

    def job(self, *arguments: str, output: str = os.devnull, sample_seconds: float = 0) -> Job:
        """Give the job of one call."""
        return Job(
            [[*installed("sslctl"), *arguments]],
            folder=str(self.state.parent),
            environment=self.environment(),
            output=output,
            log=str(self.state.parent / "sslctl.log"),
            sample_seconds=sample_seconds,
        )

    def run(self, *arguments: str, accept: Sequence[int] = (0,), sample_seconds: float = 0) -> Cost:
        """Run it, output thrown away, and give what it cost. Raises `Failed`."""
        return meter.run(self.job(*arguments, sample_seconds=sample_seconds), accept=accept)

    def ask(self, *arguments: str) -> Any:
        """Run it with `--json` and give the answer."""
        output = self.state.parent / "answer.json"
        output.unlink(missing_ok=True)
        meter.run(self.job(*arguments, "--json", output=str(output)))
        return json.loads(output.read_text())

    def require(self, count: int, status: str, code: str | None = None) -> None:
        """Raise `Failed` unless exactly `count` domains are in `status`, all for the reason `code`."""
        found = self.ask("list", "--status", status)["domains"]
        wrong = [one["domain"] for one in found if code is not None and one["reason"]["code"] != code]
        if len(found) != count or wrong:
            raise Failed(
                f"wanted {count} domains in {status} {code or ''}, found {len(found)}; {wrong[:3]} are not"
            )

    def reset(self, copy_of: Path | None = None) -> None:
        """Put an empty state, or a copy of another, in the place of the state."""
        shutil.rmtree(self.state, ignore_errors=True)
        if copy_of is not None:
            shutil.copytree(copy_of, self.state)
