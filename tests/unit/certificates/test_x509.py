"""PEM facts: what is read from a certificate, and which pasted pairs are refused with which message.

The certificates are real ones, made here with `cryptography`; `openssl` reads the output.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
import subprocess
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
import trustme
from cryptography import x509 as crypto
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.certificates import x509
from sslctl.certificates.pasted import read_pair
from sslctl.certificates.trust import TrustedRoots
from sslctl.errors import BadInput
from sslctl.rules.certificate_choice import KEY_TYPES
from sslctl.rules.model import Bundle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ("shop.example.com", "www.example.com")


def _name(common_name: str, organization: str = "Test Trust") -> crypto.Name:
    return crypto.Name(
        [
            crypto.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            crypto.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@dataclass(frozen=True)
class Authority:
    """A CA made for one test; `certify` returns PEM."""

    name: crypto.Name
    key: ec.EllipticCurvePrivateKey
    pem: str

    @classmethod
    def make(cls, common_name: str, parent: Authority | None = None) -> Authority:
        key, name = ec.generate_private_key(ec.SECP256R1()), _name(common_name)
        issuer, signer = (parent.name, parent.key) if parent else (name, key)
        return cls(name, key, _certify(issuer, signer, name, key.public_key(), ca=True))

    def certify(
        self,
        public_key: CertificatePublicKeyTypes,
        names: tuple[str, ...] = NAMES,
        valid_from: datetime = NOW - timedelta(days=1),
        valid_until: datetime = NOW + timedelta(days=89),
    ) -> str:
        return _certify(self.name, self.key, _name("leaf"), public_key, names, valid_from, valid_until)


def _certify(
    issuer: crypto.Name,
    signer: CertificateIssuerPrivateKeyTypes,
    subject: crypto.Name,
    public_key: CertificatePublicKeyTypes,
    names: tuple[str, ...] = (),
    valid_from: datetime = NOW - timedelta(days=1),
    valid_until: datetime = NOW + timedelta(days=89),
    *,
    ca: bool = False,
) -> str:
    builder = (
        crypto.CertificateBuilder(issuer, subject, public_key)
        .serial_number(0x0ABC123456789)
        .not_valid_before(valid_from)
        .not_valid_after(valid_until)
        .add_extension(crypto.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        general = [crypto.DNSName(name) for name in names]
        builder = builder.add_extension(crypto.SubjectAlternativeName(general), critical=False)
    return builder.sign(signer, SHA256()).public_bytes(Encoding.PEM).decode()


def _pem(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def _load(key_pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


ROOT = Authority.make("Root")
INTERMEDIATE = Authority.make("Intermediate", ROOT)
STRANGER = Authority.make("Stranger")
IMITATOR = Authority.make("Intermediate")  # the right name, another key
KEY = x509.make_key("ecdsa")
LEAF = INTERMEDIATE.certify(_load(KEY).public_key())
CHAIN = INTERMEDIATE.pem + ROOT.pem
OTHER_KEY = x509.make_key("ecdsa")


# Roots are left out of a pasted chain.
PASTED = Bundle(LEAF, INTERMEDIATE.pem, KEY)


def _normalise(certificate: str, key: str, chain: str) -> Bundle:
    """Return the pair that a person pasted, as it is stored."""
    return read_pair(certificate, key, chain, NAMES, NOW, TrustedRoots()).bundle


def _refusal(certificate: str = LEAF, key: str = KEY, chain: str = CHAIN, now: datetime = NOW) -> BadInput:
    with pytest.raises(BadInput) as refused:
        x509.check_pair(certificate, key, chain, NAMES, now)
    _assert_no_key_in(str(refused.value) + str(refused.value.hint), key)
    return refused.value


def _assert_no_key_in(text: str, key: str) -> None:
    for line in key.splitlines():
        assert len(line) < 16 or line.startswith("-----") or line not in text


# Keys and requests


def test_make_key_returns_pkcs8_of_the_requested_type() -> None:
    ecdsa = serialization.load_pem_private_key(x509.make_key("ecdsa").encode(), None)
    assert isinstance(ecdsa, ec.EllipticCurvePrivateKey)
    assert ecdsa.curve.name == "secp256r1"
    made = x509.make_key("rsa")
    assert made.startswith("-----BEGIN PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(made.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_make_key_makes_every_kind_that_can_be_chosen(key_type: str) -> None:
    key = serialization.load_pem_private_key(x509.make_key(key_type).encode(), None)
    assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    assert key_type in (f"p{key.key_size}", f"rsa{key.key_size}")


def test_make_key_raises_bad_input_for_an_unknown_type() -> None:
    with pytest.raises(BadInput, match=r"'ed25519'.*p256, p384, rsa2048"):
        x509.make_key("ed25519")


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_make_csr_contains_every_name_and_openssl_verifies_it(key_type: str, tmp_path: Path) -> None:
    pem = x509.make_csr(x509.make_key(key_type), NAMES)
    (tmp_path / "csr.pem").write_text(pem)
    command = ["openssl", "req", "-in", str(tmp_path / "csr.pem"), "-verify", "-noout", "-text"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "DNS:shop.example.com, DNS:www.example.com" in shown
    assert "Subject: CN = shop.example.com" in shown


@pytest.mark.parametrize(("length", "stands"), [(64, True), (65, False)])
def test_make_csr_omits_the_common_name_when_the_first_name_exceeds_64_octets(
    length: int, stands: bool
) -> None:
    name = f"{'a' * (length - 12)}.example.com"
    assert len(name) == length
    request = crypto.load_pem_x509_csr(x509.make_csr(KEY, [name, "short.example.com"]).encode())
    common = [one.value for one in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert common == ([name] if stands else [])
    extension = request.extensions.get_extension_for_class(crypto.SubjectAlternativeName)
    assert extension.value.get_values_for_type(crypto.DNSName) == [name, "short.example.com"]
    assert extension.critical is not stands


@pytest.mark.parametrize("names", [[], ["münchen.example"], [""]], ids=str)
def test_make_csr_raises_bad_input_for_missing_or_non_ascii_names(names: list[str]) -> None:
    with pytest.raises(BadInput):
        x509.make_csr(KEY, names)


# The facts of a leaf


def test_read_leaf_agrees_with_openssl(tmp_path: Path) -> None:
    leaf = x509.read_leaf(LEAF)
    (tmp_path / "leaf.pem").write_text(LEAF)
    command = [
        "openssl",
        "x509",
        "-in",
        str(tmp_path / "leaf.pem"),
        "-noout",
        "-serial",
        "-fingerprint",
        "-sha256",
    ]
    shown = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.lower().replace(":", "")
    )
    assert f"serial={leaf.serial}\n" in shown
    assert f"sha256 fingerprint={leaf.fingerprint}\n" in shown
    assert leaf.names == NAMES
    assert leaf.issuer == "O=Test Trust, CN=Intermediate"
    assert leaf.key_type == "ECDSA P-256"
    assert (leaf.not_before, leaf.not_after) == (NOW - timedelta(days=1), NOW + timedelta(days=89))
    assert leaf.not_before.tzinfo is UTC
    assert leaf.not_after.tzinfo is UTC


def test_read_leaf_names_are_lower_case_in_order_and_only_unique_dns_names() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    general = [
        crypto.DNSName("Zed.Example.com"),
        crypto.IPAddress(ipaddress.ip_address("192.0.2.1")),
        crypto.DNSName("a.example.com"),
        crypto.DNSName("zed.example.com"),
    ]
    builder = crypto.CertificateBuilder(_name("x"), _name("x"), key.public_key(), 7, NOW, NOW + timedelta(1))
    signed = builder.add_extension(crypto.SubjectAlternativeName(general), critical=False).sign(key, SHA256())
    leaf = x509.read_leaf(signed.public_bytes(Encoding.PEM).decode())
    assert leaf.names == ("zed.example.com", "a.example.com")
    assert leaf.serial == "7"


def test_read_leaf_ignores_the_common_name() -> None:
    key = _load(KEY)
    pem = _certify(ROOT.name, ROOT.key, _name("shop.example.com"), key.public_key())
    assert x509.read_leaf(pem).names == ()
    assert "has no names at all" in str(_refusal(pem, chain=ROOT.pem))


def test_read_leaf_raises_bad_input_for_a_name_with_nul() -> None:
    pem = INTERMEDIATE.certify(_load(KEY).public_key(), ("shop.example.com\x00", "www.example.com"))
    with pytest.raises(BadInput, match="not a host name"):
        x509.read_leaf(pem)


def test_read_leaf_describes_key_types() -> None:
    def described(public_key: CertificatePublicKeyTypes) -> str:
        return x509.read_leaf(ROOT.certify(public_key)).key_type

    assert described(ec.generate_private_key(ec.SECP384R1()).public_key()) == "ECDSA P-384"
    assert described(rsa.generate_private_key(65537, 2048).public_key()) == "RSA 2048"
    assert described(ed25519.Ed25519PrivateKey.generate().public_key()) == "Ed25519"


def test_read_leaf_cleans_the_issuer_of_control_characters() -> None:
    hostile = _name("\x1b[31mred\n\u202eevil", organization="A" * 64)
    pem = _certify(hostile, ROOT.key, _name("x"), _load(KEY).public_key())
    assert x509.read_leaf(pem).issuer == f"O={'A' * 64}, CN=red evil"


def test_read_leaf_describes_an_issuer_without_organization_and_common_name() -> None:
    country = crypto.Name([crypto.NameAttribute(NameOID.COUNTRY_NAME, "SG")])
    key = _load(KEY).public_key()
    assert x509.read_leaf(_certify(country, ROOT.key, country, key)).issuer == "C=SG"
    assert x509.read_leaf(_certify(crypto.Name([]), ROOT.key, country, key)).issuer == "(no name)"


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        ("", "no PEM certificate"),
        ("hello", "no PEM certificate"),
        (LEAF + ROOT.pem, "expected one certificate, found 2"),
        (KEY, "'PRIVATE KEY', which is no certificate"),
        (x509.make_csr(KEY, NAMES), "'CERTIFICATE REQUEST', which is no certificate"),
        (LEAF[: len(LEAF) // 2], "incomplete"),
        (
            LEAF.replace("END CERTIFICATE", "END PRIVATE KEY"),
            "END line of a PEM block does not match its BEGIN line",
        ),
        (LEAF.replace("MII", "M!I", 1), "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "cannot be read"),
        (LEAF + " " * 256 * 1024, "larger than 256 KiB"),
    ],
    ids=lambda value: value[:30].strip("-\n") if isinstance(value, str) else None,
)
def test_read_leaf_raises_bad_input_with_the_reason_for_anything_but_one_certificate(
    pem: str, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        x509.read_leaf(pem)


# Chains


def test_read_pair_splits_the_chain_into_clean_blocks() -> None:
    untidy = "\ufeffsubject=x\r\n" + CHAIN.replace("\n", " \r\n") + "\r\n\r\n"
    assert _normalise(LEAF, KEY, untidy).chain == INTERMEDIATE.pem
    assert _normalise(LEAF, KEY, " \r\n").chain == ""


def test_split_fullchain_returns_the_leaf_and_the_chain() -> None:
    assert x509.split_fullchain(LEAF + CHAIN) == (LEAF, CHAIN)
    assert x509.split_fullchain(LEAF) == (LEAF, "")
    with pytest.raises(BadInput, match="no PEM certificate"):
        x509.split_fullchain("")


def test_chain_of_more_than_ten_certificates_is_refused() -> None:
    assert x509.split_fullchain(LEAF + ROOT.pem * 10)[1] == ROOT.pem * 10
    for read in (
        lambda: x509.split_fullchain(LEAF + ROOT.pem * 11),
        lambda: x509.check_pair(LEAF + ROOT.pem * 11, KEY, "", NAMES, NOW),
        lambda: x509.check_pair(LEAF, KEY, ROOT.pem * 11, NAMES, NOW),
    ):
        with pytest.raises(BadInput, match="chain is too long: 11"):
            read()


@pytest.mark.parametrize(
    "junk", ["hello", KEY, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_check_pair_refuses_a_chain_that_contains_anything_else(junk: str) -> None:
    assert "the chain" in str(_refusal(chain=junk))


# Names


@pytest.mark.parametrize(
    ("own", "name", "expected"),
    [
        ("shop.example.com", "shop.example.com", True),
        ("Shop.Example.COM", "shop.EXAMPLE.com", True),
        ("*.example.com", "shop.example.com", True),
        ("*.example.com", "a.shop.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("sh*.example.com", "shop.example.com", False),
        ("*.*.example.com", "a.b.example.com", False),
        ("shop.*.com", "shop.example.com", False),
        ("*", "com", False),
        ("*.", "com", False),
        ("example.com", "shop.example.com", False),
        ("xshop.example.com", "shop.example.com", False),
    ],
)
def test_covers_matches_a_wildcard_with_one_whole_label(own: str, name: str, expected: bool) -> None:
    assert x509.covers(["else.example.net", own], name) is expected


# Pairs


def test_valid_pair_is_accepted_and_normalised() -> None:
    x509.check_pair(LEAF, KEY, CHAIN, NAMES, NOW)
    x509.check_pair(LEAF, KEY, INTERMEDIATE.pem, NAMES, NOW)
    x509.check_pair(LEAF, KEY, "", NAMES, NOW)
    assert _normalise(LEAF, KEY, CHAIN) == PASTED


def test_check_pair_accepts_a_wildcard_certificate() -> None:
    x509.check_pair(INTERMEDIATE.certify(_load(KEY).public_key(), ("*.example.com",)), KEY, CHAIN, NAMES, NOW)


@pytest.mark.parametrize(
    "untidy",
    [
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: "\ufeff" + pem,
        lambda pem: "Bag Attributes\n    localKeyID: 01 02\nsubject=CN = leaf\n" + pem,
        lambda pem: pem.replace("\n", "  \n") + "\n\n \t\n",
        lambda pem: "".join(f"    {line}\n" for line in pem.splitlines()),
        lambda pem: pem.replace("BEGIN CERT", "BEGIN X509 CERT").replace("END CERT", "END X509 CERT"),
    ],
    ids=["CRLF", "BOM", "bag attributes", "trailing space", "indented", "old label"],
)
def test_untidy_pem_text_is_accepted_and_cleaned(untidy) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001 - a lambda
    x509.check_pair(untidy(LEAF), untidy(KEY), untidy(CHAIN), NAMES, NOW)
    assert _normalise(untidy(LEAF), untidy(KEY), untidy(CHAIN)) == PASTED


def test_read_pair_takes_the_chain_from_the_certificate_file() -> None:
    assert _normalise(LEAF + CHAIN, KEY, "\n") == PASTED
    assert _normalise(LEAF + CHAIN, KEY, CHAIN) == PASTED
    assert "not the chain in the certificate's file" in str(_refusal(LEAF + CHAIN, chain=STRANGER.pem))


def test_read_pair_accepts_one_file_as_both_certificate_and_key() -> None:
    everything = KEY + LEAF + CHAIN
    assert _normalise(everything, everything, "") == PASTED


@pytest.mark.parametrize("tool", ["ec", "rsa"])
def test_read_pair_converts_traditional_openssl_keys_to_pkcs8(tool: str) -> None:
    key = _load(KEY) if tool == "ec" else rsa.generate_private_key(65537, 2048)
    old = _pem(key, PrivateFormat.TraditionalOpenSSL)
    assert f"BEGIN {tool.upper()} PRIVATE KEY" in old
    # `openssl ecparam -genkey` writes its parameters before the key.
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    leaf = INTERMEDIATE.certify(key.public_key())
    x509.check_pair(leaf, parameters + old, CHAIN, NAMES, NOW)
    assert _normalise(leaf, parameters + old, CHAIN).private_key == _pem(key)


def test_check_pair_reports_a_key_that_does_not_match() -> None:
    assert "the key is wrong: it does not match" in str(_refusal(key=OTHER_KEY))
    assert "the key is wrong: it does not match" in str(_refusal(key=x509.make_key("rsa")))


def test_check_pair_reports_a_missing_name_and_the_names_of_the_certificate() -> None:
    pem = INTERMEDIATE.certify(_load(KEY).public_key(), ("shop.example.com",))
    assert str(_refusal(pem)) == (
        "a name is wrong: www.example.com is not in the certificate, which has shop.example.com"
    )


def test_check_pair_dates_are_inclusive_at_the_start_and_exclusive_at_the_end() -> None:
    begin, end = NOW - timedelta(days=1), NOW + timedelta(days=89)
    x509.check_pair(LEAF, KEY, CHAIN, NAMES, begin)
    x509.check_pair(LEAF, KEY, CHAIN, NAMES, end - timedelta(seconds=1))
    assert "the date is wrong: the certificate expired at 2026-05-29 12:00 UTC" in str(_refusal(now=end))
    early = _refusal(now=begin - timedelta(seconds=1))
    assert "the date is wrong: the certificate is not valid before 2026-02-28 12:00 UTC" in str(early)


@pytest.mark.parametrize(
    ("certificate", "chain", "complaint"),
    [
        (LEAF, ROOT.pem + INTERMEDIATE.pem, "the certificate was not issued by certificate 1 of the chain"),
        (LEAF, INTERMEDIATE.pem + STRANGER.pem, "certificate 1 of the chain was not issued by certificate 2"),
        (LEAF, STRANGER.pem, "the certificate was not issued by certificate 1"),
        (LEAF, IMITATOR.pem, "the certificate was not issued by certificate 1"),
        (INTERMEDIATE.pem, LEAF, "the certificate was not issued by certificate 1"),
        (LEAF, LEAF + CHAIN, "contains the certificate itself"),
        (LEAF, CHAIN + LEAF, "contains the certificate itself"),
        (LEAF + LEAF, "", "contains the certificate itself"),
    ],
    ids=["swapped", "foreign end", "foreign", "same name", "leaf and chain swapped", "full", "last", "twice"],
)
def test_check_pair_reports_a_chain_that_is_not_in_order(
    certificate: str, chain: str, complaint: str
) -> None:
    message = str(_refusal(certificate, chain=chain))
    assert message.startswith("the chain is wrong")
    assert complaint in message


def test_check_pair_reports_a_wrong_chain_when_the_issuer_is_not_a_ca() -> None:
    key = _load(KEY)
    own = _certify(_name("leaf"), key, _name("leaf"), key.public_key(), NAMES)
    forged = _certify(_name("leaf"), key, _name("forged"), _load(OTHER_KEY).public_key(), NAMES)
    assert "the chain is wrong" in str(_refusal(forged, OTHER_KEY, own))


def test_check_pair_accepts_a_self_signed_certificate_without_a_chain() -> None:
    key = _load(KEY)
    own = _certify(_name("leaf"), key, _name("leaf"), key.public_key(), NAMES)
    x509.check_pair(own, KEY, "", NAMES, NOW)
    assert "contains the certificate itself" in str(_refusal(own, KEY, own))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=str)
def test_check_pair_reports_an_encrypted_key(form: PrivateFormat) -> None:
    lock = serialization.BestAvailableEncryption(b"hunter2")
    encrypted = _load(KEY).private_bytes(Encoding.PEM, form, lock).decode()
    assert str(_refusal(key=encrypted)) == "the key is encrypted; use a key without a passphrase"


def test_check_pair_refuses_keys_that_no_public_ca_certifies() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    assert "the key is too weak: RSA 1024" in str(_refusal(key=_pem(weak)))
    odd: list[PrivateKeyTypes] = [
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
        ec.generate_private_key(ec.SECP256K1()),
    ]
    for key in odd:
        assert "type is not supported" in str(_refusal(key=_pem(key)))


def test_check_pair_refuses_no_key_two_keys_and_oversized_keys() -> None:
    assert "expected one PEM private key, found none" in str(_refusal(key=LEAF))
    assert "expected one PEM private key, found 2" in str(_refusal(key=KEY + OTHER_KEY))
    assert "the key is larger than" in str(_refusal(key=KEY + " " * 256 * 1024))
    padded = KEY.replace("-----\n", "-----\n" + "A" * 9_000, 1)
    assert "the key is too large" in str(_refusal(key=padded))


def test_check_pair_accepts_pairs_made_by_trustme() -> None:
    authority = trustme.CA()
    issued = authority.create_child_ca().issue_cert("shop.example.com")
    leaf, *chain = (blob.bytes().decode() for blob in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes().decode()
    x509.check_pair(leaf, key, "".join(chain), ["shop.example.com"], datetime.now(UTC))


# PKCS#12


def test_to_pkcs12_output_can_be_read_by_openssl(tmp_path: Path) -> None:
    bundle = Bundle(LEAF, CHAIN, KEY)
    (tmp_path / "out.p12").write_bytes(x509.to_pkcs12(bundle, "shop.example.com", "pässword".encode()))
    (tmp_path / "password").write_text("pässword\n")
    command = [
        "openssl",
        "pkcs12",
        "-in",
        str(tmp_path / "out.p12"),
        "-passin",
        f"file:{tmp_path / 'password'}",
        "-nodes",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "friendlyName: shop.example.com" in shown
    assert _normalise(shown, shown, "") == PASTED
    (tmp_path / "password").write_text("wrong\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_to_pkcs12_without_a_chain_contains_only_the_leaf() -> None:
    packed = x509.to_pkcs12(Bundle(LEAF, "", KEY), "x", b"secret")
    _, certificate, others = pkcs12.load_key_and_certificates(packed, b"secret")
    assert certificate is not None
    assert certificate.public_bytes(Encoding.PEM).decode() == LEAF
    assert others == []


@pytest.mark.parametrize(
    ("bundle", "name", "password", "complaint"),
    [
        (Bundle(LEAF, CHAIN, KEY), "x", b"", "needs a password"),
        (Bundle(LEAF, CHAIN, KEY), "x", b"\xff", "name or the password"),
        (Bundle(LEAF, CHAIN, KEY), "\ud800", b"secret", "name or the password"),
        (Bundle(LEAF, CHAIN, OTHER_KEY), "x", b"secret", "the key is wrong"),
        (Bundle("", CHAIN, KEY), "x", b"secret", "no PEM certificate"),
    ],
    ids=["empty password", "not UTF-8", "odd name", "other key", "no certificate"],
)
def test_to_pkcs12_raises_bad_input_for_unusable_arguments(
    bundle: Bundle, name: str, password: bytes, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        x509.to_pkcs12(bundle, name, password)


# Hostile input


def _read_everything(pem: str, key: str = KEY, chain: str = CHAIN) -> None:
    """Call every reader; anything but `BadInput` escapes and fails the test."""
    for read in (
        lambda: x509.read_leaf(pem),
        lambda: x509.split_fullchain(pem),
        lambda: x509.split_fullchain(pem),
        lambda: x509.make_csr(key, ["a.example.com"]),
        lambda: _normalise(pem, key, chain),
        lambda: x509.check_pair(pem, key, chain, NAMES, NOW),
        lambda: x509.to_pkcs12(Bundle(pem, chain, key), "x", b"secret"),
    ):
        try:
            read()
        except BadInput as refused:
            _assert_no_key_in(refused.message, key)


def _changed(pem: str, old: bytes, new: bytes) -> str:
    """Return `pem` with one sequence of its DER bytes replaced by another of the same length."""
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert der.count(old) == 1
    assert len(old) == len(new)
    return ssl.DER_cert_to_PEM_cert(der.replace(old, new))


_ODD = {
    "version 6": _changed(LEAF, bytes.fromhex("A003020102"), bytes.fromhex("A003020105")),
    "basic constraints twice": _changed(LEAF, bytes.fromhex("0603551D11"), bytes.fromhex("0603551D13")),
    "X.400 address for a name": _changed(LEAF, b"\x82\x10shop.", b"\xa3\x10shop."),
}


@pytest.mark.parametrize("pem", _ODD.values(), ids=_ODD.keys())
def test_read_leaf_raises_bad_input_for_a_certificate_that_violates_the_profile(pem: str) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        x509.read_leaf(pem)
    _read_everything(pem)
    _read_everything(LEAF, KEY, pem)


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_read_leaf_raises_bad_input_for_a_negative_serial_under_any_warning_filter(
    action: Literal["error", "ignore"],
) -> None:
    pem = _changed(LEAF, bytes.fromhex("020700ABC123456789"), bytes.fromhex("020780ABC123456789"))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(BadInput, match="certificate 1 in the certificate"):
            x509.read_leaf(pem)


def test_check_pair_reports_a_wrong_chain_when_the_key_of_the_issuer_cannot_sign() -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    mute = _certify(ROOT.name, ROOT.key, INTERMEDIATE.name, key, ca=True)
    assert "the chain is wrong" in str(_refusal(chain=mute))


_bounded = settings(max_examples=150, deadline=None)


@_bounded
@given(st.text(), st.text(), st.text())
def test_random_text_raises_only_bad_input(certificate: str, key: str, chain: str) -> None:
    _read_everything(certificate, key, chain)


@_bounded
@given(
    st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]),
    st.binary(max_size=400),
)
def test_random_der_raises_only_bad_input(label: str, der: bytes) -> None:
    pem = ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", label)
    _read_everything(pem, pem, pem)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_certificate_with_changed_bytes_is_read_unchanged_or_refused(data: st.DataObject) -> None:
    der = bytearray(ssl.PEM_cert_to_DER_cert(LEAF))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    pem = ssl.DER_cert_to_PEM_cert(bytes(der))
    _read_everything(pem, KEY, pem)
    try:
        leaf = x509.read_leaf(pem)
    except BadInput:
        return
    assert leaf.fingerprint == hashlib.sha256(der).hexdigest()
    assert ssl.PEM_cert_to_DER_cert(x509.split_fullchain(pem)[0]) == bytes(der)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_key_with_changed_characters_is_never_quoted_in_a_refusal(data: st.DataObject) -> None:
    key = list(KEY)
    for _ in range(data.draw(st.integers(1, 3))):
        key[data.draw(st.integers(0, len(key) - 1))] = data.draw(st.sampled_from("Aaz09+/=- \n\x00é"))
    _read_everything(LEAF, "".join(key))


@_bounded
@given(st.text(), st.text(max_size=80), st.binary(max_size=80))
def test_random_names_and_passwords_raise_only_bad_input(name: str, other: str, password: bytes) -> None:
    x509.covers([other], name)
    for write in (
        lambda: x509.make_csr(KEY, [name, other]),
        lambda: x509.make_key(name),
        lambda: x509.to_pkcs12(Bundle(LEAF, CHAIN, KEY), name, password),
    ):
        try:
            write()
        except BadInput:
            continue


# The id of renewal information


def _identified(serial: int, key_identifier: bytes | None) -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("A CA")
    builder = (
        crypto.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if key_identifier is not None:
        named = (None, None) if key_identifier else ([crypto.DirectoryName(name)], 1)
        authority = crypto.AuthorityKeyIdentifier(key_identifier or None, *named)
        builder = builder.add_extension(authority, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


_RFC_9773_KEY = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        # The example of RFC 9773, section 4.1, whose serial has a leading zero octet for its sign.
        (0x87654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
        (0x7654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2VDIQ"),
        (0x7F, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.fw"),
        (0x80, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIA"),
        (0xFB_FF_BF, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.APv_vw"),
    ],
)
def test_renewal_id_follows_rfc_9773(serial: int, expected: str) -> None:
    assert x509.renewal_id(_identified(serial, _RFC_9773_KEY)) == expected


@pytest.mark.parametrize("key_identifier", [None, b""], ids=["no extension", "issuer and serial alone"])
def test_renewal_id_is_none_without_the_key_identifier_of_the_issuer(key_identifier: bytes | None) -> None:
    assert x509.renewal_id(_identified(1, key_identifier)) is None


@pytest.mark.parametrize(
    "text", ["", "nothing", "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n"]
)
def test_renewal_id_is_none_for_unreadable_text(text: str) -> None:
    assert x509.renewal_id(text) is None
