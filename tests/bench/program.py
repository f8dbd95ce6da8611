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

# A user's plain environment; a proxy, a CA bundle or options of Python would change the measurement.
_KEPT = ("PATH", "LANG", "TZ", "PYTHONPATH")


def installed(name: str) -> list[str]:
    """Return the command `name` of this interpreter's environment, or its module if it has no such command."""
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.exists() else [sys.executable, "-m", name]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return a plain environment with `home` and `more`."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(home), **more}


@dataclass(frozen=True, slots=True)
class Sslctl:
    """sslctl with the configuration file `config` and its state in `state`. `settings` are keys of the environment.

    `code` is the folder that the package is imported from; None is the installed one.
    """

    config: Path
    state: Path
    settings: tuple[tuple[str, str], ...] = ()
    code: Path | None = None

    def with_settings(self, **settings: str) -> Sslctl:
        """Return a copy with more keys, such as `acme_workers="32"`."""
        named = tuple((f"SSLCTL_{key.upper()}", value) for key, value in settings.items())
        return replace(self, settings=self.settings + named)

    def environment(self) -> dict[str, str]:
        """Return the environment that it runs in."""
        return environment(
            self.state.parent,
            SSLCTL_CONFIG=str(self.config),
            SSLCTL_STATE_DIR=str(self.state),
            **({} if self.code is None else {"PYTHONPATH": str(self.code)}),
            **dict(self.settings),
        )

    def job(self, *arguments: str, output: str = os.devnull, sample_seconds: float = 0) -> Job:
        """Return the job of one call."""
        program = installed("sslctl") if self.code is None else [sys.executable, "-m", "sslctl"]
        return Job(
            [[*program, *arguments]],
            folder=str(self.state.parent),
            environment=self.environment(),
            output=output,
            log=str(self.state.parent / "sslctl.log"),
            sample_seconds=sample_seconds,
        )

    def run(self, *arguments: str, accept: Sequence[int] = (0,), sample_seconds: float = 0) -> Cost:
        """Run it without its output and return the cost. Raise `Failed` for another exit code than those in `accept`."""
        return meter.run(self.job(*arguments, sample_seconds=sample_seconds), accept=accept)

    def ask(self, *arguments: str) -> Any:
        """Run it with `--json` and return the result."""
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
        """Replace the state by an empty one, or by a copy of another."""
        shutil.rmtree(self.state, ignore_errors=True)
        if copy_of is not None:
            shutil.copytree(copy_of, self.state)


def unserved(own: Path) -> Sslctl:
    """Return sslctl with a configuration and an empty state in `own`; no service answers at the addresses in it."""
    (own / "token").write_text("s3cret-token\n")
    (own / "token").chmod(0o600)
    config = own / "config.toml"
    config.write_text(
        f'[c4]\nbase_url = "https://127.0.0.1:9"\ntoken_file = "{own / "token"}"\n'
        '[acme]\ndirectory_url = "https://127.0.0.1:9/directory"\n'
        '[cdn]\ncname_suffixes = ["cdn.test"]\n[renewal]\nari = "off"\n'
    )
    return Sslctl(config, own / "state")
