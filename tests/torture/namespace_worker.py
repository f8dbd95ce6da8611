"""One tick as a program, for processes in other namespaces and with other clocks.

Run it with `python -m tests.torture.namespace_worker CONFIG GATE SECONDS [fork]`. Its clock is SECONDS ahead. Its CA issues nothing before the file GATE exists. It prints "waits" when it asks the CA, and at its
end the exit code and the number of orders at the CA. With `fork` it first makes a child that outlives it, and prints its
process id.
"""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.fakes import Clock, FakeIssuer
from tests.support.lock_holder import fork_child

_LIFETIME = 120.0


class _WaitingIssuer(FakeIssuer):
    """A CA that issues nothing before the file `gate` exists."""

    def __init__(self, clock: Clock, gate: Path, *, fork: bool) -> None:
        super().__init__(clock)
        self._gate = gate
        self._fork = fork

    def issue(self, *arguments: Any, **options: Any) -> Any:
        """See `Issuer.issue`."""
        child = fork_child() if self._fork else 0
        print("waits", child, file=sys.__stdout__, flush=True)
        deadline = time.monotonic() + _LIFETIME
        while not self._gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().issue(*arguments, **options)


def main(config: Path, gate: Path, seconds: float, *, fork: bool) -> None:
    """Run the tick and print how it ended."""
    clock = Clock()
    clock.move(seconds=seconds)
    app = App(config, clock)
    issuer = _WaitingIssuer(clock, gate, fork=fork)
    app.issuers = {app.config.acme.directory_url: issuer}
    with redirect_stdout(StringIO()):
        code = run(["daemon-tick"], app)
    print("ended", code, len(issuer.orders), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), fork="fork" in sys.argv)
