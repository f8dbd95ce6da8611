"""The creation, description and verification of keys, requests and certificates: pure functions of PEM text.

For any text, `BadInput` is the only error that is raised, and no message contains key material.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from sslctl.certificates.issuers import find_date_fault, find_extension, is_issued_by, readable_name
from sslctl.certificates.pem import (
    CURVES,
    SHORTEST_RSA,
    Key,
    read_certificates,
    read_key,
    translating_errors,
    write_certificate,
    write_key,
)
from sslctl.errors import BadInput
from sslctl.rules.certificate_choice import KEY_TYPES
from sslctl.rules.model import Bundle, Leaf
from sslctl.text import clean

_LONGEST_CHAIN = 10
_LEGACY_ROUNDS = 50_000

_LONGEST_COMMON_NAME = 64  # ub-common-name, RFC 5280 appendix A.1


@dataclass(frozen=True, slots=True)
class _Pair:
    leaf: x509.Certificate
    chain: list[x509.Certificate]
    key: Key


_CURVES: dict[str, ec.EllipticCurve] = {
    "ecdsa": ec.SECP256R1(),
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
}
_RSA_BITS = {"rsa": SHORTEST_RSA, "rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}


def make_key(key_type: str) -> str:
    """Return a new private key as PKCS#8 PEM text. Raise `BadInput` if `key_type` is none of `certificate_choice.KEY_TYPES`.

    `ecdsa` is P-256, and `rsa` has 2048 bits.
    """
    curve = _CURVES.get(key_type)
    if curve is not None:
        return write_key(ec.generate_private_key(curve))
    if key_type in _RSA_BITS:
        return write_key(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[key_type]))
    raise BadInput(f"unknown key type {clean(key_type, 40)!r}; use one of {', '.join(KEY_TYPES)}")


def make_csr(key_pem: str, names: Sequence[str]) -> str:
    """Return a certificate signing request as PEM text, for `names` (A-labels), signed by `key_pem`.

    Every name becomes a dNSName. The first is also the common name, if it fits (64 octets, RFC 5280, appendix A.1). Raise
    `BadInput` for an unusable key, without names, and for a name that is not ASCII.
    """
    key = read_key(key_pem)
    if not names:
        raise BadInput("a certificate needs at least one name")
    with translating_errors("the names cannot be used in a certificate"):
        fits = len(names[0]) <= _LONGEST_COMMON_NAME
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if fits else []
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        request = x509.CertificateSigningRequestBuilder(x509.Name(subject))
        # With an empty subject the alternative names are critical (RFC 5280, section 4.2.1.6).
        signed = request.add_extension(alternatives, critical=not subject).sign(key, SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def read_leaf(pem: str) -> Leaf:
    """Return the fields of the certificate in `pem`. `names` are its dNSNames, in order and without duplicates.

    A certificate that has only a common name has no names (RFC 9525, section 2). Raise `BadInput` unless `pem` is exactly
    one certificate.
    """
    return _describe(_read_one(pem))


def _read_one(pem: str) -> x509.Certificate:
    found = read_certificates(pem, "the certificate")
    if len(found) != 1:
        raise BadInput(f"expected one certificate, found {len(found)}")
    return found[0]


def renewal_id(pem: str) -> str | None:
    """Return the unique identifier of the certificate in `pem` for renewal information (ARI, RFC 9773, section 4.1).

    Return None if the certificate has no authority key identifier, or cannot be read.
    """
    try:
        certificate = _read_one(pem)
        with translating_errors("the certificate cannot be read"):
            authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            serial = certificate.serial_number
    except (BadInput, x509.ExtensionNotFound):
        return None
    if authority.key_identifier is None:
        return None
    # As in DER: one bit more than the number needs, for the sign.
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, signed=True)
    parts = (authority.key_identifier, octets)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def key_fingerprint(pem: str) -> str:
    """Return the SHA-256 of the public key (SubjectPublicKeyInfo, DER) of the certificate in `pem`, in lower-case hexadecimal.

    `pem` may have more than the certificate, which comes first. Raise `BadInput` if it has none that can be read.
    """
    leaf = read_certificates(pem, "the certificate", among_others=True)[0]
    with translating_errors("the certificate's public key cannot be read"):
        der = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()


def split_fullchain(pem: str) -> tuple[str, str]:
    """Return `(leaf, chain)` of a PEM text that starts with the leaf.

    Raise `BadInput` if it has no certificate, if a block is no certificate, or if the chain has more than 10.
    """
    leaf, *chain = read_certificates(pem, "the full chain")
    _check_length(chain)
    return write_certificate(leaf), _join(chain)


def covers(leaf_names: Iterable[str], name: str) -> bool:
    """Return whether a certificate with `leaf_names` is valid for `name`.

    A wildcard matches exactly one whole label, the leftmost (RFC 9525, section 6.3).
    """
    wanted = name.lower()
    label, _, parent = wanted.partition(".")
    acceptable = {wanted, f"*.{parent}"} if label and parent else {wanted}
    return any(own.lower() in acceptable for own in leaf_names)


def check_pair(
    certificate_pem: str, key_pem: str, chain_pem: str, names: Sequence[str], now: datetime
) -> None:
    """Raise `BadInput` unless certificate, key and chain belong together, cover `names` and are valid at `now` (aware).

    The message says what is wrong: the key, a name, the date or the chain. An empty chain is accepted. Whether the end of
    the chain is publicly trusted is not checked.
    """
    pair = _read_pair(certificate_pem, key_pem, chain_pem)
    _check_chain(pair)
    _check_key(pair)
    check_leaf(pair.leaf, names, now)


def check_leaf(certificate: x509.Certificate, names: Sequence[str], now: datetime) -> None:
    """Raise `BadInput` unless `certificate` covers `names` and is valid at `now` (aware)."""
    _check_names(_describe(certificate), names)
    fault = find_date_fault(certificate, now)
    if fault is not None:
        raise BadInput(f"the date is wrong: the certificate {fault}")


def to_pkcs12(bundle: Bundle, name: str, password: bytes, *, legacy: bool = False) -> bytes:
    """Return `bundle` as a PKCS#12 file (RFC 7292) with the friendly name `name`, encrypted with `password`.

    `legacy` is for programs that do not know AES: 3DES and SHA-1. `password` is UTF-8. Raise `BadInput` for an empty or
    unusable password, an unreadable bundle, and a key that does not match the certificate.
    """
    pair = _read_pair(bundle.certificate, bundle.private_key, bundle.chain)
    _check_key(pair)
    if not password:
        raise BadInput("a PKCS#12 file needs a password")
    with translating_errors("the name or the password cannot be used in a PKCS#12 file"):
        lock = _legacy_encryption(password) if legacy else BestAvailableEncryption(password)
        return pkcs12.serialize_key_and_certificates(
            name.encode(), pair.key, pair.leaf, pair.chain or None, lock
        )


def _legacy_encryption(password: bytes) -> KeySerializationEncryption:
    """Return the encryption of PKCS#12 that Windows Server 2016 and older read."""
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_LEGACY_ROUNDS)
    builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(SHA1())  # noqa: S303 - what these programs read
    return builder.build(password)


def _read_chain(pem: str) -> list[x509.Certificate]:
    chain = read_certificates(pem, "the chain") if pem.strip("\ufeff \t\r\n") else []
    _check_length(chain)
    return chain


def _read_pair(certificate_pem: str, key_pem: str, chain_pem: str) -> _Pair:
    # `openssl pkcs12 -nodes` writes one file with everything in it, also the key.
    leaf, *rest = read_certificates(certificate_pem, "the certificate", among_others=True)
    _check_length(rest)
    chain = _read_chain(chain_pem)
    if chain and rest and chain != rest:
        raise BadInput("the chain is wrong: it is not the chain in the certificate's file")
    return _Pair(leaf, chain or rest, read_key(key_pem))


def _describe(certificate: x509.Certificate) -> Leaf:
    with translating_errors("the certificate cannot be read"):
        return Leaf(
            names=read_names(certificate),
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            serial=f"{certificate.serial_number:x}",
            issuer=readable_name(certificate.issuer),
            key_type=_key_type(certificate.public_key()),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


def read_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the dNSNames of `certificate`, in order and without duplicates. Raise `BadInput` for one that is no host name."""
    extension = find_extension(certificate, x509.SubjectAlternativeName)
    if extension is None:
        return ()
    names = tuple(dict.fromkeys(name.lower() for name in extension.get_values_for_type(x509.DNSName)))
    # Never repaired: "shop.example.com" followed by a NUL must not become the name that it imitates.
    if any(clean(name) != name for name in names):
        raise BadInput("the certificate contains a name that is not a host name")
    return names


def has_other_names(pem: str) -> bool:
    """Return whether the certificate in `pem` has alternative names that are no dNSNames. Raise `BadInput` if it cannot be read."""
    extension = find_extension(_read_one(pem), x509.SubjectAlternativeName)
    return extension is not None and any(not isinstance(name, x509.DNSName) for name in extension)


def _key_type(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {CURVES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.removesuffix("PublicKey")


def _check_length(chain: Sequence[x509.Certificate]) -> None:
    if len(chain) > _LONGEST_CHAIN:
        raise BadInput(
            f"the chain is too long: {len(chain)} certificates, at most {_LONGEST_CHAIN} are allowed"
        )


def _check_chain(pair: _Pair) -> None:
    if pair.leaf in pair.chain:
        raise BadInput("the chain is wrong: it contains the certificate itself")
    for place, (one, issuer) in enumerate(pairwise([pair.leaf, *pair.chain])):
        if not is_issued_by(one, issuer):
            child = f"certificate {place} of the chain" if place else "the certificate"
            raise BadInput(
                f"the chain is wrong or not in order: {child} was not issued by certificate {place + 1} of the chain",
                hint="The chain must start with the certificate that issued yours, followed by the certificate that issued that one.",
            )


def _check_key(pair: _Pair) -> None:
    wanted = pair.key.public_key()
    with translating_errors("the certificate's public key cannot be read"):
        if pair.leaf.public_key() == wanted:
            return
    raise BadInput("the key is wrong: it does not match the certificate")


def _check_names(leaf: Leaf, names: Sequence[str]) -> None:
    missing = [name for name in names if not covers(leaf.names, name)]
    if missing:
        has = clean(", ".join(leaf.names) or "no names at all", 200)
        raise BadInput(
            f"a name is wrong: {clean(missing[0], 255)} is not in the certificate, which has {has}"
        )


def _join(certificates: Iterable[x509.Certificate]) -> str:
    return "".join(map(write_certificate, certificates))
