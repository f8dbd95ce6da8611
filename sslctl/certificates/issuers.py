"""CA certificates: whether one issued another certificate, and whether browsers accept it in a chain."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sslctl.certificates.pem import CURVES, SHORTEST_RSA, UNREADABLE
from sslctl.text import clean

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_HASHES = ("sha256", "sha384", "sha512")


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether `certificate` is that of a CA (RFC 5280, section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether the name of `issuer` is the issuer of `certificate`, and its key signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether `certificate` is signed by `issuer`, and `issuer` is a CA: any key can sign."""
    return is_signed_by(certificate, issuer) and is_ca(issuer)


def find_extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the extension `kind` of `certificate`, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_root(certificate: x509.Certificate) -> bool:
    """Return whether `certificate` is a CA that signed itself."""
    if not is_ca(certificate) or certificate.subject != certificate.issuer:
        return False
    # Old roots are signed with SHA-1, which cannot be verified any more.
    return find_signature_fault(certificate) is not None or is_issued_by(certificate, certificate)


def readable_name(name: x509.Name) -> str:
    """Return organization and common name of `name` as one printable line."""
    parts = [
        f"{short}={clean(attribute.value, 100)}"
        for short, oid in (("O", NameOID.ORGANIZATION_NAME), ("CN", NameOID.COMMON_NAME))
        for attribute in name.get_attributes_for_oid(oid)
    ]
    return clean(", ".join(parts) or name.rfc4514_string() or "(no name)")


def find_date_fault(certificate: x509.Certificate, now: datetime) -> str | None:
    """Return what is wrong with the dates of `certificate` at `now` (aware), as the end of a sentence, or None."""
    if certificate.not_valid_after_utc <= now:
        return f"expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if certificate.not_valid_before_utc > now:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def find_signature_fault(certificate: x509.Certificate) -> str | None:
    """Return why browsers refuse the signature in `certificate`, as the end of a sentence, or None.

    They accept RSA and ECDSA with SHA-256, SHA-384 and SHA-512 (CA/Browser Forum BR, section 7.1.3.2).
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is not None and algorithm.name in _HASHES:
        return None
    used = (
        algorithm.name.upper() if algorithm is not None else certificate.signature_algorithm_oid.dotted_string
    )
    return f"is signed with {used.replace('SHA1', 'SHA-1')}, which browsers refuse"


def find_extension_fault(certificate: x509.Certificate) -> str | None:
    """Return which critical extension nobody knows, as the end of a sentence, or None (RFC 5280, section 4.2)."""
    for extension in certificate.extensions:
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            oid = extension.oid.dotted_string
            return f"has a critical extension that browsers do not know ({oid}), so they refuse it"
    return None


def find_issuer_fault(certificate: x509.Certificate, now: datetime) -> str | None:
    """Return why browsers refuse every chain with the CA certificate `certificate` at `now`, or None.

    The signature of a root does not matter, since nobody verifies it. The text is the end of a sentence that begins with the name of the certificate.
    """
    try:
        return (
            find_date_fault(certificate, now)
            or (None if is_root(certificate) else find_signature_fault(certificate))
            or _find_key_fault(certificate)
            or _find_usage_fault(certificate)
            or find_extension_fault(certificate)
        )
    except UNREADABLE:
        return "cannot be read"


def _find_key_fault(certificate: x509.Certificate) -> str | None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return (
            f"has a weak key: RSA {key.key_size}, the minimum is {SHORTEST_RSA}"
            if key.key_size < SHORTEST_RSA
            else None
        )
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return None
    return "has a key of a type that browsers refuse"


def _find_usage_fault(certificate: x509.Certificate) -> str | None:
    usage = find_extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "must not issue certificates (its key usage does not allow it)"
    usages = find_extension(certificate, x509.ExtendedKeyUsage)
    if usages is None:
        return None
    if ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        return None
    return "must not issue certificates for web servers (its extended key usage does not allow it)"
