"""CAs and certificates made to order, for tests of what people paste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ("shop.example.com", "www.example.com")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = tuple[x509.ExtensionType, bool]


def make_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def key_pem(key: Key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


SERVER = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)


@dataclass(frozen=True)
class Authority:
    """A CA: `root` is its own certificate, signed by itself."""

    name: str
    key: Key = field(default_factory=make_key)
    days: tuple[float, float] = (-3000, 3000)

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    @property
    def root(self) -> x509.Certificate:
        return self.certify(self, days=self.days)

    def certify(
        self,
        other: Authority,
        *,
        days: tuple[float, float] = (-1000, 1000),
        path_length: int | None = None,
        extensions: Sequence[Extension] = (),
    ) -> x509.Certificate:
        """Return a certificate of the CA `other`, valid from and until so many days after `NOW`."""
        ca = (x509.BasicConstraints(ca=True, path_length=path_length), True)
        return self._sign(other.subject, other.key, days, (ca, *extensions))

    def issue(
        self,
        key: Key,
        names: Sequence[str] = NAMES,
        *,
        days: tuple[float, float] = (-1, 89),
        ca: bool = False,
        extensions: Sequence[Extension] = (SERVER,),
    ) -> x509.Certificate:
        """Return a certificate of a web server."""
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        basic = x509.BasicConstraints(ca=ca, path_length=None)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return self._sign(subject, key, days, ((alternatives, False), (basic, True), *extensions))

    def _sign(
        self, subject: x509.Name, key: Key, days: tuple[float, float], extensions: Sequence[Extension]
    ) -> x509.Certificate:
        begin, end = (NOW + timedelta(days=each) for each in days)
        builder = (
            x509.CertificateBuilder(self.subject, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, SHA256())
