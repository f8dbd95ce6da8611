"""Compare the inventory of C4 with the state: `sslctl sync`, and once a day the tick. A comparison changes nothing.

A list that ended early proves nothing about what it lacks, so it is not compared at all. A managed domain that the list lacks is
looked at by itself, because only that answer says that C4 does not know it. If many are lacking, the list is not believed.

The list is read in blocks, and of each group at most `MOST_KEPT` domains are kept, so memory is bounded for any number of domains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """C4's list has `listed` domains, of which `managed_listed` are managed here, where `managed` are. `groups` are the differences.

    `left_out` are domains that nobody manages and that were not accepted. `trouble` is why C4 was not asked about each domain that its list lacks, empty if it was.
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


def compare(
    store: _Store,
    control_plane: ControlPlane,
    limit: SuspicionLimit,
    *,
    accept: Callable[[Record], bool] = lambda _record: True,
) -> Comparison:
    """Return what differs between C4's list of domains and the state; change nothing.

    Domains that nobody manages are left out unless `accept` holds. `limit` is of how many managed domains the list may lack.
    Raise `BadInput` if C4 has no list, `ConfigError` if it refuses the token, `TryLater` if the list ended early, is empty, or lacks
    too many managed domains.
    """
    return _Comparing(store, control_plane, limit, accept).run()


class _Comparing:
    def __init__(
        self,
        store: _Store,
        control_plane: ControlPlane,
        limit: SuspicionLimit,
        accept: Callable[[Record], bool],
    ) -> None:
        self._store = store
        self._c4 = control_plane
        self._limit = limit
        self._accept = accept
        self._result = Comparison()
        # A byte for each domain that was ever added, by its number: 1 if it was listed. A set of names would need fifty times as much.
        self._listed = bytearray()
        self._unknown: list[Difference] = []

    def run(self) -> Comparison:
        for block in self._blocks():
            self._compare_block(block)
        self._look_up_fingerprints()
        if not self._result.listed:
            raise TryLater(
                f"C4's list of domains is empty, so {_NOTHING_COMPARED}",
                hint="ask the C4 team if that is true; `sslctl doctor` tests C4",
            )
        self._find_dropped()
        return self._result

    def _blocks(self) -> Iterator[list[Record]]:
        """Yield C4's list in blocks. Raise `BadInput`, `ConfigError` or `TryLater` if it has none or it ends early."""
        records = self._c4.inventory()
        try:
            while block := list(islice(records, _BLOCK)):
                yield block
        except NoInventory as error:
            raise BadInput(
                f"this C4 cannot list its domains, so {_NOTHING_COMPARED}: {error}",
                hint="the ticks still look at each managed domain once a day",
            ) from error
        except ControlPlaneError as error:
            consequence = f"{_NOTHING_COMPARED}; {_PROVES_NOTHING}"
            raise not_answered("C4 did not give all of its list of domains", consequence, error) from error

    def _compare_block(self, block: list[Record]) -> None:
        result = self._result
        known = self._store.known_domains([record.name for record in block])
        result.listed += len(block)
        for record in block:
            domain = known.get(record.name)
            is_managed = domain is not None and domain.is_managed
            difference = Difference(record.name, record.customer, record.certificate, is_managed)
            if domain is None:
                self._add_unmanaged(record, difference)
            elif not is_managed:
                result.groups[Group.DELETED].add(difference)
            else:
                self._mark(domain.number)
                result.managed_listed += 1
            installed = record.certificate
            if installed is not None and (domain is None or installed.fingerprint not in domain.fingerprints):
                self._unknown.append(difference)
        if len(self._unknown) >= _LOOKED_UP_TOGETHER:
            self._look_up_fingerprints()

    def _add_unmanaged(self, record: Record, difference: Difference) -> None:
        if not self._accept(record):
            self._result.left_out += 1
            return
        group = Group.UNMANAGED if is_usable(record.name) else Group.UNUSABLE
        self._result.groups[group].add(difference)

    def _look_up_fingerprints(self) -> None:
        """Add those of the certificates, unknown for their own domains, that are of no other domain either."""
        unknown, self._unknown = self._unknown, []
        fingerprints = {each.installed.fingerprint for each in unknown if each.installed is not None}
        known = self._store.known_fingerprints(fingerprints) if fingerprints else set()
        for each in unknown:
            if each.installed is not None and each.installed.fingerprint not in known:
                self._result.groups[Group.UNKNOWN_CERTIFICATE].add(each)

    def _mark(self, number: int) -> None:
        if number >= len(self._listed):
            self._listed.extend(bytes(max(number + 1 - len(self._listed), 1 << 16)))
        self._listed[number] = 1

    def _is_listed(self, number: int) -> bool:
        return number < len(self._listed) and bool(self._listed[number])

    def _find_dropped(self) -> None:
        """Ask C4 about each managed domain that its list lacks. Raise `TryLater` if they are too many to be believed."""
        result, lacking, most = self._result, list[str](), self._limit.of(self._store.count_managed())
        number = after = 0
        while domains := self._store.managed_domains(after, _BLOCK):
            after = domains[-1].number
            result.managed += len(domains)
            for domain in domains:
                if self._is_listed(domain.number):
                    continue
                if domain.is_unknown:
                    result.groups[Group.IN_DISCARD].add(Difference(domain.name, is_managed=True))
                    continue
                number += 1
                if number <= most:
                    lacking.append(domain.name)
        if number > most:
            raise TryLater(
                f"C4's list of {result.listed:,} domains lacks {number:,} of {result.managed:,} managed ones, which is too many to be"
                f" believed, so {_NOTHING_COMPARED}",
                hint="ask the C4 team; `sslctl recheck DOMAIN` asks C4 about one domain",
            )
        self._ask_about(lacking)

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
