"""The chain of a pasted certificate: found among all certificates that were given, whatever their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509

from sslctl.certificates.issuers import find_issuer_fault, is_issued_by, is_root, readable_name
from sslctl.certificates.pem import translating_errors
from sslctl.certificates.trust import TrustedRoots
from sslctl.errors import BadInput

_MOST_GIVEN = 200
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain in order, from the issuer of the leaf on, without the root; and notes for a person about what was changed.

    `is_complete` is whether its last certificate, or the leaf, was issued by a root that is known or was given.
    """

    certificates: list[x509.Certificate]
    is_complete: bool
    notes: tuple[str, ...] = ()


@translating_errors("the chain cannot be read")
def arrange(
    leaf: x509.Certificate, given: Sequence[x509.Certificate], now: datetime, trusted: TrustedRoots
) -> Chain:
    """Return the chain of `leaf` that browsers accept at `now` (aware), made of certificates in `given`.

    1. If the certificates in `given` are a usable chain already, they stay, except for roots, copies and the leaf.
    2. Otherwise the shortest way to a trusted root is taken; without one, the way to a root in `given`; without that, the longest.

    Raise `BadInput` if none of `given` issued `leaf`, if the only way leads over a certificate that browsers refuse, and for
    more than 200 certificates.
    """
    if len(given) > _MOST_GIVEN:
        raise BadInput(f"the chain is too long: {len(given)} certificates, at most {_MOST_GIVEN} are read")
    pool = [one for one in dict.fromkeys(given) if one != leaf]
    steps = [one for one in pool if not is_root(one)]
    chain = steps if _is_usable(leaf, steps, now) else _search(leaf, pool, now, trusted)
    end = chain[-1] if chain else leaf
    issuers = [one for one in pool if one not in chain and is_issued_by(end, one)]
    is_complete = is_root(end) or bool(trusted.find_issuers(end, now))
    if pool and not chain and not issuers and not is_complete:
        raise BadInput(
            f"the chain is wrong: none of its certificates issued yours, which is from {readable_name(leaf.issuer)}",
            hint="Give the intermediate certificates that your CA sent with the certificate.",
        )
    if not is_complete:
        _require_usable_issuer(issuers, now)
    left_out = [one for one in pool if one not in chain]
    return Chain(
        chain,
        is_complete or any(map(is_root, issuers)),
        tuple(_describe(chain, given, left_out, issuers, now)),
    )


def _is_usable(leaf: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> bool:
    """Return whether `chain` is in order, and browsers accept each of its certificates."""
    links = pairwise([leaf, *chain])
    return all(is_issued_by(one, issuer) and find_issuer_fault(issuer, now) is None for one, issuer in links)


def _search(
    leaf: x509.Certificate, pool: Sequence[x509.Certificate], now: datetime, trusted: TrustedRoots
) -> list[x509.Certificate]:
    """Return the best chain in `pool`: a breadth-first search that takes each certificate once."""
    usable = [one for one in pool if find_issuer_fault(one, now) is None]
    chains = {leaf: list[x509.Certificate]()}
    complete: list[x509.Certificate] | None = None
    waiting = deque([leaf])
    longest: list[x509.Certificate] = []
    while waiting:
        current = waiting.popleft()
        longest = max(longest, chains[current], key=len)
        if trusted.find_issuers(current, now):
            return chains[current]
        issuers = [one for one in usable if one not in chains and is_issued_by(current, one)]
        if complete is None and any(map(is_root, issuers)):
            complete = chains[current]
        for issuer in issuers:
            if not is_root(issuer):
                chains[issuer] = [*chains[current], issuer]
                waiting.append(issuer)
    return longest if complete is None else complete


def _require_usable_issuer(issuers: Sequence[x509.Certificate], now: datetime) -> None:
    """Raise `BadInput` if browsers refuse all of `issuers`, one of which the chain needs."""
    faults = [(one, find_issuer_fault(one, now)) for one in issuers]
    if faults and all(fault is not None for _, fault in faults):
        issuer, fault = faults[0]
        raise BadInput(
            f"the chain is wrong: its certificate {readable_name(issuer.subject)} {fault}",
            hint="Get the current intermediate certificates from your CA.",
        )


def _describe(
    chain: Sequence[x509.Certificate],
    given: Sequence[x509.Certificate],
    left_out: Sequence[x509.Certificate],
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> list[str]:
    notes = []
    if [one for one in dict.fromkeys(given) if one in chain] != list(chain):
        notes.append("the chain was put in order")
    subjects = [one.subject for one in (*chain, *issuers)]
    reasons = []
    for one in left_out:
        fault = find_issuer_fault(one, now)
        if is_root(one):
            why = "a root, which browsers do not need" if one in issuers else "a root of another CA"
        elif fault is not None:
            why = f"it {fault}"
        elif one.subject in subjects:
            why = "another certificate of a CA in the chain"
        else:
            why = "not needed"
        reasons.append(f"{readable_name(one.subject)} ({why})")
    if reasons:
        more = f"; and {len(reasons) - _MOST_SHOWN} more" if len(reasons) > _MOST_SHOWN else ""
        notes.append(f"left out of the chain: {'; '.join(reasons[:_MOST_SHOWN])}{more}")
    return notes
