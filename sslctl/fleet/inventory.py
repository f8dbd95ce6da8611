"""Compare the inventory of C4 with the state: `sslctl sync`, and once a day the tick. A comparison changes nothing.

A list that ended early proves nothing about what it lacks, so it is not compared at all. A managed domain that the list lacks is
looked at by itself, because only that answer says that C4 does not know it. If many are lacking, the list is not believed.

The list is read in blocks, and of each group at most `MOST_KEPT` domains are kept, so memory is bounded for any number of domains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, Protocol

from sslctl.control_plane import ControlPlane, ControlPlaneError, Installed, NoInventory, Record
from sslctl.errors import BadInput, TryLater
from sslctl.fleet.installed import not_answered
from sslctl.fleet.record_reader import RecordReader
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.rules import names
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.inventory import Inventory
from sslctl.wording import C4

MOST_KEPT = 100_000
"""So many domains of each group are kept; all are counted."""

_BLOCK = 1000
# Each lookup reads the fingerprints of all certificates.
_LOOKED_UP_TOGETHER = 20_000
_NOTHING_COMPARED = "nothing was compared"
_PROVES_NOTHING = "a part of the list proves nothing about what is missing"


class _Store(Domains, Inventory, Protocol):
    """What a comparison reads."""


class Group(StrEnum):
    """In what a domain differs between C4 and the state."""

    UNMANAGED = "unmanaged"
    """C4 has it, and it was never added here."""
    DELETED = "deleted"
    """C4 has it, and a person deleted it here."""
    UNUSABLE = "unusable"
    """C4 has it, and sslctl cannot manage a domain of this name."""
    DROPPED = "dropped"
    """It is managed, and C4 answered that it does not know it."""
    IN_DISCARD = "in_discard"
    """It is managed and not in C4, and that is known: it is in Discard."""
    UNCONFIRMED = "unconfirmed"
    """It is managed and not on the list, and C4 did not answer, or answered that it knows it."""
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    """C4 has a certificate for it that is not known here."""


class Difference(NamedTuple):
    """A domain that differs; `customer` (empty if C4 names none) and `installed` are what C4 has."""

    name: str
    customer: str = ""
    installed: Installed | None = None
    is_managed: bool = False


@dataclass(slots=True)
class Differences:
    """The differences of one group: how many there are, and the first `MOST_KEPT` of them, in C4's order."""

    number: int = 0
    first: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Count `difference`, and keep it if it is one of the first."""
        self.number += 1
        if len(self.first) < MOST_KEPT:
            self.first.append(difference)


@dataclass(slots=True)
class Comparison:
    """What differs between C4's list of `listed` domains and the `managed` ones, of which the list has `managed_listed`.

    `left_out` domains were never added, and were not accepted. `trouble` is why C4 was not asked about each domain that its list
    lacks, empty if it was.
    """

    listed: int = 0
    managed_listed: int = 0
    managed: int = 0
    groups: dict[Group, Differences] = field(
        default_factory=lambda: {group: Differences() for group in Group}
    )
    left_out: int = 0
    trouble: str = ""

    def number(self, group: Group) -> int:
        """Return the number of domains in `group`."""
        return self.groups[group].number


Accept = Callable[[Sequence[Record]], Collection[str]]
"""A function that gets the records of some domains that were never added, and returns the names of those to keep."""


def accept_all(records: Sequence[Record]) -> set[str]:
    """Return the names of all of `records`."""
    return {record.name for record in records}


class NoList(BadInput):
    """An error: C4 cannot list its domains."""


class EmptyList(TryLater):
    """An error: C4 lists no domains."""


class Marks:
    """A set of numbers from 0 on. A byte for each takes a fiftieth of the memory of a set of names."""

    def __init__(self) -> None:
        self._marked = bytearray()

    def add(self, number: int) -> None:
        """Add `number`."""
        if number >= len(self._marked):
            self._marked.extend(bytes(max(number + 1 - len(self._marked), 1 << 16)))
        self._marked[number] = 1

    def __contains__(self, number: int) -> bool:
        """Return whether `number` was added."""
        return number < len(self._marked) and bool(self._marked[number])


def compare(
    store: _Store,
    control_plane: ControlPlane,
    limit: SuspicionLimit,
    *,
    accept: Accept = accept_all,
    is_over: Callable[[], bool] = lambda: False,
    in_full: bool = True,
) -> Comparison:
    """Return what differs between C4's list of domains and the state; change nothing.

    Domains that were never added are only counted unless `accept` returns them. `limit` is of how many managed domains the list
    may lack. Without `in_full`, C4 is asked about none of these, and certificates are not compared. Raise `NoList` if C4 has no list,
    `ConfigError` if it refuses the token, `TryLater` if the list ended early, is empty, or lacks too many managed domains or all of
    several, or if `is_over` before its end.
    """
    return _Comparing(store, control_plane, limit, accept, is_over, in_full=in_full).run()


class _Comparing:
    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        limit: SuspicionLimit,
        accept: Accept,
        is_over: Callable[[], bool],
        *,
        in_full: bool,
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._limit = limit
        self._accept = accept
        self._is_over = is_over
        self._in_full = in_full
        self._result = Comparison()
        self._listed = Marks()
        self._unknown: list[Difference] = []

    def run(self) -> Comparison:
        for block in self._blocks():
            self._compare_block(block)
        self._look_up_fingerprints()
        if not self._result.listed:
            raise EmptyList(
                f"{C4}'s list of domains is empty, so {_NOTHING_COMPARED}",
                hint=f"ask the {C4:bare} team if that is true; `sslctl doctor` tests {C4}",
            )
        lacking = self._find_lacking()
        if self._in_full:
            self._ask_about(lacking)
        return self._result

    def _blocks(self) -> Iterator[list[Record]]:
        """Yield C4's list in blocks. Raise `NoList`, `ConfigError` or `TryLater` if it has none or it ends early."""
        try:
            records = self._c4.inventory()
            while block := list(islice(records, _BLOCK)):
                yield block
                if self._is_over():
                    raise TryLater(
                        f"{C4}'s list of domains took too long, so {_NOTHING_COMPARED}; {_PROVES_NOTHING}"
                    )
        except NoInventory as error:
            raise NoList(
                f"this {C4:bare} cannot list its domains, so {_NOTHING_COMPARED}: {error}",
                hint="the ticks still look at each managed domain once a day",
            ) from error
        except ControlPlaneError as error:
            consequence = f"{_NOTHING_COMPARED}; {_PROVES_NOTHING}"
            raise not_answered(f"{C4} did not give all of its list of domains", consequence, error) from error

    def _compare_block(self, block: list[Record]) -> None:
        result = self._result
        known = self._store.known_domains([record.name for record in block])
        result.listed += len(block)
        never_added = [record for record in block if record.name not in known]
        accepted = self._accept(never_added) if never_added else ()
        for record in block:
            domain = known.get(record.name)
            is_managed = domain is not None and domain.is_managed
            difference = Difference(record.name, record.customer, record.certificate, is_managed)
            if domain is None:
                self._add_unmanaged(difference, is_accepted=record.name in accepted)
            elif not is_managed:
                result.groups[Group.DELETED].add(difference)
            else:
                self._listed.add(domain.number)
                result.managed_listed += 1
            installed = record.certificate if self._in_full else None
            if installed is not None and (domain is None or installed.fingerprint not in domain.fingerprints):
                self._unknown.append(difference)
        if len(self._unknown) >= _LOOKED_UP_TOGETHER:
            self._look_up_fingerprints()

    def _add_unmanaged(self, difference: Difference, *, is_accepted: bool) -> None:
        if not is_accepted:
            self._result.left_out += 1
            return
        group = Group.UNMANAGED if is_usable(difference.name) else Group.UNUSABLE
        self._result.groups[group].add(difference)

    def _look_up_fingerprints(self) -> None:
        """Add those of the certificates, unknown for their own domains, that are of no other domain either."""
        unknown, self._unknown = self._unknown, []
        fingerprints = {each.installed.fingerprint for each in unknown if each.installed is not None}
        known = self._store.known_fingerprints(fingerprints) if fingerprints else set()
        for each in unknown:
            if each.installed is not None and each.installed.fingerprint not in known:
                self._result.groups[Group.UNKNOWN_CERTIFICATE].add(each)

    def _find_lacking(self) -> list[str]:
        """Return the managed domains that the list lacks. Raise `TryLater` if they are too many to be believed."""
        result, lacking, most = self._result, list[str](), self._limit.of(self._store.count_managed())
        number = after = 0
        while domains := self._store.managed_domains(after, _BLOCK):
            after = domains[-1].number
            result.managed += len(domains)
            for domain in domains:
                if domain.number in self._listed:
                    continue
                if domain.is_unknown:
                    result.groups[Group.IN_DISCARD].add(Difference(domain.name, is_managed=True))
                    continue
                number += 1
                if number <= most:
                    lacking.append(domain.name)
        is_all = number > 1 and not result.managed_listed
        if number > most or is_all:
            raise TryLater(
                f"{C4}'s list of {result.listed:,} domains lacks {number:,} of {result.managed:,} managed ones, which is too many to be"
                f" believed, so {_NOTHING_COMPARED}",
                hint=f"ask the {C4:bare} team; `sslctl recheck DOMAIN` asks {C4} about one domain",
            )
        return lacking

    def _ask_about(self, lacking: list[str]) -> None:
        reader = RecordReader(self._c4)
        domains = [each for each in self._store.domains_named(lacking) if each.deleted_at is None]
        answers = {answer.domain.name: answer.record is None for answer in reader.read(domains)}
        for domain in domains:
            group = Group.DROPPED if answers.get(domain.name) else Group.UNCONFIRMED
            self._result.groups[group].add(Difference(domain.name, is_managed=True))
        self._result.trouble = reader.trouble


def is_usable(name: str) -> bool:
    """Return whether sslctl can manage a domain of the name `name`, exactly as C4 spells it."""
    try:
        return names.normalise(name) == name
    except BadInput:
        return False
