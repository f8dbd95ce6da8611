"""The errors that reach an operator, each with its exit code.

The exit codes are frozen (README, "Exit codes"). The core raises these and never exits; `cli.main.main` is the only
place where one becomes an exit code.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a run of sslctl ends with; scripts depend on these numbers."""

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


class SslctlError(Exception):
    """A trouble that an operator can act on: one sentence, perhaps a hint, a stable code and an exit code."""

    code = "BUG"
    exit_code = Exit.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(SslctlError):
    """What was typed or pasted cannot be used; nothing was recorded and nobody was asked."""

    code = "BAD_INPUT"
    exit_code = Exit.USAGE


class ConfigError(SslctlError):
    """The configuration cannot be used; the message names the key and, where known, the line."""

    code = "CONFIG"
    exit_code = Exit.UNUSABLE


class StateError(SslctlError):
    """The database, the key file or a folder cannot be used. It is never overwritten to get on."""

    code = "STATE"
    exit_code = Exit.UNUSABLE


class NotManaged(SslctlError):
    """The named domain, or version of its certificate, is not in this store."""

    code = "NOT_MANAGED"
    exit_code = Exit.NOT_MANAGED


class Busy(SslctlError):
    """Another sslctl works on this domain, or another tick runs; trying again later is right."""

    code = "BUSY"
    exit_code = Exit.TRY_LATER


class TryLater(SslctlError):
    """Somebody outside could not be asked just now; nothing was decided from that."""

    code = "TRY_LATER"
    exit_code = Exit.TRY_LATER
