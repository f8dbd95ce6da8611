"""The results of passes over many domains: counts, errors, and the exit code they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sslctl.errors import Busy, Exit, NotManaged, SslctlError, StateBusy
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.suspicions import Withheld
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Code, Status
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
    """The results of passes over the domains `names`; of each domain it keeps only the name and its exit code.

    If `batch` is true, the exit code is that of a batch, otherwise that of the only domain. If `skip_concurrent` is
    true, a domain that another command works on or has deleted is neither counted nor part of the exit code. If `renewing`
    is true, each domain was to get a new certificate: what prevented it counts even if the domain is well. `is_blind` is to be
    set if C4 could not be looked at for days, `is_stopped` if a person stopped the passes, or if results could not be recorded, and
    `elsewhere` is the number of passes of other processes that are to be counted, too.
    """

    def __init__(
        self, names: list[str], *, batch: bool, skip_concurrent: bool = False, renewing: bool = False
    ) -> None:
        self.names = names
        self.errors: dict[str, Exception] = {}
        self._batch = batch
        self._skip_concurrent = skip_concurrent
        self._renewing = renewing
        self._codes: dict[str, int] = {}
        self._withheld: dict[Code, Withheld] = {}
        self.is_blind = False
        self.is_stopped = False
        self.elsewhere = 0

    def add(self, outcome: Outcome, now: datetime) -> None:
        """Add the outcome of one pass, with the domain's status as of `now`. It replaces an earlier one of the domain."""
        self.errors.pop(outcome.name, None)
        if outcome.error is not None:
            self.errors[outcome.name] = outcome.error
            if self._skip_concurrent and isinstance(outcome.error, CONCURRENT_CHANGE):
                return
        self._codes[outcome.name] = self._exit_code(outcome, now)

    def update(self, domains: Iterable[Domain], now: datetime) -> None:
        """Replace the outcomes of `domains`, and add those that are not well by now although no pass was made."""
        for domain in domains:
            is_new = domain.name not in self._codes
            if is_new and derive_status(domain, now).status is Status.SUCCESS:
                continue
            if is_new:
                self.names.append(domain.name)
            self.add(Outcome(domain.name, domain), now)

    @property
    def ended(self) -> int:
        """The number of domains whose pass ended, without those skipped."""
        return len(self._codes)

    @property
    def unwell(self) -> list[str]:
        """The domains that did not end in Success, in the order of `names`."""
        return [name for name in self.names if self._codes.get(name, Exit.OK) != Exit.OK]

    @property
    def unrecorded(self) -> list[str]:
        """The domains whose result could not be recorded, in the order of `names`; see `StateBusy`."""
        return [name for name in self.names if isinstance(self.errors.get(name), StateBusy)]

    @property
    def exit_code(self) -> int:
        """The exit code (README, "Exit codes")."""
        codes = set(self._codes.values())
        for gravest in (Exit.EMERGENCY, Exit.BUG):
            if gravest in codes:
                return gravest
        if self.withheld or self.unrecorded or self.is_blind:
            return Exit.TRY_LATER
        if not self._batch:
            (code,) = codes
            return code
        return Exit.OK if codes <= {Exit.OK} else Exit.SOME_NOT_WELL

    @property
    def withheld(self) -> list[Withheld]:
        """The suspicions that were too many to be believed, by reason."""
        return list(self._withheld.values())

    def withhold(self, withheld: Iterable[Withheld]) -> None:
        """Add suspicions that were too many to be believed; what was added of the same reason before counts no more."""
        self._withheld |= {each.code: each for each in withheld}

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
