"""Pairs that people paste: the leaf is found by its key, and the chain is put in order.

For any text, `BadInput` is the only error that is raised, and no message contains key material.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from sslctl.certificates.chains import arrange
from sslctl.certificates.issuers import find_date_fault, is_ca
from sslctl.certificates.pem import (
    UNREADABLE,
    Key,
    read_certificates,
    read_key,
    translating_errors,
    write_certificate,
    write_key,
)
from sslctl.certificates.trust import TrustedRoots
from sslctl.certificates.verification import (
    find_warnings,
    is_precertificate,
    require_usable,
    require_usable_leaf,
)
from sslctl.certificates.x509 import check_leaf, covers, read_names
from sslctl.errors import BadInput
from sslctl.rules.model import Bundle


@dataclass(frozen=True, slots=True)
class Pasted:
    """A pair as normalised PEM text, and notes for a person: what was changed or left out, and who refuses the certificate."""

    bundle: Bundle
    notes: tuple[str, ...] = ()


def read_pair(
    certificate_pem: str,
    key_pem: str,
    chain_pem: str,
    names: Sequence[str],
    now: datetime,
    trusted: TrustedRoots,
) -> Pasted:
    """Return the pair that is in these texts, with the chain in order (`arrange`) and the key as PKCS#8.

    The leaf may be anywhere: it is the certificate that belongs to the key. If there are several, it is one that covers
    `names`, is valid at `now` (aware) and expires last. Raise `BadInput` if a part cannot be read or does not belong to the
    others, if the leaf does not cover `names` or is not valid at `now`, and if no browser accepts it (`require_usable`).
    """
    key = read_key(key_pem)
    given = read_certificates(certificate_pem, "the certificate", among_others=True)
    return make_pair(key, [*given, *read_chain(chain_pem)], names, now, trusted)


def read_chain(pem: str) -> list[x509.Certificate]:
    """Return the certificates in the text `pem`, which may be blank. Raise `BadInput` for anything else than certificates and keys."""
    return read_certificates(pem, "the chain", among_others=True) if pem.strip("\ufeff \t\r\n") else []


def make_pair(
    key: Key, given: Sequence[x509.Certificate], names: Sequence[str], now: datetime, trusted: TrustedRoots
) -> Pasted:
    """Return the pair of `key` and its certificate among `given`; see `read_pair`."""
    leaf = _pick_leaf(key, given, names, now)
    check_leaf(leaf, names, now)
    # Before its chain: nobody can verify who issued it if its signature uses SHA-1.
    require_usable_leaf(leaf)
    chain = arrange(leaf, given, now, trusted)
    roots = [root for one in (leaf, *chain.certificates) for root in trusted.find_issuers(one, now)]
    doubts = require_usable(leaf, chain.certificates, now, roots)
    bundle = Bundle(
        write_certificate(leaf), "".join(map(write_certificate, chain.certificates)), write_key(key)
    )
    return Pasted(bundle, (*chain.notes, *doubts, *find_warnings(leaf, chain, now, trusted)))


def _pick_leaf(
    key: Key, given: Sequence[x509.Certificate], names: Sequence[str], now: datetime
) -> x509.Certificate:
    with translating_errors("the certificate cannot be read"):
        wanted = key.public_key()
        found = [one for one in given if _has_key(one, wanted)]
        if not found:
            own = [one for one in given if not is_ca(one)]
            others = f"any of the {len(own)} certificates" if len(own) > 1 else "the certificate"
            raise BadInput(f"the key is wrong: it does not match {others}")
        return max(found, key=lambda one: _rank(one, names, now))


def _has_key(certificate: x509.Certificate, key: object) -> bool:
    try:
        return certificate.public_key() == key
    except UNREADABLE:
        return False


def _rank(
    certificate: x509.Certificate, names: Sequence[str], now: datetime
) -> tuple[bool, bool, bool, datetime]:
    """Return what makes `certificate` the better leaf of one key, most important first."""
    own = read_names(certificate)
    return (
        not is_precertificate(certificate),
        all(covers(own, name) for name in names),
        find_date_fault(certificate, now) is None,
        certificate.not_valid_after_utc,
    )
