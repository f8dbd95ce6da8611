"""PEM facts: what is read from a certificate, and which pasted pairs are refused with which word.

The certificates are real ones, made here with `cryptography`; `openssl` reads what was written.
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
from sslctl.errors import BadInput
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
    """A CA made for one test; `certify` gives PEM."""

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


def _refusal(certificate: str = LEAF, key: str = KEY, chain: str = CHAIN, now: datetime = NOW) -> BadInput:
    with pytest.raises(BadInput) as refused:
        x509.check_pair(certificate, key, chain, NAMES, now)
    _assert_no_key_in(str(refused.value) + str(refused.value.hint), key)
    return refused.value


def _assert_no_key_in(text: str, key: str) -> None:
    for line in key.splitlines():
        assert len(line) < 16 or line.startswith("-----") or line not in text


# Keys and requests


def test_made_keys_are_pkcs8_of_the_type_asked_for() -> None:
    ecdsa = serialization.load_pem_private_key(x509.make_key("ecdsa").encode(), None)
    assert isinstance(ecdsa, ec.EllipticCurvePrivateKey)
    assert ecdsa.curve.name == "secp256r1"
    made = x509.make_key("rsa")
    assert made.startswith("-----BEGIN PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(made.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


def test_an_unknown_key_type_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"'ed25519'.*ecdsa or rsa"):
        x509.make_key("ed25519")


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_a_request_carries_every_name_and_openssl_verifies_it(key_type: str, tmp_path: Path) -> None:
    pem = x509.make_csr(x509.make_key(key_type), NAMES)
    (tmp_path / "csr.pem").write_text(pem)
    command = ["openssl", "req", "-in", str(tmp_path / "csr.pem"), "-verify", "-noout", "-text"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "DNS:shop.example.com, DNS:www.example.com" in shown
    assert "Subject: CN = shop.example.com" in shown


@pytest.mark.parametrize(("length", "stands"), [(64, True), (65, False)])
def test_a_first_name_over_64_octets_is_no_common_name(length: int, stands: bool) -> None:
    name = f"{'a' * (length - 12)}.example.com"
    assert len(name) == length
    request = crypto.load_pem_x509_csr(x509.make_csr(KEY, [name, "short.example.com"]).encode())
    common = [one.value for one in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert common == ([name] if stands else [])
    extension = request.extensions.get_extension_for_class(crypto.SubjectAlternativeName)
    assert extension.value.get_values_for_type(crypto.DNSName) == [name, "short.example.com"]
    assert extension.critical is not stands


@pytest.mark.parametrize("names", [[], ["münchen.example"], [""]])
def test_names_that_cannot_stand_in_a_request_are_refused(names: list[str]) -> None:
    with pytest.raises(BadInput):
        x509.make_csr(KEY, names)


# The facts of a leaf


def test_the_facts_of_a_leaf_agree_with_openssl(tmp_path: Path) -> None:
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


def test_names_are_lower_case_in_certificate_order_without_duplicates_and_other_kinds() -> None:
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


def test_a_common_name_alone_is_no_name() -> None:
    key = _load(KEY)
    pem = _certify(ROOT.name, ROOT.key, _name("shop.example.com"), key.public_key())
    assert x509.read_leaf(pem).names == ()
    assert "has no names at all" in str(_refusal(pem, chain=ROOT.pem))


def test_a_name_that_imitates_another_by_a_nul_is_refused() -> None:
    pem = INTERMEDIATE.certify(_load(KEY).public_key(), ("shop.example.com\x00", "www.example.com"))
    with pytest.raises(BadInput, match="not a host name"):
        x509.read_leaf(pem)


def test_key_types_are_named_as_people_name_them() -> None:
    def described(public_key: CertificatePublicKeyTypes) -> str:
        return x509.read_leaf(ROOT.certify(public_key)).key_type

    assert described(ec.generate_private_key(ec.SECP384R1()).public_key()) == "ECDSA P-384"
    assert described(rsa.generate_private_key(65537, 2048).public_key()) == "RSA 2048"
    assert described(ed25519.Ed25519PrivateKey.generate().public_key()) == "Ed25519"


def test_an_issuer_cannot_write_to_the_terminal() -> None:
    hostile = _name("\x1b[31mred\n\u202eevil", organization="A" * 64)
    pem = _certify(hostile, ROOT.key, _name("x"), _load(KEY).public_key())
    assert x509.read_leaf(pem).issuer == f"O={'A' * 64}, CN=red evil"


def test_an_issuer_without_organization_and_common_name_still_has_a_text() -> None:
    country = crypto.Name([crypto.NameAttribute(NameOID.COUNTRY_NAME, "SG")])
    key = _load(KEY).public_key()
    assert x509.read_leaf(_certify(country, ROOT.key, country, key)).issuer == "C=SG"
    assert x509.read_leaf(_certify(crypto.Name([]), ROOT.key, country, key)).issuer == "(no name)"


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        ("", "no PEM certificate"),
        ("hello", "no PEM certificate"),
        (LEAF + ROOT.pem, "wanted one certificate, found 2"),
        (KEY, "'PRIVATE KEY', which is no certificate"),
        (x509.make_csr(KEY, NAMES), "'CERTIFICATE REQUEST', which is no certificate"),
        (LEAF[: len(LEAF) // 2], "cut off"),
        (LEAF.replace("END CERTIFICATE", "END PRIVATE KEY"), "does not end as it began"),
        (LEAF.replace("MII", "M!I", 1), "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "cannot be read"),
        (LEAF + " " * 256 * 1024, "larger than 256 KiB"),
    ],
    ids=lambda value: value[:30].strip("-\n") if isinstance(value, str) else None,
)
def test_what_is_not_one_certificate_is_refused_with_the_reason(pem: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        x509.read_leaf(pem)


# Chains


def test_a_chain_is_split_into_clean_blocks_in_order() -> None:
    untidy = "\ufeffsubject=x\r\n" + CHAIN.replace("\n", " \r\n") + "\r\n\r\n"
    assert x509.normalise_pair(LEAF, KEY, untidy).chain == INTERMEDIATE.pem + ROOT.pem
    assert x509.normalise_pair(LEAF, KEY, " \r\n").chain == ""


def test_a_full_chain_is_the_leaf_and_the_rest() -> None:
    assert x509.split_fullchain(LEAF + CHAIN) == (LEAF, CHAIN)
    assert x509.split_fullchain(LEAF) == (LEAF, "")
    with pytest.raises(BadInput, match="no PEM certificate"):
        x509.split_fullchain("")


def test_ten_certificates_are_a_chain_and_eleven_are_not() -> None:
    assert x509.normalise_pair(LEAF, KEY, ROOT.pem * 10).chain == ROOT.pem * 10
    assert x509.split_fullchain(LEAF + ROOT.pem * 10)[1] == ROOT.pem * 10
    for read in (
        lambda: x509.split_fullchain(LEAF + ROOT.pem * 11),
        lambda: x509.normalise_pair(LEAF + ROOT.pem * 11, KEY, ""),
        lambda: x509.normalise_pair(LEAF, KEY, ROOT.pem * 11),
    ):
        with pytest.raises(BadInput, match="chain is too long: 11"):
            read()


@pytest.mark.parametrize(
    "junk", ["hello", KEY, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_chain_with_something_else_in_it_is_refused(junk: str) -> None:
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
def test_a_wildcard_covers_one_whole_label(own: str, name: str, expected: bool) -> None:
    assert x509.covers(["else.example.net", own], name) is expected


# Pairs


def test_a_good_pair_is_accepted_and_normalised() -> None:
    x509.check_pair(LEAF, KEY, CHAIN, NAMES, NOW)
    x509.check_pair(LEAF, KEY, INTERMEDIATE.pem, NAMES, NOW)
    x509.check_pair(LEAF, KEY, "", NAMES, NOW)
    assert x509.normalise_pair(LEAF, KEY, CHAIN) == Bundle(LEAF, CHAIN, KEY)


def test_a_wildcard_certificate_covers_the_wanted_names() -> None:
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
def test_untidy_text_is_tolerated_and_made_clean(untidy) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001 - a lambda
    x509.check_pair(untidy(LEAF), untidy(KEY), untidy(CHAIN), NAMES, NOW)
    assert x509.normalise_pair(untidy(LEAF), untidy(KEY), untidy(CHAIN)) == Bundle(LEAF, CHAIN, KEY)


def test_a_full_chain_given_as_the_certificate_brings_its_chain() -> None:
    assert x509.normalise_pair(LEAF + CHAIN, KEY, "\n") == Bundle(LEAF, CHAIN, KEY)
    assert x509.normalise_pair(LEAF + CHAIN, KEY, CHAIN) == Bundle(LEAF, CHAIN, KEY)
    assert "holds another chain" in str(_refusal(LEAF + CHAIN, chain=STRANGER.pem))


def test_one_file_with_everything_may_be_given_as_both() -> None:
    everything = KEY + LEAF + CHAIN
    assert x509.normalise_pair(everything, everything, "") == Bundle(LEAF, CHAIN, KEY)


@pytest.mark.parametrize("tool", ["ec", "rsa"])
def test_older_key_forms_of_openssl_become_pkcs8(tool: str) -> None:
    key = _load(KEY) if tool == "ec" else rsa.generate_private_key(65537, 2048)
    old = _pem(key, PrivateFormat.TraditionalOpenSSL)
    assert f"BEGIN {tool.upper()} PRIVATE KEY" in old
    # `openssl ecparam -genkey` writes its parameters before the key.
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    leaf = INTERMEDIATE.certify(key.public_key())
    x509.check_pair(leaf, parameters + old, CHAIN, NAMES, NOW)
    assert x509.normalise_pair(leaf, parameters + old, CHAIN).private_key == _pem(key)


def test_another_key_is_named_as_the_wrong_part() -> None:
    assert "the key is wrong: it does not match" in str(_refusal(key=OTHER_KEY))
    assert "the key is wrong: it does not match" in str(_refusal(key=x509.make_key("rsa")))


def test_a_missing_name_is_named_with_what_is_there() -> None:
    pem = INTERMEDIATE.certify(_load(KEY).public_key(), ("shop.example.com",))
    assert str(_refusal(pem)) == (
        "a name is wrong: www.example.com is not in the certificate, which has shop.example.com"
    )


def test_the_dates_are_inclusive_at_the_start_and_exclusive_at_the_end() -> None:
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
        (LEAF, LEAF + CHAIN, "holds the certificate itself"),
        (LEAF, CHAIN + LEAF, "holds the certificate itself"),
        (LEAF + LEAF, "", "holds the certificate itself"),
    ],
    ids=["swapped", "foreign end", "foreign", "same name", "leaf and chain swapped", "full", "last", "twice"],
)
def test_a_chain_that_does_not_lead_upwards_is_named(certificate: str, chain: str, complaint: str) -> None:
    message = str(_refusal(certificate, chain=chain))
    assert message.startswith("the chain is wrong")
    assert complaint in message


def test_an_issuer_that_is_no_ca_makes_the_chain_wrong() -> None:
    key = _load(KEY)
    own = _certify(_name("leaf"), key, _name("leaf"), key.public_key(), NAMES)
    forged = _certify(_name("leaf"), key, _name("forged"), _load(OTHER_KEY).public_key(), NAMES)
    assert "the chain is wrong" in str(_refusal(forged, OTHER_KEY, own))


def test_a_self_signed_certificate_without_a_chain_is_accepted() -> None:
    key = _load(KEY)
    own = _certify(_name("leaf"), key, _name("leaf"), key.public_key(), NAMES)
    x509.check_pair(own, KEY, "", NAMES, NOW)
    assert "holds the certificate itself" in str(_refusal(own, KEY, own))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_called_so(form: PrivateFormat) -> None:
    lock = serialization.BestAvailableEncryption(b"hunter2")
    encrypted = _load(KEY).private_bytes(Encoding.PEM, form, lock).decode()
    assert str(_refusal(key=encrypted)) == "the key is encrypted; give it without a passphrase"


def test_keys_that_no_public_ca_certifies_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    assert "the key is too weak: RSA 1024" in str(_refusal(key=_pem(weak)))
    odd: list[PrivateKeyTypes] = [
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
        ec.generate_private_key(ec.SECP256K1()),
    ]
    for key in odd:
        assert "type is not supported" in str(_refusal(key=_pem(key)))


def test_no_key_and_two_keys_are_refused() -> None:
    assert "wanted one PEM private key, found none" in str(_refusal(key=LEAF))
    assert "wanted one PEM private key, found 2" in str(_refusal(key=KEY + OTHER_KEY))
    assert "the key is larger than" in str(_refusal(key=KEY + " " * 256 * 1024))
    padded = KEY.replace("-----\n", "-----\n" + "A" * 9_000, 1)
    assert "the key is too large" in str(_refusal(key=padded))


def test_pairs_made_by_trustme_are_accepted() -> None:
    authority = trustme.CA()
    issued = authority.create_child_ca().issue_cert("shop.example.com")
    leaf, *chain = (blob.bytes().decode() for blob in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes().decode()
    x509.check_pair(leaf, key, "".join(chain), ["shop.example.com"], datetime.now(UTC))


# PKCS#12


def test_openssl_reads_the_pkcs12_back(tmp_path: Path) -> None:
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
    assert x509.normalise_pair(shown, shown, "") == bundle
    (tmp_path / "password").write_text("wrong\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_pkcs12_without_a_chain_holds_only_the_leaf() -> None:
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
def test_what_cannot_be_packed_is_refused(bundle: Bundle, name: str, password: bytes, complaint: str) -> None:
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
        lambda: x509.normalise_pair(pem, key, chain),
        lambda: x509.check_pair(pem, key, chain, NAMES, NOW),
        lambda: x509.to_pkcs12(Bundle(pem, chain, key), "x", b"secret"),
    ):
        try:
            read()
        except BadInput as refused:
            _assert_no_key_in(refused.message, key)


def _changed(pem: str, old: bytes, new: bytes) -> str:
    """Give `pem` with one run of its DER bytes replaced by another of the same length."""
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
def test_certificates_that_break_the_profile_are_refused(pem: str) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        x509.read_leaf(pem)
    _read_everything(pem)
    _read_everything(LEAF, KEY, pem)


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_serial_that_is_not_positive_is_refused_whatever_happens_to_warnings(
    action: Literal["error", "ignore"],
) -> None:
    pem = _changed(LEAF, bytes.fromhex("020700ABC123456789"), bytes.fromhex("020780ABC123456789"))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(BadInput, match="certificate 1 in the certificate"):
            x509.read_leaf(pem)


def test_an_issuer_whose_key_cannot_sign_makes_the_chain_wrong() -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    mute = _certify(ROOT.name, ROOT.key, INTERMEDIATE.name, key, ca=True)
    assert "the chain is wrong" in str(_refusal(chain=mute))


_bounded = settings(max_examples=150, deadline=None)


@_bounded
@given(st.text(), st.text(), st.text())
def test_random_text_is_refused_calmly(certificate: str, key: str, chain: str) -> None:
    _read_everything(certificate, key, chain)


@_bounded
@given(
    st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]),
    st.binary(max_size=400),
)
def test_random_der_is_refused_calmly(label: str, der: bytes) -> None:
    pem = ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", label)
    _read_everything(pem, pem, pem)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_a_certificate_with_changed_bytes_is_read_as_it_is_or_refused(data: st.DataObject) -> None:
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
def test_a_key_with_changed_characters_is_refused_without_quoting_it(data: st.DataObject) -> None:
    key = list(KEY)
    for _ in range(data.draw(st.integers(1, 3))):
        key[data.draw(st.integers(0, len(key) - 1))] = data.draw(st.sampled_from("Aaz09+/=- \n\x00é"))
    _read_everything(LEAF, "".join(key))


@_bounded
@given(st.text(), st.text(max_size=80), st.binary(max_size=80))
def test_random_names_and_passwords_are_refused_calmly(name: str, other: str, password: bytes) -> None:
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
def test_the_renewal_id_is_that_of_rfc_9773(serial: int, expected: str) -> None:
    assert x509.renewal_id(_identified(serial, _RFC_9773_KEY)) == expected


@pytest.mark.parametrize("key_identifier", [None, b""], ids=["no extension", "issuer and serial alone"])
def test_without_the_issuers_key_there_is_no_renewal_id(key_identifier: bytes | None) -> None:
    assert x509.renewal_id(_identified(1, key_identifier)) is None


@pytest.mark.parametrize(
    "text", ["", "nothing", "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n"]
)
def test_what_cannot_be_read_has_no_renewal_id(text: str) -> None:
    assert x509.renewal_id(text) is None
