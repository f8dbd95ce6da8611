"""Ticks over a small fleet, in which C4 may answer wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sslctl.control_plane import Record, UnknownDomain
from tests.support.cdn import Cdn
from tests.support.lying_c4 import LyingC4


def unknown(name: str) -> Record:
    """Be C4 that has no domain `name`."""
    raise UnknownDomain(f"C4 has no domain {name}")


def tick(cdn: Cdn, lie: Callable[[str], Record] | None = None, **moved: float) -> Any:
    """Run a tick later by `moved`, in which C4 answers with `lie`; return its JSON with the exit code."""
    cdn.clock.move(**moved)
    app = cdn.app()
    if lie is not None:
        lying: Any = LyingC4(app.control_plane, lie)
        app.control_plane = lying
    result = cdn.sslctl("daemon-tick", "--json", app=app)
    return {**result.json, "exit_code": result.exit_code}


def withheld(result: Any) -> list[tuple[str, int]]:
    """Return code and number of the suspicions that were too many to be believed in a tick with the JSON `result`."""
    return [(each["code"], each["domains"]) for each in result["withheld"]]


def serve(cdn: Cdn, *names: str) -> None:
    """Add domains that end in Success, and run the tick that makes the first look."""
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0
    tick(cdn)


def lose(cdn: Cdn, *names: str) -> None:
    """Let C4 lose the certificates of `names`."""
    for name in names:
        assert cdn.app().control_plane.remove(name)
