"""Take over the certificates that certbot ordered by itself: keys, history and dates, as renewable certificates of source c4.

Nothing is uploaded or asked here. The next pass over a domain reads C4's record as always: a certificate that C4 has is recognised
by its fingerprint; one that C4 lacks is an upload that is owed, with the same safeguards as any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, Protocol

from sslctl.certificates import x509
from sslctl.errors import BadInput, Busy, SslctlError
from sslctl.issuance.claims import claimed
from sslctl.issuance.compromised_keys import is_compromised
from sslctl.issuer.certbot.lineages import Lineage
from sslctl.rules import names, status
from sslctl.rules.model import Bundle, Domain, Leaf, Source
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_expired
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.text import clean

# So many domains are committed together: other processes wait for a fraction of a second, and Ctrl-C loses no more work.
_BLOCK = 200
_SECOND = re.compile(r"-[0-9]{4}", re.ASCII)


class _Store(Claims, Domains, Revocations, Transactions, Versions, Protocol):
    """What an import reads and writes."""


class Action(StrEnum):
    """What is done with a lineage: its domain is new, gets newer certificates, has them already, or the lineage is refused."""

    ADD = "add"
    EXTEND = "extend"
    NONE = "none"
    REFUSE = "refuse"


class Version(NamedTuple):
    """A certificate that is taken over."""

    bundle: Bundle
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Imported:
    """What was done with the lineage `name`, or would be. With `REFUSE` there is an `error`, and perhaps no domain.

    `versions` are those that were taken over, `left_out` the number of those that could not be used.
    """

    name: str
    action: Action
    domain: str = ""
    sans: tuple[str, ...] = ()
    versions: tuple[Leaf, ...] = ()
    left_out: int = 0
    error: SslctlError | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which lineages are accepted: `cas` are the URLs of the directories of the configured CAs, `profile` the configured profile.

    Certificates of another CA must be those that `is_trusted` by browsers: staging certificates are not worth keeping.
    """

    cas: Collection[str]
    profile: str
    is_trusted: Callable[[Bundle], bool]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A lineage that can be taken over: its domain, and its usable versions, oldest first. The last one is the current one."""

    name: str
    domain: str
    sans: tuple[str, ...]
    versions: tuple[Version, ...]
    left_out: int
    ca: str

    def result(self, action: Action, versions: Iterable[Version] = ()) -> Imported:
        leaves = tuple(each.leaf for each in versions)
        return Imported(self.name, action, self.domain, self.sans, leaves, self.left_out)

    def refusal(self, error: SslctlError) -> Imported:
        return replace(self.result(Action.REFUSE), error=error)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a domain that has or will have certificates: the names, the fingerprints, and the newest `not_before`."""

    names: frozenset[str]
    fingerprints: frozenset[str]
    newest: datetime | None
    is_deleted: bool = False
    source: Source = Source.C4


class LineageImport:
    """The import of many lineages into `store`, which is None if there is no state yet. With `dry_run` nothing is recorded.

    New domains get the `customer`, if it is not empty.
    """

    def __init__(
        self,
        store: _Store | None,
        acceptance: Acceptance,
        clock: Callable[[], datetime],
        *,
        customer: str = "",
        dry_run: bool = False,
    ) -> None:
        self._store = store
        self._acceptance = acceptance
        self._clock = clock
        self._customer = customer
        self._records = store is not None and not dry_run
        # What a dry run would have recorded so far: several lineages may be of one domain.
        self._planned: dict[str, _Known] = {}

    def run(self, lineage_names: Iterable[str], read: Callable[[str], Lineage]) -> Iterator[Imported]:
        """Take over each lineage that `read` returns by its name, and yield what was done. `read` may raise `BadInput`.

        They are committed in blocks. Raise `StateError`, `StateBusy`; the blocks before it stay recorded.
        """
        left = iter(lineage_names)
        while block := list(islice(left, _BLOCK)):
            candidates = [self._examine(name, read) for name in block]
            yield from self._import(candidates)

    def _examine(self, name: str, read: Callable[[str], Lineage]) -> _Candidate | Imported:
        """Return what can be taken over of a lineage, or why nothing can be."""
        try:
            return examine(read(name), self._acceptance, self._clock())
        except BadInput as error:
            return Imported(name, Action.REFUSE, error=error)

    def _import(self, candidates: Iterable[_Candidate | Imported]) -> list[Imported]:
        """Record the new domains of `candidates` in one transaction, and then the changes of known domains one by one."""
        done: dict[str, Imported] = {}
        later: list[_Candidate] = []
        found = list(candidates)
        with self._store.transaction() if self._store is not None and self._records else nullcontext():
            for each in found:
                if isinstance(each, Imported):
                    done[each.name] = each
                elif self._find(each.domain) is not None:
                    later.append(each)
                else:
                    done[each.name] = self._add(each)
        for each in later:
            done[each.name] = self._extend(each)
        return [done[each.name] for each in found]

    def _find(self, name: str) -> _Known | None:
        if name in self._planned or self._store is None:
            return self._planned.get(name)
        domain = self._store.find(name)
        return None if domain is None else _known(domain, self._store)

    def _add(self, candidate: _Candidate) -> Imported:
        if not self._is_usable(candidate):
            return candidate.refusal(_compromised(candidate))
        if self._store is not None and self._records:
            domain = self._store.add_domain(candidate.domain, candidate.sans, Source.C4)
            self._record(domain, candidate, candidate.versions)
        else:
            self._plan(candidate, candidate.versions)
        return candidate.result(Action.ADD, candidate.versions)

    def _extend(self, candidate: _Candidate) -> Imported:
        """Add the versions that are newer than those of the known domain to it."""
        try:
            newer = self._find_newer(candidate)
            if not newer:
                # Without a claim, which costs two commits: a second run has nothing to do for most domains.
                return candidate.result(Action.NONE)
            if not self._is_usable(candidate):
                raise _compromised(candidate)
            if self._store is None or not self._records:
                self._plan(candidate, newer)
                return candidate.result(Action.EXTEND, newer)
            with claimed(self._store, candidate.domain), self._store.transaction():
                newer = self._find_newer(candidate)
                if not newer:
                    return candidate.result(Action.NONE)
                domain = self._store.domain(candidate.domain)
                # Due at once, even if it waits for midnight.
                domain = self._store.record_finding(domain, status.queued_finding(self._clock()))
                self._record(domain, candidate, newer)
        except (BadInput, Busy) as error:
            return candidate.refusal(error)
        return candidate.result(Action.EXTEND, newer)

    def _find_newer(self, candidate: _Candidate) -> list[Version]:
        known = self._find(candidate.domain)
        assert known is not None  # noqa: S101 - domains are never removed
        return _find_newer(candidate, known)

    def _record(self, domain: Domain, candidate: _Candidate, versions: Iterable[Version]) -> None:
        assert self._store is not None  # noqa: S101 - see `_records`
        domain = self._store.add_imported_certificates(domain, list(versions), candidate.ca)
        if self._customer:
            self._store.record_remarks(domain, replace(domain.remarks, customer=self._customer))

    def _plan(self, candidate: _Candidate, versions: Iterable[Version]) -> None:
        before = self._find(candidate.domain)
        fingerprints = frozenset(each.leaf.fingerprint for each in versions)
        self._planned[candidate.domain] = _Known(
            frozenset((candidate.domain, *candidate.sans)),
            fingerprints | (before.fingerprints if before else frozenset()),
            candidate.versions[-1].leaf.not_before,
        )

    def _is_usable(self, candidate: _Candidate) -> bool:
        return self._store is None or not is_compromised(self._store, candidate.versions[-1].bundle)


def examine(lineage: Lineage, acceptance: Acceptance, now: datetime) -> _Candidate:
    """Return what can be taken over of `lineage`. Raise `BadInput` if its current version cannot be used at `now`.

    An earlier version that cannot be used is left out.
    """
    checked = [_check_version(found) for _, found in lineage.versions]
    current = checked[-1]
    if isinstance(current, BadInput):
        raise current
    if is_expired(current.leaf, now):
        raise BadInput(
            f"its certificate expired {format_sgt(current.leaf.not_after)}",
            hint="`sslctl add` gets a new one, if the domain is still in use",
        )
    # Not valid yet: our clock is wrong, or that of who made it.
    x509.check_pair(current.bundle.certificate, current.bundle.private_key, current.bundle.chain, (), now)
    if x509.has_other_names(current.bundle.certificate):
        raise BadInput("its certificate is for an IP address, too, which sslctl does not order")
    domain, sans = choose_names(lineage.name, current.leaf.names)
    names.require_few((domain, *sans), acceptance.profile)
    if lineage.settings.server not in acceptance.cas and not acceptance.is_trusted(current.bundle):
        of = clean(lineage.settings.server or current.leaf.issuer, 100)
        raise BadInput(
            f"browsers do not trust its certificate, which is of a CA that is not configured: {of}"
        )
    usable = tuple(each for each in checked if isinstance(each, Version))
    return _Candidate(lineage.name, domain, sans, usable, len(checked) - len(usable), lineage.settings.server)


def choose_names(lineage_name: str, certified: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the domain of a certificate with the names `certified`, and its other names.

    It is the name of the lineage if the certificate has that: certbot names a lineage after its first domain, and adds `-0001` to a
    second one. Otherwise it is the certificate's first name. Raise `BadInput` if it has none, or one that sslctl cannot manage.
    """
    if not certified:
        raise BadInput("its certificate has no name")
    normal = names.normalise_all(certified)
    of_lineage = _SECOND.sub("", lineage_name) if _SECOND.fullmatch(lineage_name[-5:]) else lineage_name
    domain = of_lineage if of_lineage in normal else normal[0]
    return domain, tuple(name for name in normal if name != domain)


def _check_version(found: Bundle | BadInput) -> Version | BadInput:
    """Return the version with its leaf, whatever its dates are; the error if certificate, chain and key do not belong together."""
    if isinstance(found, BadInput):
        return found
    try:
        leaf = x509.read_leaf(found.certificate)
        x509.check_pair(found.certificate, found.private_key, found.chain, (), leaf.not_before)
    except BadInput as error:
        return error
    return Version(found, leaf)


def _known(domain: Domain, store: Versions) -> _Known:
    leaves = [each.leaf for each in store.certificates(domain)]
    return _Known(
        frozenset(domain.names),
        frozenset(leaf.fingerprint for leaf in leaves),
        max((leaf.not_before for leaf in leaves), default=None),
        domain.deleted_at is not None,
        domain.source,
    )


def _find_newer(candidate: _Candidate, known: _Known) -> list[Version]:
    """Return the versions that a known domain lacks, and that are newer than its own; none if it has the current one.

    Raise `BadInput` if the domain must not be changed.
    """
    domain, current = candidate.domain, candidate.versions[-1].leaf
    if known.is_deleted:
        raise BadInput(f"{domain} was deleted here", hint=f"`sslctl add {domain}` takes it up again")
    if known.source is Source.TEXT:
        raise BadInput(
            f"{domain} has a text certificate here, which stays",
            hint=f"`sslctl add {domain}` replaces it with one from the CA",
        )
    if current.fingerprint in known.fingerprints:
        return []
    if known.names != {domain, *candidate.sans}:
        listed = clean(", ".join(sorted(known.names)), 200)
        raise BadInput(
            f"{domain} is managed here with other names than the certificate has: {listed}",
            hint=f"`sslctl add {domain} --san NAME` changes the names, and orders a certificate for them",
        )
    newest = known.newest
    if newest is not None and current.not_before <= newest:
        raise BadInput(f"{domain} is managed here with a newer certificate, of {format_sgt(newest)}")
    return [each for each in candidate.versions if newest is None or each.leaf.not_before > newest]


def _compromised(candidate: _Candidate) -> BadInput:
    return BadInput(
        f"the key of {candidate.domain} is marked as compromised (`sslctl revoke`), so it is never used again",
        hint=f"`sslctl add {candidate.domain}` gets a certificate with a new key",
    )
