"""The results of passes over many domains: counts, errors, and the exit code they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sslctl.errors import Busy, Exit, NotManaged, SslctlError, StateBusy
from sslctl.issuance.batch import Outcome
from sslctl.issuance.suspicions import Withheld
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Status
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
    true, a domain that another command works on or has deleted is neither counted nor part of the exit code. If `renewing`
    is true, each domain was to get a new certificate: what prevented it counts even if the domain is well.
    """

    def __init__(
        self, names: list[str], *, batch: bool, skip_concurrent: bool = False, renewing: bool = False
    ) -> None:
        self.names = names
        self.errors: dict[str, Exception] = {}
        self._batch = batch
        self._skip_concurrent = skip_concurrent
        self._renewing = renewing
        self._ended = 0
        self._unwell: set[str] = set()
        self._codes: set[int] = set()
        self.withheld: list[Withheld] = []

    def add(self, outcome: Outcome, now: datetime) -> None:
        """Add the outcome of one pass, with the domain's status as of `now`."""
        if outcome.error is not None:
            self.errors[outcome.name] = outcome.error
            if self._skip_concurrent and isinstance(outcome.error, CONCURRENT_CHANGE):
                return
        self._ended += 1
        code = self._exit_code(outcome, now)
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
    def unrecorded(self) -> list[str]:
        """The domains whose result could not be recorded, in the order of `names`; see `StateBusy`."""
        return [name for name in self.names if isinstance(self.errors.get(name), StateBusy)]

    @property
    def exit_code(self) -> int:
        """The exit code (README, "Exit codes")."""
        for gravest in (Exit.EMERGENCY, Exit.BUG):
            if gravest in self._codes:
                return gravest
        if self.withheld or self.unrecorded:
            return Exit.TRY_LATER
        if not self._batch:
            (code,) = self._codes
            return code
        return Exit.OK if self._codes <= {Exit.OK} else Exit.SOME_NOT_WELL

    def withhold(self, withheld: Sequence[Withheld]) -> None:
        """Add suspicions that were too many to be believed."""
        self.withheld += withheld

    def _exit_code(self, outcome: Outcome, now: datetime) -> int:
        domain = outcome.domain
        if domain is None:
            return outcome.error.exit_code if isinstance(outcome.error, SslctlError) else Exit.BUG
        if not self._batch and is_uncertain(domain):
            # What was asked is not known: whoever did not answer, or is not believed yet, is asked again later.
            return Exit.TRY_LATER
        verdict = derive_status(domain, now)
        if self._renewing and domain.caution is not None and verdict.status is Status.SUCCESS:
            return _EXIT[REASONS[domain.caution.code].status]
        if self._batch and verdict.status is Status.SUCCESS and is_uncertain(domain):
            return Exit.TRY_LATER
        # For a single expired domain, the reason why it is not renewed shows who must act.
        return _EXIT[verdict.also.reason.status if verdict.also and not self._batch else verdict.status]


def is_uncertain(domain: Domain) -> bool:
    """Return whether a step did not answer in the last pass over `domain`, or what it heard is not believed yet."""
    return domain.unconfirmed is not None or domain.suspicion is not None
