"""Keys that must never be used again."""

from __future__ import annotations

from typing import Protocol

from sslctl.certificates.x509 import key_fingerprint
from sslctl.rules.model import Bundle, Certificate
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.versions import Versions


class _Store(Revocations, Versions, Protocol):
    """What the check reads."""


def has_compromised_key(store: _Store, certificate: Certificate) -> bool:
    """Return whether the key of the stored `certificate` is marked as compromised."""
    return is_compromised(store, store.bundle(certificate))


def is_compromised(store: Revocations, bundle: Bundle) -> bool:
    """Return whether the key of `bundle`, stored or not, is marked as compromised."""
    return store.is_key_compromised(key_fingerprint(bundle.certificate))
