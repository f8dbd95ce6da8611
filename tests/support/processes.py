"""How tests start processes, whatever the process that runs the tests was started with."""

from __future__ import annotations


def with_default_signals(*command: str) -> list[str]:
    """Return `command` with SIGINT and SIGTERM at their default dispositions.

    A shell starts a background job with SIGINT ignored, the job's children inherit that, and Python handles SIGINT only
    if it is not ignored at start. A test that sends one of these signals must therefore reset it. `env` replaces itself
    by the command, so the process id is the command's.
    """
    return ["env", "--default-signal=INT,TERM", *command]
