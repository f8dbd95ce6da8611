"""Whether browsers trust a certificate: whether its chain leads to one of the roots that they know."""

from __future__ import annotations

import ssl
import warnings
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

from sslctl.rules.model import Bundle

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

    Safe for use by several threads.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @cached_property
    def _store(self) -> Store | None:
        path = self._path or _system_file()
        try:
            with warnings.catch_warnings():
                # Some old roots have serial numbers that are not valid any more.
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                roots = x509.load_pem_x509_certificates(path.read_bytes()) if path is not None else []
        except (OSError, ValueError):
            roots = []
        return Store(roots) if roots else None

    @property
    def exist(self) -> bool:
        """Whether there is at least one root. Without one nothing is trusted."""
        return self._store is not None

    def trust(self, bundle: Bundle, now: datetime) -> bool:
        """Return whether browsers trust the certificate of `bundle`, with its chain, at `now` or from its first day on."""
        if self._store is None:
            return False
        leaf = x509.load_pem_x509_certificate(bundle.certificate.encode())
        chain = x509.load_pem_x509_certificates(bundle.chain.encode()) if bundle.chain else []
        at = max(now, leaf.not_valid_before_utc).replace(tzinfo=None)
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            name = names.get_values_for_type(x509.DNSName)[0].replace("*", "any")
            policy = PolicyBuilder().store(self._store).time(at).extension_policies(**_LENIENT)
            policy.build_server_verifier(x509.DNSName(name)).verify(leaf, chain)
        except (VerificationError, ValueError, IndexError, x509.ExtensionNotFound):
            return False
        return True


def _system_file() -> Path | None:
    paths = ssl.get_default_verify_paths()
    return None if paths.cafile is None else Path(paths.cafile)
