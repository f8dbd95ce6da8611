"""The results of passes over many domains: counts, errors, and the exit code they lead to."""

from __future__ import annotations

from datetime import datetime

from sslctl.errors import Busy, Exit, NotManaged, SslctlError
from sslctl.issuance.batch import Outcome
from sslctl.rules.reasons import Status
from sslctl.rules.status import derive_status

CONCURRENT_CHANGE = (Busy, NotManaged)
"""Errors raised before a pass starts, because another command works on the domain or has deleted it."""

_EXIT = {
    Status.SUCCESS: Exit.OK,
    Status.PENDING: Exit.PENDING,
    Status.FAILURE: Exit.FAILURE,
    Status.EXPIRED: Exit.FAILURE,
    Status.DISCARD: Exit.DISCARD,
    Status.EMERGENCY: Exit.EMERGENCY,
}


class Report:
    """The results of passes over the domains `names`; of each domain it keeps only the name.

    If `batch` is true, the exit code is that of a batch, otherwise that of the only domain. If `skip_concurrent` is
    true, a domain that another command works on or has deleted is neither counted nor part of the exit code.
    """

    def __init__(self, names: list[str], *, batch: bool, skip_concurrent: bool = False) -> None:
        self.names = names
        self.errors: dict[str, Exception] = {}
        self._batch = batch
        self._skip_concurrent = skip_concurrent
        self._ended = 0
        self._unwell: set[str] = set()
        self._codes: set[int] = set()

    def add(self, outcome: Outcome, now: datetime) -> None:
        """Add the outcome of one pass, with the domain's status as of `now`."""
        if outcome.error is not None:
            self.errors[outcome.name] = outcome.error
            if self._skip_concurrent and isinstance(outcome.error, CONCURRENT_CHANGE):
                return
        self._ended += 1
        code = _exit_code(outcome, now, batch=self._batch)
        self._codes.add(code)
        if code != Exit.OK:
            self._unwell.add(outcome.name)

    @property
    def ended(self) -> int:
        """The number of passes that ended, without those skipped."""
        return self._ended

    @property
    def unwell(self) -> list[str]:
        """The domains that did not end in Success, in the order of `names`."""
        return [name for name in self.names if name in self._unwell]

    @property
    def exit_code(self) -> int:
        """The exit code (README, "Exit codes")."""
        for gravest in (Exit.EMERGENCY, Exit.BUG):
            if gravest in self._codes:
                return gravest
        if not self._batch:
            (code,) = self._codes
            return code
        return Exit.OK if self._codes <= {Exit.OK} else Exit.SOME_NOT_WELL


def _exit_code(outcome: Outcome, now: datetime, *, batch: bool) -> int:
    if outcome.domain is None:
        return outcome.error.exit_code if isinstance(outcome.error, SslctlError) else Exit.BUG
    verdict = derive_status(outcome.domain, now)
    # For a single expired domain, the reason why it is not renewed shows who must act.
    return _EXIT[verdict.also.reason.status if verdict.also and not batch else verdict.status]
