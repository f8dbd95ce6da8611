"""Files with keys and certificates in other forms than PEM: converted, or named for what they are.

For any content, `BadInput` is the only error that is raised, and no message contains key material.
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
    pkcs7,
    pkcs12,
)

from sslctl.certificates.pem import UNREADABLE, Key, require_usable_key, write_certificate
from sslctl.errors import BadInput
from sslctl.text import decode_text

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_PKCS7_BLOCK = re.compile(r"-----BEGIN PKCS7-----(.*?)-----END PKCS7-----", re.DOTALL)
_SEQUENCE = b"\x30"
# PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe SEQUENCE … (RFC 7292, section 4). The length before it has up to 5 bytes.
_PFX = re.compile(rb"\x30.{1,5}\x02\x01\x03\x30", re.DOTALL)
_SHORTEST_BASE64 = 100
# An RSA key of 8192 bits. The prime checks of larger keys take seconds to minutes.
_LARGEST_KEY = 6 * 1024

# How other files begin, what they are, and what to do.
_MAGIC = (
    (b"\xfe\xed\xfe\xed", "a Java keystore (JKS)", "convert it with `keytool -importkeystore -deststoretype pkcs12`, and use --pkcs12"),
    (b"\xce\xce\xce\xce", "a Java keystore (JCEKS)", "convert it with `keytool -importkeystore -deststoretype pkcs12`, and use --pkcs12"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and give the files in it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and give the files in it"),
    (b"%PDF", "a PDF document", None),
    (b"<", "an HTML or XML document", None),
    (b"PuTTY-User-Key-File", "a key of PuTTY", None),
    (b"ssh-", "an SSH key", None),
    (b"ecdsa-sha2-", "an SSH key", None),
)  # fmt: skip
# PEM blocks that are neither certificate nor key.
_LABELS = (
    ("CERTIFICATE REQUEST", "a certificate request (CSR)", "give the certificate that the CA issued for it"),
    ("TRUSTED CERTIFICATE", "an OpenSSL trusted certificate", "convert it with `openssl x509 -in FILE -out cert.pem`"),
    ("OPENSSH PRIVATE KEY", "an OpenSSH private key", "convert a copy of it with `ssh-keygen -p -m PEM -f FILE`"),
    ("PGP ", "a PGP key or message", None),
    ("SSH2 ", "an SSH key", None),
    ("PUBLIC KEY", "a public key", "give the private key or the certificate"),
    ("X509 CRL", "a revocation list (CRL)", None),
)  # fmt: skip


def read_pem(content: bytes, what: str) -> str:
    """Return the content of a file as PEM text. Messages call the file `what`.

    PEM may be in UTF-8 or UTF-16. DER becomes PEM: a certificate, a private key, and the certificates of a PKCS#7 file (.p7b).
    Base64 without its BEGIN and END lines is read, too. Raise `BadInput` for a file of a kind that is known and cannot be used
    here, such as PKCS#12, and say what it is. Other text is returned as it is.
    """
    text = decode_text(content, "replace")
    if "-----BEGIN" in text:
        _refuse_labels(text, what)
        return _PKCS7_BLOCK.sub(lambda block: _read_der(_decode(block[1], what), what), text)
    if content.startswith(_SEQUENCE):
        return _read_der(content, what)
    for start, kind, cure in _MAGIC:
        if content.startswith(start) or text.startswith(start.decode("latin-1")):
            raise BadInput(f"{what} is {kind}", hint=cure)
    if len(text) > _SHORTEST_BASE64 and _BASE64.fullmatch(text):
        der = _decode(text, what)
        if der.startswith(_SEQUENCE):
            return _read_der(der, what)
    return text


def read_pkcs12(content: bytes, password: bytes, what: str) -> tuple[Key, list[x509.Certificate]]:
    """Return the private key and the certificates of a PKCS#12 file (RFC 7292). `password` is UTF-8 and may be empty.

    Raise `BadInput` if the password is wrong, and if there is no key that can be used.
    """
    if not content.startswith(_SEQUENCE):
        read_pem(content, what)
        raise BadInput(f"{what} is not a PKCS#12 file")
    if _is_known_der(content):
        raise BadInput(f"{what} is not a PKCS#12 file", hint="use --cert and --key")
    # Some programs write an empty password as none.
    for attempt in (password, *((None,) if not password else ())):
        with suppress(*UNREADABLE):
            key, certificate, others = pkcs12.load_key_and_certificates(content, attempt)
            break
    else:
        raise BadInput(f"{what} cannot be read: the password is wrong, or the file is broken or not PKCS#12")
    if key is None:
        raise BadInput(
            f"{what} contains no private key", hint="export the certificate again, with its private key"
        )
    found = [] if certificate is None else [certificate]
    return require_usable_key(key), [*found, *others]


def _refuse_labels(text: str, what: str) -> None:
    if re.search("-----BEGIN (X509 |EC |RSA |ENCRYPTED )?(CERTIFICATE|PRIVATE KEY)-----", text):
        return
    for label, kind, cure in _LABELS:
        if re.search(f"-----BEGIN [A-Z0-9 ]{{0,20}}{label}", text):
            raise BadInput(f"{what} is {kind}", hint=cure)


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise BadInput(f"{what} is broken: its base64 text cannot be decoded") from None


def _is_known_der(der: bytes) -> bool:
    for load in (x509.load_der_x509_certificate, load_der_public_key, x509.load_der_x509_csr):
        with suppress(*UNREADABLE):
            load(der)
            return True
    return _read_der_key(der) is not None


def _read_der(der: bytes, what: str) -> str:
    """Return what is in `der` as PEM text. Raise `BadInput` if it is neither certificate nor private key."""
    with suppress(*UNREADABLE):
        return write_certificate(x509.load_der_x509_certificate(der))
    with suppress(*UNREADABLE):
        found = pkcs7.load_der_pkcs7_certificates(der)
        if found:
            return "".join(map(write_certificate, found))
    key = _read_der_key(der)
    if key is not None:
        return key
    with suppress(*UNREADABLE):
        x509.load_der_x509_csr(der)
        raise BadInput(
            f"{what} is a certificate request (CSR)", hint="give the certificate that the CA issued for it"
        )
    with suppress(*UNREADABLE):
        load_der_public_key(der)
        raise BadInput(f"{what} is a public key", hint="give the private key or the certificate")
    if _PFX.match(der):
        raise BadInput(
            f"{what} is a PKCS#12 file", hint="give it with --pkcs12 FILE in place of --cert and --key"
        )
    raise BadInput(f"{what} is a DER file that contains neither a certificate nor a private key")


def _read_der_key(der: bytes) -> str | None:
    """Return the private key in `der` as PEM text, or None if there is none. Raise `BadInput` if it is encrypted."""
    if len(der) > _LARGEST_KEY:
        return None
    try:
        key = load_der_private_key(der, None)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    except TypeError:
        raise BadInput("the key is encrypted; use a key without a passphrase") from None
    except UNREADABLE:
        return None
