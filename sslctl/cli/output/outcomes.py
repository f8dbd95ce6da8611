"""What came of many domains: counts, the exit code, and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import click

from sslctl.cli.output import json_shapes
from sslctl.errors import Busy, Exit, NotManaged, SslctlError
from sslctl.issuance.batch import Outcome
from sslctl.rules.reasons import Status
from sslctl.rules.status import derive_status
from sslctl.store.interface.domains import Domains
from sslctl.text import clean

_EXIT = {
    Status.SUCCESS: Exit.OK,
    Status.PENDING: Exit.PENDING,
    Status.FAILURE: Exit.FAILURE,
    Status.EXPIRED: Exit.FAILURE,
    Status.DISCARD: Exit.DISCARD,
    Status.EMERGENCY: Exit.EMERGENCY,
}

# How a pass ends before it began because of what somebody else does.
TAKEN_OVER = (Busy, NotManaged)


class Report:
    """What came of passes over the domains `names`; it keeps no more of each than its name.

    `batch` says whether the exit code is that of a batch, or the one domain's own. With `yields` a domain that
    somebody else works on or has deleted counts as left out: it is in good hands.
    """

    def __init__(self, names: list[str], *, batch: bool, yields: bool = False) -> None:
        self.names = names
        self.errors: dict[str, Exception] = {}
        self._batch = batch
        self._yields = yields
        self._ended = 0
        self._unwell: set[str] = set()
        self._codes: set[int] = set()

    def add(self, outcome: Outcome, now: datetime) -> None:
        """Take in how one domain's pass ended."""
        if outcome.error is not None:
            self.errors[outcome.name] = outcome.error
            if self._yields and isinstance(outcome.error, TAKEN_OVER):
                return
        self._ended += 1
        code = _code(outcome, now, batch=self._batch)
        self._codes.add(code)
        if code != Exit.OK:
            self._unwell.add(outcome.name)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self._ended

    @property
    def unwell(self) -> list[str]:
        """Those that did not end in Success."""
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


def _code(outcome: Outcome, now: datetime, *, batch: bool) -> int:
    if outcome.domain is None:
        return outcome.error.exit_code if isinstance(outcome.error, SslctlError) else Exit.BUG
    verdict = derive_status(outcome.domain, now)
    # Of one domain, why an expired certificate is not renewed says who must act.
    return _EXIT[verdict.also.reason.status if verdict.also and not batch else verdict.status]


def domains_json(
    store: Domains, names: Sequence[str], errors: Mapping[str, Exception], now: datetime
) -> Iterator[dict[str, object]]:
    """Give the domains `names` as they are in the store; `error` says why nothing was done for one."""
    for domain in store.domains_named(names):
        error = errors.get(domain.name)
        yield {**json_shapes.domain(domain, now), "error": None if error is None else _error_code(error)}


def _error_code(error: Exception) -> str:
    return error.code if isinstance(error, SslctlError) else SslctlError.code


def complain(name: str, error: Exception) -> None:
    """Say on standard error why no pass over `name` was made."""
    text = error.message if isinstance(error, SslctlError) else f"bug: {type(error).__name__}: {clean(error)}"
    click.echo(f"sslctl: error: {name}: {text}", err=True)
