"""CAA records (RFC 8659): which CAs may issue for a domain, evaluated as the CA evaluates them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dns.rdtypes.ANY.CAA import CAA

_CRITICAL = 128  # RFC 8659 section 4.1: bit 0 of the flags, counted from the most significant
# RFC 8659 section 4 and RFC 9495 section 3. `issuemail` does not apply to TLS certificates, but it is known.
_KNOWN_TAGS = frozenset({b"issue", b"issuewild", b"iodef", b"issuemail"})

# The grammar of an issue value, RFC 8659 section 4.2, between its semicolons and without the white space around.
_LABEL = r"[a-z0-9](?:-*[a-z0-9])*"
_ISSUER = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII | re.IGNORECASE)
_PARAMETER = re.compile(rf"({_LABEL})[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)", re.ASCII | re.IGNORECASE)


def permit(records: Iterable[CAA], identities: Iterable[str]) -> bool:
    """Return whether `records`, the relevant RRset of a name, allow the CA to issue by HTTP-01.

    `identities` are the CA's issuer domain names. `issuewild` does not apply to a certificate without wildcards, and a set
    without `issue` restricts no CA (RFC 8659 section 4.2). An unknown critical property forbids (section 4.1).
    """
    properties = [(record.tag.lower(), record) for record in records]
    if any(record.flags & _CRITICAL and tag not in _KNOWN_TAGS for tag, record in properties):
        return False
    issues = [record.value.decode("latin-1") for tag, record in properties if tag == b"issue"]
    wanted = {identity.lower() for identity in identities}
    return not issues or any(_names_issuer(value, wanted) for value in issues)


def _names_issuer(value: str, identities: set[str]) -> bool:
    issuer, *rest = (part.strip(" \t") for part in value.split(";"))
    parameters = [_PARAMETER.fullmatch(part) for part in rest] if rest != [""] else []
    # RFC 8659 section 4.2: a value outside of the grammar names no issuer, like a bare ";".
    if not _ISSUER.fullmatch(issuer) or issuer.lower() not in identities:
        return False
    return all(parameter is not None and _lets_http01(*parameter.groups()) for parameter in parameters)


def _lets_http01(tag: str, value: str) -> bool:
    # RFC 8657 section 4. Its `accounturi` (section 3) is left to the CA: the account may not exist yet.
    return tag != "validationmethods" or "http-01" in value.split(",")
