"""A sandbox in stateless mode, with a state of its own for each test."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.cdn import Result

_numbers = count(1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class StatelessCdn:
    """The sandbox `cdn`, whose edge answers challenges with a thumbprint: that of the account key, until `answer` says another one.

    The state is where SSLCTL_STATE_DIR says.
    """

    def __init__(self, cdn: SandboxCdn) -> None:
        self.cdn = cdn
        app = self.app()
        app.make_state()
        self.thumbprint = app.stateless.keys().current.thumbprint
        app.close()
        self.answer(self.thumbprint)

    @property
    def acme_folder(self) -> Path:
        return self.app().config.state.acme_dir

    def app(self) -> App:
        return App(self.cdn.config_path)

    def answer(self, thumbprint: str) -> None:
        """Let the edge answer with `thumbprint`; not by itself if it is empty."""
        self.cdn.thumbprint_path.write_text(f"{thumbprint}\n")

    def new_domain(self) -> str:
        """Create a domain that no other test has; return its name."""
        name = f"shop{next(_numbers)}.example.test"
        self.cdn.add_domain(name)
        return name

    def add(self) -> str:
        """Add a new domain, which gets a certificate; return its name."""
        name = self.new_domain()
        added = self.sslctl("add", name)
        assert added.exit_code == 0, added
        return name

    def sslctl(self, *arguments: str) -> Result:
        """Run a command in this process."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = run(list(arguments), self.app())
        return Result(code, stdout.getvalue(), stderr.getvalue())

    def accounts(self) -> list[Path]:
        """Return the folders of certbot's accounts."""
        return [path.parent for path in (self.acme_folder / "accounts").glob("**/private_key.json")]
