"""The errors that an operator sees, each with its exit code.

The exit codes are frozen (README, "Exit codes"). The core raises these errors and never exits; only `cli.main.main` turns
them into exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of sslctl. Scripts depend on these numbers."""

    OK = 0
    BUG = 1
    USAGE = 2
    PENDING = 3
    FAILURE = 4
    SOME_NOT_WELL = 5
    DISCARD = 6
    EMERGENCY = 7
    UNUSABLE = 8
    NOT_MANAGED = 9
    TRY_LATER = 75
    INTERRUPTED = 130


WRONG_USAGE = "USAGE"
"""The code of wrong usage, which click finds."""
INTERRUPTED = "INTERRUPTED"
"""The code of a command that Ctrl-C ended."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error is about, for texts in other languages: a stable key, and what its sentence names.

    `detail` is text from outside, such as a library, which no language can translate.
    """

    key: str
    fields: Mapping[str, object] = field(default_factory=dict)
    detail: str = ""


class SslctlError(Exception):
    """A problem that an operator can solve: one sentence, an optional hint, a stable code and an exit code.

    Errors that a form of the page can meet have a `problem`.
    """

    code = "BUG"
    exit_code = Exit.BUG

    def __init__(self, message: str, *, hint: str | None = None, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problem = problem


class BadInput(SslctlError):
    """Invalid input. Nothing was recorded, and no request was sent."""

    code = "BAD_INPUT"
    exit_code = Exit.USAGE


class ConfigError(SslctlError):
    """An unusable configuration. The message names the key and, if known, the line."""

    code = "CONFIG"
    exit_code = Exit.UNUSABLE


class StateError(SslctlError):
    """An unusable database, key file or folder. sslctl never overwrites it to continue."""

    code = "STATE"
    exit_code = Exit.UNUSABLE


class NotManaged(SslctlError):
    """A domain, or a version of its certificate, that is not in the store."""

    code = "NOT_MANAGED"
    exit_code = Exit.NOT_MANAGED


class Busy(SslctlError):
    """A conflict with another process: it works on this domain, or it is the running tick. A later retry is right."""

    code = "BUSY"
    exit_code = Exit.TRY_LATER


class ClaimLost(SslctlError):
    """A claim of this process that a person broke, or that another process took over. Nothing more may be changed under it."""

    code = "CLAIM_LOST"
    exit_code = Exit.TRY_LATER


class StateBusy(SslctlError):
    """A database that another process kept locked for too long, such as a backup program or a reader that hangs.

    Unlike `Busy` it does not mean that another sslctl does the work: what was to be recorded is not recorded.
    """

    code = "STATE_BUSY"
    exit_code = Exit.TRY_LATER


class MachineLimit(SslctlError):
    """A limit of the machine or of this process: no further process, thread, memory, open file or lock.

    It may pass by itself, unless `is_lasting`: then a person must raise it.
    """

    code = "MACHINE_LIMIT"
    exit_code = Exit.TRY_LATER

    def __init__(self, message: str, *, hint: str, is_lasting: bool = False) -> None:
        super().__init__(message, hint=hint)
        if is_lasting:
            self.exit_code = Exit.UNUSABLE


class PairRefused(SslctlError):
    """A pasted pair that is worse than the certificate in service. It is in the history; nothing else was changed."""

    code = "PAIR_WORSE"
    exit_code = Exit.FAILURE


class TryLater(SslctlError):
    """A failure of DNS, the CA, C4 or another remote service. Nothing was concluded from it."""

    code = "TRY_LATER"
    exit_code = Exit.TRY_LATER
