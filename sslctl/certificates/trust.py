"""Whether browsers trust a certificate: whether its chain leads to one of the roots that they know."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from sslctl.certificates.issuers import is_issued_by
from sslctl.errors import ConfigError
from sslctl.rules.model import Bundle
from sslctl.text import clean, decode_text

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Only signatures, names and dates count. A chain that browsers would refuse for its form alone is taken as trusted: it is
# then not replaced by one of another CA.
_LENIENT = {
    "ca_policy": ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, Criticality.AGNOSTIC, None
    ),
    "ee_policy": ExtensionPolicy.permit_all().require_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    ),
}


class TrustedRoots:
    """The roots in the PEM file `path`, or those of the system without a path. They are read when first needed.

    Safe for use by several threads. `ConfigError` is raised if the file is configured and has no roots.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @cached_property
    def roots(self) -> list[x509.Certificate]:
        """The roots; empty if the system has none."""
        if self._path is None:
            return [root for path in _system_files() for root in _read(path)]
        try:
            roots = _parse(self._path.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"safety.trusted_roots: {clean(self._path)} cannot be read: {clean(error.strerror).lower()}"
            ) from error
        if not roots:
            raise ConfigError(
                f"safety.trusted_roots: {clean(self._path)} contains no certificate",
                hint="name a PEM file with the CAs that browsers trust, or remove the key to use those of the system",
            )
        return roots

    @cached_property
    def _store(self) -> Store | None:
        return Store(self.roots) if self.roots else None

    @property
    def exist(self) -> bool:
        """Whether there is at least one root. Without one nothing is trusted."""
        return self._store is not None

    def find_issuers(self, certificate: x509.Certificate, now: datetime) -> list[x509.Certificate]:
        """Return the roots that issued `certificate` directly and are valid at `now` (aware)."""
        return [
            root
            for root in self._by_subject.get(certificate.issuer.public_bytes(), ())
            if root.not_valid_before_utc <= now < root.not_valid_after_utc and is_issued_by(certificate, root)
        ]

    @cached_property
    def _by_subject(self) -> Mapping[bytes, Sequence[x509.Certificate]]:
        found: dict[bytes, list[x509.Certificate]] = {}
        for root in self.roots:
            found.setdefault(root.subject.public_bytes(), []).append(root)
        return found

    def trust(self, bundle: Bundle, now: datetime) -> bool:
        """Return whether browsers trust the certificate of `bundle`, with its chain, at `now` or from its first day on."""
        leaf = x509.load_pem_x509_certificate(bundle.certificate.encode())
        chain = x509.load_pem_x509_certificates(bundle.chain.encode()) if bundle.chain else []
        return self.trust_path(leaf, chain, now)

    def trust_path(self, leaf: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> bool:
        """Return whether browsers trust `leaf` with `chain`, at `now` or from its first day on."""
        if self._store is None:
            return False
        try:
            verify_path(leaf, chain, self._store, max(now, leaf.not_valid_before_utc))
        except (VerificationError, ValueError):
            return False
        return True


def verify_path(
    leaf: x509.Certificate, chain: Sequence[x509.Certificate], anchors: Store, at: datetime
) -> None:
    """Raise `VerificationError` unless a path leads from `leaf` over `chain` to one of `anchors` at the aware time `at`.

    Signatures, dates, keys, name constraints, path lengths and critical extensions are verified. Raise `ValueError` for a
    certificate without a DNS name.
    """
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        name = names.get_values_for_type(x509.DNSName)[0].replace("*", "any")
    except (x509.ExtensionNotFound, IndexError) as error:
        raise ValueError("a certificate without a DNS name") from error
    policy = PolicyBuilder().store(anchors).time(at.replace(tzinfo=None)).extension_policies(**_LENIENT)
    policy.build_server_verifier(x509.DNSName(name)).verify(leaf, list(chain))


def _system_files() -> Sequence[Path]:
    """Return the file with the system's roots; on a system that has only a folder of them, the files there."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return [Path(paths.cafile)]
    if paths.capath is None:
        return []
    # The same root is there under several names.
    return sorted({path.resolve() for path in Path(paths.capath).iterdir()})


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return _parse(path.read_bytes())
    except OSError:
        return []


def _parse(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in `pem` without those that cannot be read: one bad root must not hide the others."""
    found = []
    with warnings.catch_warnings():
        # Some old roots have serial numbers that are not valid any more.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for block in _BLOCK.findall(decode_text(pem, "replace")):
            with suppress(ValueError):
                found.append(x509.load_pem_x509_certificate(block.encode()))
    return found
