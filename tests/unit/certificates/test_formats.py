"""Files that are not PEM: they are converted, or named for what they are."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.certificates.formats import read_pem, read_pkcs12
from sslctl.errors import BadInput
from tests.support.authorities import Authority, Key, key_pem, make_key, pem

ROOT, LOWER = Authority("Root"), Authority("Lower")
KEY = make_key()
LEAF, LOWER_BY_ROOT = LOWER.issue(KEY), ROOT.certify(LOWER)
DER = LEAF.public_bytes(Encoding.DER)
REQUEST = x509.CertificateSigningRequestBuilder(ROOT.subject).sign(KEY, SHA256())
PUBLIC = KEY.public_key()


def _p12(password: bytes) -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"shop", KEY, LEAF, [LOWER_BY_ROOT], lock)


P12 = _p12(b"secret")
CERTIFICATES = {
    "UTF-8": pem(LEAF).encode(),
    "UTF-8 with mark": pem(LEAF).encode("utf-8-sig"),
    "UTF-16 with mark": pem(LEAF).encode("utf-16"),
    "UTF-16 little-endian": pem(LEAF).encode("utf-16-le"),
    "UTF-16 big-endian": pem(LEAF).encode("utf-16-be"),
    "CRLF": pem(LEAF).replace("\n", "\r\n").encode(),
    "PEM after a line that begins like DER": b"0 s:CN = shop.example.com\n" + pem(LEAF).encode(),
    "DER": DER,
    "base64 alone": base64.encodebytes(DER),
    "base64 in one line of UTF-16": base64.b64encode(DER).decode().encode("utf-16"),
}


@pytest.mark.parametrize("form", CERTIFICATES)
def test_certificate_is_read_in_every_form(form: str) -> None:
    text = read_pem(CERTIFICATES[form], "f")
    assert text[text.index("-----BEGIN") :].strip() == pem(LEAF).strip()


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM], ids=str)
def test_certificates_of_a_pkcs7_file_are_read(encoding: Encoding) -> None:
    content = pkcs7.serialize_certificates([LEAF, LOWER_BY_ROOT], encoding)
    found = x509.load_pem_x509_certificates(read_pem(content, "f").encode())
    assert set(found) == {LEAF, LOWER_BY_ROOT}


@pytest.mark.parametrize("key", [KEY, rsa.generate_private_key(65537, 2048)], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=str)
def test_key_in_der_is_read(key: Key, form: PrivateFormat) -> None:
    assert read_pem(key.private_bytes(Encoding.DER, form, NoEncryption()), "f") == key_pem(key)


CSR = REQUEST.public_bytes(Encoding.PEM)
NAMED = {
    "PKCS#12": (P12, "f is a PKCS#12 file", "give it with --pkcs12 FILE in place of --cert and --key"),
    "CSR in DER": (REQUEST.public_bytes(Encoding.DER), "f is a certificate request (CSR)", "the CA issued"),
    "CSR in PEM": (CSR, "f is a certificate request (CSR)", "the CA issued"),
    "CSR of Windows": (
        CSR.replace(b" CERTIFICATE", b" NEW CERTIFICATE"),
        "f is a certificate request (CSR)",
        "the CA issued",
    ),
    "public key in DER": (
        PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "f is a public key",
        "give the private key",
    ),
    "public key in PEM": (
        PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "f is a public key",
        "give the private key",
    ),
    "encrypted key in DER": (
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        "the key is encrypted; use a key without a passphrase",
        "",
    ),
    "OpenSSH key": (
        KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "f is an OpenSSH private key",
        "ssh-keygen -p -m PEM",
    ),
    "Java keystore": (b"\xfe\xed\xfe\xed\x00\x00\x00\x02", "f is a Java keystore (JKS)", "keytool"),
    "ZIP": (b"PK\x03\x04\x14\x00", "f is a ZIP archive", "unpack it"),
    "HTML": (b"<!DOCTYPE html><html>", "f is an HTML or XML document", ""),
    "other DER": (b"\x30\x03\x02\x01\x07", "f is a DER file that contains neither", ""),
}


@pytest.mark.parametrize("kind", NAMED)
def test_file_that_cannot_be_used_is_named_for_what_it_is(kind: str) -> None:
    content, message, hint = NAMED[kind]
    with pytest.raises(BadInput) as caught:
        read_pem(content, "f")
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


def test_openssl_trusted_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text(pem(LEAF))
    command = ["openssl", "x509", "-in", "cert.pem", "-trustout"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    with pytest.raises(BadInput, match="f is an OpenSSL trusted certificate"):
        read_pem(made, "f")


@pytest.mark.parametrize("password", [b"secret", "pässwörd".encode(), b""])
def test_pkcs12_file_is_read(password: bytes) -> None:
    key, certificates = read_pkcs12(_p12(password), password, "f")
    assert key_pem(key) == key_pem(KEY)
    assert certificates == [LEAF, LOWER_BY_ROOT]


@pytest.mark.parametrize("password", ["secret", ""])
@pytest.mark.parametrize(
    "options", [[], ["-legacy"], ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"]]
)
def test_pkcs12_file_of_openssl_is_read(tmp_path: Path, password: str, options: list[str]) -> None:
    (tmp_path / "cert.pem").write_text(pem(LEAF, LOWER_BY_ROOT))
    (tmp_path / "key.pem").write_text(key_pem(KEY))
    command = ["openssl", "pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem"]
    command += ["-passout", f"pass:{password}", *options]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    key, certificates = read_pkcs12(made, password.encode(), "f")
    assert key_pem(key) == key_pem(KEY)
    assert set(certificates) == {LEAF, LOWER_BY_ROOT}


@pytest.mark.parametrize(
    ("content", "password", "message"),
    [
        (P12, b"wrong", "f cannot be read: the password is wrong, or the file is broken"),
        (P12, b"", "f cannot be read: the password is wrong"),
        (P12[:-20], b"secret", "f cannot be read: "),
        (P12, b"\xff", "f cannot be read: "),
        (pem(LEAF).encode(), b"secret", "f is not a PKCS#12 file"),
        (DER, b"secret", "f is not a PKCS#12 file"),
        (b"PK\x03\x04", b"secret", "f is a ZIP archive"),
        (b"", b"secret", "f is not a PKCS#12 file"),
        (
            pkcs12.serialize_key_and_certificates(None, None, LEAF, None, BestAvailableEncryption(b"x")),
            b"x",
            "f contains no private key",
        ),
    ],
)
def test_pkcs12_file_that_cannot_be_used_is_refused(content: bytes, password: bytes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_pkcs12(content, password, "f")
    assert caught.value.message.startswith(message)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"\x30" + tail)), st.binary(max_size=20))
def test_random_bytes_raise_only_bad_input(content: bytes, password: bytes) -> None:
    for read in (lambda: read_pem(content, "f"), lambda: read_pkcs12(content, password, "f")):
        try:
            read()
        except BadInput:
            continue
