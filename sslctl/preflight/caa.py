"""CAA records (RFC 8659): whether they allow the CA to issue for a domain, evaluated as the CA evaluates them.

Where RFC 8659 leaves a choice, Boulder decides (`va/caa.go`, the CA's published code).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import dns.rdata

# RFC 8659 section 4.1: bit 0 of the flags, counted from the most significant. Many set the least significant bit instead, so
# Boulder takes that one for the same.
_CRITICAL = 128 | 1
# RFC 8659 section 4 and RFC 9495 section 3. `issuemail` and `issuevmc` do not apply to TLS certificates, but Boulder knows them.
_KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "issuevmc"})
_WHITE = " \t"
# Stricter than RFC 8659 section 4.2, which allows hyphens in a tag, and looser: Boulder accepts an empty one.
_PARAMETER_TAG = re.compile(r"[A-Za-z0-9]*", re.ASCII)
_PARAMETER_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]*")
_METHOD = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_HTTP01 = "http-01"
# What is escaped in a zone file: in a tag, which stands without quotes, more than in a value.
_TAG_ESCAPED = re.compile(r"[^A-Za-z0-9_-]")
_VALUE_ESCAPED = re.compile(r'[^\x20-\x7e]|["\\]')
# Let's Encrypt also accepts the URL that an account had in ACMEv1.
_LETS_ENCRYPT_V2 = re.compile(r"https://acme(-staging)?-v02\.api\.letsencrypt\.org/acme/acct/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Property:
    """One CAA record. Names are not decoded: `tag` and `value` have one character for each byte."""

    flags: int
    tag: str
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.flags} {self.tag} "{escaped}"'

    @property
    def zone_text(self) -> str:
        """The property as in a zone file, in printable ASCII: other bytes are in decimal (RFC 1035 section 5.1)."""
        tag = _TAG_ESCAPED.sub(_escape, self.tag)
        return f'{self.flags} {tag} "{_VALUE_ESCAPED.sub(_escape, self.value)}"'


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if match[0] in '"\\' else f"\\{ord(match[0]):03d}"


@dataclass(frozen=True, slots=True)
class CaaRefusal:
    """Why the CA may not issue. `why` is empty if no record names the CA; `wanted` is what the CA would accept, in words.

    `value` is that of an `issue` property that would allow it.
    """

    why: str
    wanted: str
    value: str


@dataclass(frozen=True, slots=True)
class CaaIdentity:
    """Who asks: the CA's issuer domain names, and the URL of our account, which is empty if it is not known."""

    issuers: tuple[str, ...]
    account_url: str = ""

    @property
    def account_urls(self) -> tuple[str, ...]:
        """Every URL by which the CA knows our account."""
        match = _LETS_ENCRYPT_V2.fullmatch(self.account_url)
        if match is None:
            return (self.account_url,)
        host = "acme-staging" if match[1] else "acme-v01"
        return (self.account_url, f"https://{host}.api.letsencrypt.org/acme/reg/{match[2]}")


def read_property(record: dns.rdata.Rdata) -> Property:
    """Return the content of a CAA record. Raise `ValueError` if it is malformed (RFC 8659 section 4.1)."""
    wire = record.to_digestable()
    if len(wire) < 2 or len(wire) < 2 + wire[1]:  # noqa: PLR2004 - the flags and the length of the tag
        raise ValueError("a CAA record is malformed")
    end = 2 + wire[1]
    return Property(wire[0], wire[2:end].decode("latin-1"), wire[end:].decode("latin-1"))


def find_refusal(properties: Iterable[Property], identity: CaaIdentity) -> CaaRefusal | None:
    """Return why `properties`, the relevant RRset of a name, do not allow the CA to issue by HTTP-01; None if they do.

    `issuewild` does not apply to a certificate without wildcards, and a set without `issue` restricts no CA (RFC 8659
    section 4.2). An unknown critical property forbids (section 4.1).
    """
    issues = []
    for each in properties:
        if _is_unknown_critical(each):
            return CaaRefusal(
                "the CA does not know this critical tag", f"no critical {each.tag}", identity.issuers[0]
            )
        if each.tag.lower() == "issue":
            issues.append(each.value)
    refusals = [_judge(value, identity) for value in issues]
    if not refusals or None in refusals:
        return None
    # A record that names the CA shows best what has to change.
    return next((refusal for refusal in refusals if refusal is not None and refusal.why), refusals[0])


def permit(properties: Iterable[Property], identity: CaaIdentity) -> list[Property]:
    """Return the properties that allow the CA to issue, and change as little of `properties` as that needs.

    Those that allow nobody are left out: unknown critical ones, and `issue` without an issuer or with malformed parameters.
    """
    known = [each for each in properties if not _is_unknown_critical(each)]
    refusal = find_refusal(known, identity)
    if refusal is None:
        return known
    return [*(each for each in known if not _allows_nobody(each)), Property(0, "issue", refusal.value)]


def _is_unknown_critical(each: Property) -> bool:
    return each.tag.lower() not in _KNOWN_TAGS and bool(each.flags & _CRITICAL)


def _allows_nobody(each: Property) -> bool:
    issuer, *rest = each.value.split(";")
    return each.tag.lower() == "issue" and (not issuer.strip(_WHITE) or _read_parameters(rest) is None)


def _judge(value: str, identity: CaaIdentity) -> CaaRefusal | None:
    """Return why an `issue` property with `value` does not allow the CA to issue; None if it does."""
    issuer, *rest = value.split(";")
    if issuer.strip(_WHITE) not in identity.issuers:
        return CaaRefusal("", _issue(identity), identity.issuers[0])
    parameters = _read_parameters(rest)
    if parameters is None:
        return CaaRefusal("its parameters are malformed", _issue(identity), identity.issuers[0])
    accounts = [content for tag, content in parameters if tag == "accounturi"]
    methods = [content for tag, content in parameters if tag == "validationmethods"]
    if len(accounts) > 1:
        return CaaRefusal("it has accounturi twice", _issue(identity), identity.issuers[0])
    if accounts and identity.account_url and accounts[0] not in identity.account_urls:
        value = f"{identity.issuers[0]}; accounturi={identity.account_url}"
        return CaaRefusal("its accounturi is not our account", f'issue "{value}"', value)
    if len(methods) > 1:
        return CaaRefusal("it has validationmethods twice", _issue(identity), identity.issuers[0])
    if methods and not _allow_http01(methods[0]):
        return CaaRefusal(
            f"its validationmethods do not allow {_HTTP01}", _issue(identity), identity.issuers[0]
        )
    return None


def _read_parameters(parts: list[str]) -> list[tuple[str, str]] | None:
    """Return the parameters, as tag and value, between the semicolons of an `issue` value; None if one is malformed."""
    if len(parts) == 1 and not parts[0].strip(_WHITE):
        return []
    parameters = []
    for part in parts:
        tag, equals, value = part.partition("=")
        tag, value = tag.strip(_WHITE), value.strip(_WHITE)
        if not (equals and _PARAMETER_TAG.fullmatch(tag) and _PARAMETER_VALUE.fullmatch(value)):
            return None
        parameters.append((tag, value))
    return parameters


def _allow_http01(methods: str) -> bool:
    """Return whether `methods` (RFC 8657 section 4) allow HTTP-01. A malformed one ends the list, but not what precedes it."""
    for method in methods.split(","):
        if not _METHOD.fullmatch(method):
            return False
        if method == _HTTP01:
            return True
    return False


def _issue(identity: CaaIdentity) -> str:
    return " or ".join(f'issue "{issuer}"' for issuer in identity.issuers)
