"""Whether browsers accept a pasted certificate: what no browser accepts is refused, and a lack of trust is a warning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from cryptography.x509.verification import Store, VerificationError

from sslctl.certificates.chains import Chain
from sslctl.certificates.issuers import (
    find_extension,
    find_extension_fault,
    find_issuer_fault,
    find_signature_fault,
    is_ca,
    is_signed_by,
    readable_name,
)
from sslctl.certificates.pem import read_certificates, translating_errors
from sslctl.certificates.trust import TrustedRoots, verify_path
from sslctl.errors import BadInput
from sslctl.rules.model import Bundle
from sslctl.text import clean

# What `cryptography` reports of a path that every browser refuses too, and how it is explained. There is no code to compare.
_FATAL = {
    "matched SAN": "a CA in its chain must not issue certificates for one of its names (name constraints)",
    "path length constraint violated": "a CA in its chain must not have so many CAs below it (path length)",
}


@translating_errors("the certificate cannot be read")
def require_usable(
    leaf: x509.Certificate,
    chain: Sequence[x509.Certificate],
    now: datetime,
    roots: Sequence[x509.Certificate] = (),
) -> list[str]:
    """Raise `BadInput` if no browser accepts `leaf` at `now` (aware), whatever CAs it knows.

    `chain` is in order; `roots` are trusted roots that issued the last of it, or one below. The rules are those of RFC 5280,
    section 6, and of the CA/Browser Forum BR, section 7.1. Return a warning if a rule could not be verified.
    """
    require_usable_leaf(leaf)
    for issuer in chain:
        fault = find_issuer_fault(issuer, now)
        if fault is not None:
            raise BadInput(f"the chain is wrong: its certificate {readable_name(issuer.subject)} {fault}")
    anchors = list(roots) or [chain[-1] if chain else leaf]
    try:
        verify_path(leaf, [one for one in chain if one not in anchors], Store(anchors), now)
    except VerificationError as error:
        for problem, explanation in _FATAL.items():
            if problem in str(error):
                raise BadInput(f"the certificate cannot be used: {explanation}") from None
        return [f"whether browsers accept its chain could not be verified: {clean(error)}"]
    return []


def check_bundle(bundle: Bundle, now: datetime) -> None:
    """Raise `BadInput` if no browser accepts the certificate of `bundle`, whose chain is in order; see `require_usable`."""
    leaf, *chain = read_certificates(bundle.fullchain, "the certificate")
    require_usable(leaf, chain, now)


def is_precertificate(certificate: x509.Certificate) -> bool:
    """Return whether `certificate` is a precertificate: its poison extension makes it invalid (RFC 6962, section 3.1)."""
    return find_extension(certificate, x509.PrecertPoison) is not None


@translating_errors("the certificate cannot be read")
def require_usable_leaf(leaf: x509.Certificate) -> None:
    """Raise `BadInput` if browsers refuse `leaf` as the certificate of a web server."""
    if is_precertificate(leaf):
        raise BadInput(
            "the certificate is a precertificate (RFC 6962), which browsers refuse",
            hint="Use the certificate that the CA issued after it.",
        )
    if is_ca(leaf):
        raise BadInput(
            "the certificate is that of a CA, which browsers refuse as the certificate of a web server",
            hint="Use the certificate that the CA issued for the domain, or create one without CA:TRUE.",
        )
    usages = find_extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise BadInput(
            "the certificate is not for web servers: its extended key usage lacks serverAuth",
            hint="Ask the CA for a certificate for TLS servers.",
        )
    usage = find_extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise BadInput(
            "the certificate is not for web servers: its key usage lacks digitalSignature",
            hint="Ask the CA for a certificate for TLS servers.",
        )
    fault = find_signature_fault(leaf) or find_extension_fault(leaf)
    if fault is not None:
        raise BadInput(f"the certificate {fault}", hint="Ask the CA for a certificate for TLS servers.")


def find_warnings(leaf: x509.Certificate, chain: Chain, now: datetime, trusted: TrustedRoots) -> list[str]:
    """Return who refuses the usable certificate `leaf` at `now` (aware), and why: it may be meant so.

    Without any trusted roots, only what is certain is returned.
    """
    with translating_errors("the certificate cannot be read"):
        warnings = []
        if find_extension(leaf, x509.ExtendedKeyUsage) is None:
            warnings.append("the certificate has no extended key usage, so Apple's devices refuse it")
        distrust = _find_distrust(leaf, chain, now, trusted)
        return warnings if distrust is None else [*warnings, distrust]


def _find_distrust(leaf: x509.Certificate, chain: Chain, now: datetime, trusted: TrustedRoots) -> str | None:
    """Return why browsers do not trust `leaf`, or None."""
    if trusted.trust_path(leaf, chain.certificates, now):
        return None
    if is_signed_by(leaf, leaf):
        return "browsers do not trust the certificate: it signed itself"
    end = chain.certificates[-1] if chain.certificates else leaf
    issuer = readable_name(end.issuer)
    if not chain.is_complete and not chain.certificates:
        source = _find_issuer_url(leaf)
        return (
            f"the certificate has no chain, so browsers that do not know its issuer ({issuer}) refuse it; "
            f"add its intermediate certificates with --chain{f' (from {source})' if source else ''}"
        )
    if not trusted.exist:
        return None
    return f"browsers do not trust the certificate: its chain ends at {issuer}, which is not one of the CAs that they know"


def _find_issuer_url(leaf: x509.Certificate) -> str | None:
    """Return the URL of the certificate of the issuer (RFC 5280, section 4.2.2.1), or None."""
    access = find_extension(leaf, x509.AuthorityInformationAccess)
    for one in access or ():
        location = one.access_location
        if one.access_method == AuthorityInformationAccessOID.CA_ISSUERS and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            return clean(location.value, 200)
    return None
