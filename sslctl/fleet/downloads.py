"""Which certificate a person downloads with its key, and what the history says about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.errors import BadInput, NotManaged, Problem
from sslctl.issuance.compromised_keys import is_compromised
from sslctl.rules.installed import describe_installed
from sslctl.rules.model import Bundle, Certificate, Domain
from sslctl.rules.versions import is_adopted
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.versions import Versions
from sslctl.text import clean
from sslctl.wording import C4

EVENT = "key downloaded"
"""The kind of the event."""


def find(store: Domains, name: str) -> Domain:
    """Return the domain `name` (normalised), deleted or not. Raise `NotManaged` if it was never added."""
    return store.find(name) or store.domain(name)


class _Store(Revocations, Versions, Protocol):
    """What a download reads."""


def read(store: _Store, domain: Domain, version: int | None) -> tuple[Certificate, Bundle]:
    """Return the certificate with the number `version` with its key; if it is None, the current one.

    Raise `NotManaged` if there is no such certificate, or if its key is not stored; `BadInput` if its key is compromised.
    """
    certificate = _choose(store, domain, version)
    bundle = store.bundle(certificate)
    if not bundle.private_key:
        raise NotManaged(
            f"the private key of version {certificate.version} of {domain.name} was destroyed after it was superseded",
            hint=f"`sslctl view {domain.name}` shows when, and which versions still have their key",
            problem=Problem("download.key_destroyed", {"name": domain.name, "version": certificate.version}),
        )
    if is_compromised(store, bundle):
        raise BadInput(
            f"the key of version {certificate.version} of {domain.name} is marked as compromised, so it is not given out",
            hint=f"`sslctl view {domain.name}` shows which versions there are; --version N writes one",
            problem=Problem(
                "download.key_compromised", {"name": domain.name, "version": certificate.version}
            ),
        )
    return certificate, bundle


def describe_event(kind: str, reason: str) -> str:
    """Return the detail of the event: the format `kind` and the cleaned `reason`."""
    cleaned = clean(reason)
    return f"{kind}: {cleaned}" if cleaned else kind


def describe_difference(domain: Domain, certificate: Certificate) -> str:
    """Return how `certificate` differs from what the edge serves, as far as C4 was last seen; empty if it does not."""
    if domain.deleted_at is not None:
        return ""
    if domain.foreign is not None:
        served = f"{C4} has {describe_installed(domain.foreign)}, which sslctl did not install"
    elif domain.serving is None:
        served = f"{C4} was last seen without a certificate of this domain"
    elif domain.serving.fingerprint == certificate.fingerprint:
        return ""
    else:
        served = f"{C4} has version {domain.serving.version}"
    return f"these files are not what the edge serves: {served}"


def _choose(store: Versions, domain: Domain, version: int | None) -> Certificate:
    held = store.certificates(domain)
    if version is None:
        _require_ours(domain)
        current = domain.serving or domain.wanted or (held[0] if held else None)
        if current is None:
            raise NotManaged(
                f"{domain.name} has no certificate yet",
                hint=f"`sslctl view {domain.name}` shows why",
                problem=Problem("download.no_certificate", {"name": domain.name}),
            )
        return current
    for certificate in held:
        if certificate.version == version:
            return certificate
    known = ", ".join(str(certificate.version) for certificate in reversed(held)) or "none"
    raise NotManaged(
        f"{domain.name} has no version {version}",
        hint=f"existing versions: {known}{_where_others_are(held, version)}",
        problem=Problem(
            "download.unknown_version", {"name": domain.name, "version": version, "known": known}
        ),
    )


def _where_others_are(held: Sequence[Certificate], version: int) -> str:
    """Return that `version` is in an archive, if it is older than the others: versions count from 1 without a gap."""
    is_archived = 0 < version < max((each.version for each in held), default=0)
    return "; older ones are in archives, without their keys (`sslctl history list`)" if is_archived else ""


def _require_ours(domain: Domain) -> None:
    """Raise `NotManaged` if the certificate of `domain` was adopted."""
    if domain.deleted_at is None and domain.foreign is not None and is_adopted(domain):
        raise NotManaged(
            f"the certificate of {domain.name} was kept with `sslctl adopt`, so its key is not stored here",
            hint=f"`sslctl view {domain.name}` shows earlier versions; --version N writes one",
            problem=Problem("download.adopted", {"name": domain.name}),
        )
