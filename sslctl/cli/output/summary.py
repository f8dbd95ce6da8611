"""The sentence at the end of a batch: how many of its domains are done, and what is with the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import click

from sslctl.app import App
from sslctl.cli.output.shell import command_line, write_next
from sslctl.fleet.hidden import is_hidden
from sslctl.rules.concerns import find_concerns
from sslctl.rules.model import Domain
from sslctl.rules.next_command import next_words_for
from sslctl.rules.reasons import Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.status import derive_status


class Phrase(NamedTuple):
    """What is said of one domain, and of another number of them."""

    one: str
    many: str

    def of(self, number: int) -> str:
        """Return the form for `number`."""
        return self.one if number == 1 else self.many


WELL = Phrase("is well", "are well")
WAITS = Phrase("waits", "wait")
_HIDDEN = Phrase("is snoozed or abandoned", "are snoozed or abandoned")
_NO_RESULT = Phrase("has no result", "have no result")
NEEDS = Phrase("needs a person", "need a person")
NOT_DONE = Phrase("was not", "were not")


def summarise(
    done: int, total: int, phrase: Phrase, others: Iterable[tuple[int, Phrase]] = (), noun: str = "domains"
) -> str:
    """Return the sentence, such as `38 of 40 domains are well; 1 waits, 1 needs a person`; empty parts are left out."""
    parts = ", ".join(f"{number:,} {each.of(number)}" for number, each in others if number)
    sentence = f"{done:,} of {total:,} {noun} {phrase.of(done)}"
    return f"{sentence}; {parts}" if parts else sentence


@dataclass(slots=True)
class Tally:
    """How many domains are well, wait, need a person as in `sslctl todo`, are left out there, or have no result."""

    well: int = 0
    waiting: int = 0
    needing: int = 0
    hidden: int = 0
    without_result: int = 0

    def add(self, domain: Domain, now: datetime, rule: RenewalRule) -> None:
        """Count `domain` with what is known of it at `now`."""
        is_needed = bool(find_concerns(domain, now, rule))
        is_certain = domain.unconfirmed is None and domain.suspicion is None
        if is_needed and is_hidden(domain, now):
            self.hidden += 1
        elif is_needed:
            self.needing += 1
        elif is_certain and derive_status(domain, now).status is Status.SUCCESS:
            self.well += 1
        else:
            self.waiting += 1

    def describe(self, total: int, noun: str = "domains") -> str:
        """Return the sentence about `total` domains, with the command that shows those that need a person."""
        others = [
            (self.waiting, WAITS),
            (self.hidden, _HIDDEN),
            (self.without_result, _NO_RESULT),
            (self.needing, NEEDS),
        ]
        sentence = summarise(self.well, total, WELL, others, noun)
        return f"{sentence}: {command_line('todo')}" if self.needing else sentence


def count(domains: Iterable[Domain], now: datetime, rule: RenewalRule) -> Tally:
    """Return the tally of `domains`."""
    tally = Tally()
    for domain in domains:
        tally.add(domain, now, rule)
    return tally


def write_end(app: App, names: Sequence[str], errors: Collection[str]) -> None:
    """Print how the passes over `names` ended; of a single one write the next command to a terminal.

    Of the domains in `errors` no result is known.
    """
    now, rule = app.clock(), app.renewal
    known = app.store.domains_named([name for name in names if name not in errors])
    if len(names) == 1:
        for domain in known:
            write_next(next_words_for(domain, now, rule))
        return
    tally = count(known, now, rule)
    tally.without_result = sum(name in errors for name in names)
    print_summary(tally.describe(len(names)))


def print_done(
    done: int,
    total: int,
    phrase: Phrase,
    others: Iterable[tuple[int, Phrase]] | None = None,
    noun: str = "domains",
) -> None:
    """Print for how many of `total` domains `phrase` holds, if these are several; `others` is said of the rest."""
    if total > 1:
        rest = [(total - done, NOT_DONE)] if others is None else others
        print_summary(summarise(done, total, phrase, rest, noun))


def print_summary(sentence: str) -> None:
    """Print a summary on standard error."""
    click.echo(f"sslctl: {sentence}", err=True)
