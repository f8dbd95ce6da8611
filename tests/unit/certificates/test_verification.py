"""Which pasted certificates no browser accepts, and what is only a warning. `openssl verify` is the second judge."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from sslctl.certificates.pasted import Pasted, read_pair
from sslctl.certificates.trust import TrustedRoots
from sslctl.certificates.verification import check_bundle
from sslctl.errors import BadInput
from sslctl.rules.model import Bundle
from tests.support.authorities import NAMES, NOW, SERVER, Authority, Extension, key_pem, make_key, pem

ROOT, UPPER, LOWER = Authority("Root"), Authority("Upper"), Authority("Lower")
KEY, RSA_KEY = make_key(), rsa.generate_private_key(65537, 2048)
ROOT_ITSELF, UPPER_BY_ROOT, LOWER_BY_UPPER = ROOT.root, ROOT.certify(UPPER), UPPER.certify(LOWER)
CHAIN = [LOWER_BY_UPPER, UPPER_BY_ROOT]
CLIENT = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
ANY = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)
UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)


def usage(*, signs: bool = False, enciphers: bool = False, certifies: bool = False) -> Extension:
    return (
        x509.KeyUsage(
            digital_signature=signs,
            key_encipherment=enciphers,
            key_cert_sign=certifies,
            content_commitment=False,
            data_encipherment=False,
            key_agreement=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        ),
        True,
    )


def constraint(*, permitted: str | None = None, excluded: str | None = None) -> Extension:
    return (
        x509.NameConstraints(
            None if permitted is None else [x509.DNSName(permitted)],
            None if excluded is None else [x509.DNSName(excluded)],
        ),
        True,
    )


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> TrustedRoots:
    """Browsers know `ROOT` alone."""
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    path.write_text(pem(ROOT_ITSELF))
    return TrustedRoots(path)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> TrustedRoots:
    """Browsers know a CA of which nothing here comes."""
    path = tmp_path_factory.mktemp("none") / "roots.pem"
    path.write_text(pem(Authority("Elsewhere").root))
    return TrustedRoots(path)


def _read(trusted: TrustedRoots, leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> Pasted:
    return read_pair(pem(leaf), key_pem(KEY), pem(*chain), NAMES, NOW, trusted)


def _openssl(folder: Path, leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """Return whether `openssl verify` accepts the path from `leaf` to `ROOT`."""
    for name, text in {"leaf": pem(leaf), "chain": pem(*chain), "root": pem(ROOT_ITSELF)}.items():
        (folder / name).write_text(text)
    command = ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-purpose", "sslserver"]
    command += ["-auth_level", "2", "-CAfile", str(folder / "root")]
    command += (
        ["-untrusted", str(folder / "chain"), str(folder / "leaf")] if chain else [str(folder / "leaf")]
    )
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


GOOD: dict[str, tuple[x509.Certificate, list[x509.Certificate]]] = {
    "plain": (LOWER.issue(KEY), CHAIN),
    "of the root itself": (ROOT.issue(KEY), []),
    "usual usages": (LOWER.issue(KEY, extensions=[SERVER, usage(signs=True, enciphers=True)]), CHAIN),
    "path length that is long enough": (
        LOWER.issue(KEY),
        [UPPER.certify(LOWER, path_length=0), ROOT.certify(UPPER, path_length=1)],
    ),
    "names within the constraints": (
        LOWER.issue(KEY),
        [
            LOWER_BY_UPPER,
            ROOT.certify(UPPER, extensions=[constraint(permitted="example.com", excluded="a.example.com")]),
        ],
    ),
    "CA for servers": (
        LOWER.issue(KEY),
        [UPPER.certify(LOWER, extensions=[SERVER, usage(certifies=True)]), UPPER_BY_ROOT],
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_certificate_that_browsers_trust_has_no_warning(
    trusted: TrustedRoots, tmp_path: Path, case: str
) -> None:
    leaf, chain = GOOD[case]
    assert _read(trusted, leaf, chain).notes == ()
    assert _openssl(tmp_path, leaf, chain)


def _unusable() -> dict[str, tuple[x509.Certificate, list[x509.Certificate], str]]:
    not_for_servers = "the certificate is not for web servers: its extended key usage lacks serverAuth"
    names = "a CA in its chain must not issue certificates for one of its names (name constraints)"
    weak = Authority("Lower", rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose
    odd = Authority("Lower", ec.generate_private_key(ec.SECP256K1()))
    good = LOWER.issue(KEY)

    def below(*extensions: Extension, path_length: int | None = None) -> list[x509.Certificate]:
        return [LOWER_BY_UPPER, ROOT.certify(UPPER, path_length=path_length, extensions=extensions)]

    return {
        "precertificate": (
            LOWER.issue(KEY, extensions=[SERVER, (x509.PrecertPoison(), True)]),
            CHAIN,
            "the certificate is a precertificate (RFC 6962), which browsers refuse",
        ),
        "client certificate": (LOWER.issue(KEY, extensions=[CLIENT]), CHAIN, not_for_servers),
        "any extended usage alone": (LOWER.issue(KEY, extensions=[ANY]), CHAIN, not_for_servers),
        "key usage without signatures": (
            LOWER.issue(KEY, extensions=[SERVER, usage(enciphers=True)]),
            CHAIN,
            "the certificate is not for web servers: its key usage lacks digitalSignature",
        ),
        "CA certificate": (
            LOWER.issue(KEY, ca=True),
            CHAIN,
            "the certificate is that of a CA, which browsers refuse as the certificate of a web server",
        ),
        "unknown critical extension": (
            LOWER.issue(KEY, extensions=[SERVER, UNKNOWN]),
            CHAIN,
            "the certificate has a critical extension that browsers do not know (1.3.6.1.4.1.99999.1)",
        ),
        "unknown critical extension of a CA": (
            good,
            below(UNKNOWN),
            "CN=Upper has a critical extension that browsers do not know",
        ),
        "names that are not permitted": (good, below(constraint(permitted="example.org")), names),
        "names of which one is excluded": (good, below(constraint(excluded="www.example.com")), names),
        "path length": (good, below(path_length=0), "a CA in its chain must not have so many CAs below it (path length)"),
        "expired intermediate": (
            good,
            [UPPER.certify(LOWER, days=(-900, -1)), UPPER_BY_ROOT],
            "CN=Lower expired at 2026-02-28 12:00 UTC",
        ),
        "weak key in the chain": (weak.issue(KEY), [UPPER.certify(weak), UPPER_BY_ROOT], "CN=Lower has a weak key: RSA 1024"),
        "odd key in the chain": (odd.issue(KEY), [UPPER.certify(odd), UPPER_BY_ROOT], "CN=Lower has a key of a type that browsers refuse"),
        "CA that must not sign": (
            good,
            [UPPER.certify(LOWER, extensions=[usage(signs=True)]), UPPER_BY_ROOT],
            "CN=Lower must not issue certificates (",
        ),
        "CA for clients": (
            good,
            [UPPER.certify(LOWER, extensions=[CLIENT]), UPPER_BY_ROOT],
            "CN=Lower must not issue certificates for web servers (",
        ),
    }  # fmt: skip


UNUSABLE = _unusable()
# OpenSSL accepts these. The rule is that of the CA/Browser Forum BR, and browsers keep it.
ACCEPTED_BY_OPENSSL = {"key usage without signatures", "CA certificate", "odd key in the chain"}


@pytest.mark.parametrize("case", UNUSABLE)
def test_certificate_that_no_browser_accepts_is_refused(
    trusted: TrustedRoots, nothing: TrustedRoots, tmp_path: Path, case: str
) -> None:
    leaf, chain, message = UNUSABLE[case]
    for roots in (trusted, nothing):
        with pytest.raises(BadInput) as caught:
            _read(roots, leaf, chain)
        assert message in caught.value.message
    with pytest.raises(BadInput) as caught:
        check_bundle(Bundle(pem(leaf), pem(*chain), key_pem(KEY)), NOW)
    assert message in caught.value.message
    assert _openssl(tmp_path, leaf, chain) is (case in ACCEPTED_BY_OPENSSL)


def _sign_with_openssl(
    folder: Path, issuer: Authority, self_signed: x509.Certificate, digest: str
) -> x509.Certificate:
    """Return `self_signed`, signed again by `issuer` with a digest that `cryptography` does not sign with.

    OpenSSL wants a certificate that is valid on the day of the test, too.
    """
    (folder / "old.pem").write_text(pem(self_signed))
    (folder / "ca.pem").write_text(pem(issuer.root))
    (folder / "ca.key").write_text(key_pem(issuer.key))
    command = ["openssl", "x509", "-in", "old.pem", "-CA", "ca.pem", "-CAkey", "ca.key", f"-{digest}"]
    command += ["-CAcreateserial", "-preserve_dates"]
    made = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    return x509.load_pem_x509_certificate(made)


@pytest.mark.parametrize(("digest", "shown"), [("sha1", "SHA-1"), ("md5", "MD5"), ("sha224", "SHA224")])
def test_weak_signature_of_leaf_or_intermediate_is_refused(
    trusted: TrustedRoots, tmp_path: Path, digest: str, shown: str
) -> None:
    issuer, upper = Authority("Lower", RSA_KEY), Authority("Upper", RSA_KEY)
    weak = _sign_with_openssl(tmp_path, issuer, Authority(NAMES[0], KEY).issue(KEY, days=(-1, 9000)), digest)
    with pytest.raises(BadInput, match=f"the certificate is signed with {shown}, which browsers refuse"):
        _read(trusted, weak, [upper.certify(issuer)])
    weak_ca = _sign_with_openssl(tmp_path, upper, issuer.root, digest)
    with pytest.raises(BadInput, match=f"CN=Lower is signed with {shown}, which browsers refuse"):
        _read(trusted, issuer.issue(KEY), [weak_ca])
    # Nobody verifies the signature of a root.
    old_root = _sign_with_openssl(tmp_path, issuer, issuer.root, digest)
    assert _read(trusted, issuer.issue(KEY), [old_root]).bundle.chain == ""


def test_ed25519_signature_is_refused(trusted: TrustedRoots) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder(LOWER.subject, LOWER.subject, KEY.public_key(), serial_number=7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW.replace(year=2027))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=False
    )
    with pytest.raises(BadInput, match=r"is signed with 1\.3\.101\.112, which browsers refuse"):
        _read(trusted, builder.sign(key, None), [])


def test_final_certificate_is_taken_if_the_precertificate_is_given_too(trusted: TrustedRoots) -> None:
    final = LOWER.issue(KEY)
    early = LOWER.issue(KEY, days=(-1, 89.5), extensions=[SERVER, (x509.PrecertPoison(), True)])
    assert _read(trusted, early, [final, *CHAIN]).bundle.certificate == pem(final)


AIA = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS,
            x509.UniformResourceIdentifier("http://ca.test/lower.der"),
        )
    ]
)
NO_CHAIN = (
    "the certificate has no chain, so browsers that do not know its issuer (CN=Lower) refuse it; "
    "add its intermediate certificates with --chain"
)


def _warnings(trusted: TrustedRoots, leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> list[str]:
    return [note for note in _read(trusted, leaf, chain).notes if not note.startswith("left out")]


def test_leaf_without_its_chain_has_a_warning_with_the_url_of_its_issuer(
    trusted: TrustedRoots, nothing: TrustedRoots
) -> None:
    for roots in (trusted, nothing):
        assert _warnings(roots, LOWER.issue(KEY), []) == [NO_CHAIN]
        leaf = LOWER.issue(KEY, extensions=[SERVER, (AIA, False)])
        assert _warnings(roots, leaf, []) == [f"{NO_CHAIN} (from http://ca.test/lower.der)"]


def test_certificate_that_only_lacks_a_public_root_has_a_warning(nothing: TrustedRoots) -> None:
    private = "browsers do not trust the certificate: its chain ends at CN=Root, which is not one of the CAs that they know"
    assert _warnings(nothing, LOWER.issue(KEY), CHAIN) == [private]
    assert _warnings(nothing, LOWER.issue(KEY), [*CHAIN, ROOT_ITSELF]) == [private]
    assert _warnings(nothing, ROOT.issue(KEY), [ROOT_ITSELF]) == [private]
    half = private.replace("Root", "Upper")
    assert _warnings(nothing, LOWER.issue(KEY), [LOWER_BY_UPPER]) == [half]


def test_self_signed_certificate_has_a_warning(trusted: TrustedRoots) -> None:
    own = Authority(NAMES[0], KEY).issue(KEY)
    assert _warnings(trusted, own, []) == ["browsers do not trust the certificate: it signed itself"]


def test_certificate_without_extended_key_usage_has_a_warning(trusted: TrustedRoots) -> None:
    leaf = LOWER.issue(KEY, extensions=[])
    assert _warnings(trusted, leaf, CHAIN) == [
        "the certificate has no extended key usage, so Apple's devices refuse it"
    ]


def test_constraint_that_cannot_be_verified_is_a_warning(trusted: TrustedRoots) -> None:
    named = x509.NameConstraints(None, [x509.DirectoryName(ROOT.subject)])
    chain = [LOWER_BY_UPPER, ROOT.certify(UPPER, extensions=[(named, True)])]
    (note,) = [
        each for each in _warnings(trusted, LOWER.issue(KEY), chain) if "could not be verified" in each
    ]
    assert "directoryName" in note


def test_no_roots_on_the_system_is_no_reason_to_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    assert _warnings(TrustedRoots(), LOWER.issue(KEY), CHAIN) == []
    assert _warnings(TrustedRoots(), LOWER.issue(KEY), []) == [NO_CHAIN]
