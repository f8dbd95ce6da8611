"""The checks of the reference C4 on an uploaded certificate.

They deliberately use only `cryptography`: if they shared sslctl's own code for certificates, no test would find a mistake
in it.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sslctl.sandbox.c4.problems import Problem

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


def check_upload(
    domain: str, *, certificate: str, chain: str, private_key: str, fingerprint: str, now: datetime
) -> datetime:
    """Check the PEM text of an upload for `domain`, and return its expiry date, UTC.

    Raise `Problem` 422 with the contract's codes, in the contract's order: `bad_pair`, `name_mismatch`, `expired`.
    """
    leaf = _read_leaf(certificate)
    if leaf.fingerprint(hashes.SHA256()).hex() != fingerprint:
        raise _refuse("bad_pair", "fingerprint_sha256 is not that of the certificate.")
    if _read_public_key(private_key) != _public_key_of(leaf):
        raise _refuse("bad_pair", "The private key is not that of the certificate.")
    _check_chain(leaf, chain)
    if not any(_covers(name, domain) for name in _read_names(leaf)):
        raise _refuse("name_mismatch", "The domain is not among the names of the certificate.")
    if leaf.not_valid_after_utc <= now:
        raise _refuse("expired", "The certificate has expired.")
    return leaf.not_valid_after_utc


def _refuse(code: str, detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail)


def _read_leaf(pem: str) -> x509.Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except _UNREADABLE:
        certificates = []
    if len(certificates) != 1:
        raise _refuse("bad_pair", "certificate is not one PEM certificate.")
    return certificates[0]


def _read_public_key(pem: str) -> bytes:
    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        # Without the cause: no error that may quote the key goes into a traceback.
        raise _refuse("bad_pair", "private_key is not an unencrypted PEM private key.") from None


def _public_key_of(leaf: x509.Certificate) -> bytes:
    try:
        return leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE as error:
        raise _refuse("bad_pair", "The public key of the certificate cannot be read.") from error


def _check_chain(leaf: x509.Certificate, chain: str) -> None:
    if not chain.strip():
        return
    try:
        below = leaf
        for issuer in x509.load_pem_x509_certificates(chain.encode("ascii")):
            below.verify_directly_issued_by(issuer)
            below = issuer
    except (*_UNREADABLE, InvalidSignature) as error:
        raise _refuse("bad_pair", "The chain does not issue the certificate.") from error


def _read_names(leaf: x509.Certificate) -> list[str]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except _UNREADABLE as error:
        raise _refuse("bad_pair", "The extensions of the certificate cannot be read.") from error
    return extension.value.get_values_for_type(x509.DNSName)


def _covers(name: str, domain: str) -> bool:
    """Return whether `name` covers `domain`: a wildcard matches one whole leftmost label (RFC 9525, section 6.3)."""
    name = name.lower()
    if name.startswith("*."):
        return domain.partition(".")[2] == name[2:]
    return name == domain
