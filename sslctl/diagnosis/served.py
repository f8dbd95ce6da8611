"""What the edge serves for a name on port 443, compared with what C4 has and what sslctl issued."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from cryptography.x509 import load_der_x509_certificate

from sslctl import edge
from sslctl.certificates import x509
from sslctl.certificates.trust import TrustedRoots
from sslctl.config.settings import CdnSection
from sslctl.errors import BadInput
from sslctl.preflight.ports import Address, at
from sslctl.rules.check_steps import CheckStep, StepGrade, StepResult
from sslctl.rules.model import Leaf
from sslctl.rules.singapore import format_sgt
from sslctl.system.threads import map_in_threads
from sslctl.text import clean
from sslctl.wording import C4

_SECONDS = 3
_MOST_NAMES = 5
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Expected:
    """The fingerprints of what should be served: what C4 has, None for nothing, and what sslctl issued; empty if not known."""

    on_c4: str | None
    ours: str


class ServedCheck:
    """The check of what is served. Browsers trust what leads to `roots`; with None trust is not checked."""

    def __init__(self, cdn: CdnSection, roots: TrustedRoots | None) -> None:
        self._cdn = cdn
        self._roots = roots

    def describe(
        self, name: str, addresses: Sequence[Address], expected: Expected, now: datetime
    ) -> StepResult:
        """Return which certificate each of `addresses` serves for `name`, and what is wrong with it.

        No problem of it affects an order. `addresses` accepted a connection to the HTTPS port before (`Inspected`), so they are
        known to be allowed. It takes at most 6 seconds.
        """
        if not addresses:
            why = "not checked, because port 443 of the CDN was not seen to be open"
            return StepResult(CheckStep.CERTIFICATE, name, StepGrade.SKIPPED, why)
        texts, are_good = dict[str, list[str]](), set[bool]()
        read = partial(self._read, name, expected, now)
        results = map_in_threads(read, addresses, len(addresses), "edge", wait=False, is_daemon=True)
        for address, (text, is_good) in zip(addresses, results, strict=True):
            texts.setdefault(text, []).append(at(address, self._cdn.https_port))
            are_good.add(is_good)
        found = "; ".join(f"{', '.join(where)}: {text}" for text, where in texts.items())
        is_well = are_good == {True}
        wanted = f"the certificate {expected.on_c4[:16]}, which {C4} has" if expected.on_c4 else ""
        grade = StepGrade.OK if is_well else StepGrade.WARN
        return StepResult(
            CheckStep.CERTIFICATE, name, grade, clean(found, _LONGEST), "" if is_well else wanted
        )

    def _read(self, name: str, expected: Expected, now: datetime, address: Address) -> tuple[str, bool]:
        """Return what `address` serves, in words, and whether it is well."""
        try:
            chain = edge.read_chain(str(address), self._cdn.https_port, name, _SECONDS)
            leaf = x509.read_leaf(ssl.DER_cert_to_PEM_cert(chain[0]))
        except (edge.NotServed, edge.NoAnswer) as error:
            return str(error), False
        except BadInput as error:
            return f"the certificate cannot be read: {error.message}", False
        problems = list(_find_problems(name, leaf, expected, now))
        if self._roots is not None and not _is_trusted(chain, self._roots, now):
            problems.append("browsers do not trust it")
        names = ", ".join(leaf.names[:_MOST_NAMES])
        if len(leaf.names) > _MOST_NAMES:
            names += f" and {len(leaf.names) - _MOST_NAMES} more"
        whose = " (issued by sslctl)" if leaf.fingerprint == expected.ours else ""
        text = (
            f"certificate {leaf.fingerprint[:16]}{whose} for {names or 'no name'}, from {leaf.issuer},"
            f" valid until {format_sgt(leaf.not_after)}"
        )
        return clean(f"{text}; {', '.join(problems)}" if problems else text, _LONGEST), not problems


def _find_problems(name: str, leaf: Leaf, expected: Expected, now: datetime) -> Iterator[str]:
    if not x509.covers(leaf.names, name):
        yield f"it is not valid for {name}"
    if leaf.not_after <= now:
        yield "it has expired"
    if leaf.not_before > now:
        yield f"it is valid only from {format_sgt(leaf.not_before)} on"
    if expected.on_c4 is None:
        yield f"{C4} has no certificate for the domain"
    elif expected.on_c4 and expected.on_c4 != leaf.fingerprint:
        yield f"it is not the one that {C4} has"


def _is_trusted(chain: Sequence[bytes], roots: TrustedRoots, now: datetime) -> bool:
    try:
        leaf, *others = map(load_der_x509_certificate, chain)
    except ValueError:
        return False
    return roots.trust_path(leaf, others, now)
