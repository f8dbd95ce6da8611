"""Domain names: the validator that stands in front of everything else.

What passes here is a lower-case host name of letters, digits, hyphens and dots; it is safe in a path, an argument list
and a DNS query, and the CA can be asked for it by HTTP-01.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import idna

from sslctl.errors import BadInput
from sslctl.text import clean

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_LONGEST_NAME = 253
_LONGEST_LABEL = 63
# A name of 253 octets has at most 253 characters, and some more before Unicode composition. Beyond this the rest is
# not worth the work: IDNA's rules take time that grows faster than the text.
_LONGEST_INPUT = 1000

_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# A name in plain ASCII whose last label begins with a letter: no IP address, and nothing that IDNA's rules would change
# or refuse, but for capitals. Labels with "--" in the third and fourth place are theirs to judge (RFC 5891, 4.2.3.1).
_PLAIN_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"(?:{_PLAIN_LABEL}\.)+(?=[a-z]){_PLAIN_LABEL}", re.ASCII)

# What people paste instead of a name, most telling first.
_MISTAKEN_FOR_A_NAME = (
    (re.compile(r"\*"), "it is a wildcard, and HTTP-01 cannot validate one"),
    (re.compile(r"://"), "it is a URL; give the bare name"),
    (re.compile(r"@"), "it is an e-mail address; give the bare name"),
    (re.compile(r"[/\\?#]"), "it holds a path; give the bare name"),
    (re.compile(r":"), "it holds a port; give the bare name"),
    (re.compile(r"_"), "it holds an underscore, which no host name has"),
    (re.compile(r"[^a-zA-Z0-9.\-\u0080-\U0010ffff]"), "a name has letters, digits, hyphens and dots alone"),
)


def normalise(text: str) -> str:
    """Give `text` as the one form in which sslctl knows a domain: lower-case A-labels, no trailing dot.

    An international name is mapped by UTS 46 and encoded by IDNA 2008 (RFC 5891); the outcome is then held to the
    host name rules of RFC 1123 section 2.1 and the lengths of RFC 1035 section 2.3.4. One trailing dot is
    tolerated. Refused are also names for which no CA issues by HTTP-01: wildcards, IP addresses, single labels and
    ICANN's public suffixes. Raises `BadInput` with one line that names the input and the trouble.
    """
    name = _read_plain(text) or _read_any(text)
    # A private suffix is somebody's own name, for which the CA issues.
    if _suffixes(only_icann=True).publicsuffix(name) == name:
        raise _refusal(text, "it is a public suffix, under which others register their names")
    return name


def _read_plain(text: str) -> str:
    """Give the name in `text` where it is plain, as nearly all are; else nothing. It is a tenth of the work."""
    name = text.lower().removesuffix(".")
    is_plain = text.isascii() and len(name) <= _LONGEST_NAME and _PLAIN.fullmatch(name)
    return name if is_plain else ""


def _read_any(text: str) -> str:
    trouble = _find_mistake(text)
    if trouble:
        raise _refusal(text, trouble)
    try:
        labels = _encode(text)
    except idna.IDNAError as error:
        raise _refusal(text, f"it breaks the rules of IDNA 2008 ({clean(error, 120)})") from error
    name = ".".join(labels)
    trouble = _find_fault(labels, name)
    if trouble:
        raise _refusal(text, trouble)
    return name


def normalise_all(names: Iterable[str]) -> tuple[str, ...]:
    """Give every name as `normalise` does, in the same order. Raises `BadInput` too where two are the same name."""
    seen: dict[str, str] = {}
    for text in names:
        name = normalise(text)
        if name in seen:
            raise BadInput(
                f'"{clean(text, 100)}" is given twice: it is the same name as "{clean(seen[name], 100)}"'
            )
        seen[name] = text
    return tuple(seen)


def unicode_name(name: str) -> str:
    """Give a normalised `name` with its A-labels as people read them; empty where there are none."""
    if "xn--" not in name:
        return ""
    try:
        return clean(idna.decode(name))
    except idna.IDNAError:
        return ""


def registered_domain(name: str) -> str:
    """Give the domain that `name` was registered under, by which Let's Encrypt counts certificates.

    That is one label more than the public suffix, where the names under which private owners let others register
    (`github.io`) are suffixes too; a name that is a suffix itself stands for itself
    (https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain).
    """
    return str(_suffixes(only_icann=False).privatesuffix(name) or name)


@cache
def _suffixes(*, only_icann: bool) -> PublicSuffixList:
    # Reading the list takes tens of milliseconds; a command that asks nothing of it should not pay them.
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415

    return PublicSuffixList(only_icann=only_icann)


def _refusal(text: str, trouble: str) -> BadInput:
    return BadInput(f'"{clean(text, 100)}" cannot be used as a domain name: {trouble}')


def _find_mistake(text: str) -> str:
    """Say what is wrong with the text as it was given, or nothing."""
    if not text:
        return "it is empty"
    if len(text) > _LONGEST_INPUT:
        return f"it is longer than {_LONGEST_NAME} octets"
    if any(character.isspace() for character in text):
        return "it holds white space"
    if any(unicodedata.category(character).startswith("C") for character in text):
        return "it holds a control or an invisible character"
    if _is_ip_address(text):
        return "it is an IP address; a certificate is for a name"
    return next((trouble for sign, trouble in _MISTAKEN_FOR_A_NAME if sign.search(text)), "")


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _encode(text: str) -> list[str]:
    """Give the A-labels of `text`. Raises `idna.IDNAError`; an empty label is left for `_find_fault` to name."""
    if not all(character.isascii() or idna.uts46_remap(character) for character in text):
        # UTS 46 drops some characters without a trace; a name that shows less than it holds is a trick.
        raise idna.IDNAError("a character in it is invisible")
    labels = idna.uts46_remap(text, std3_rules=True).removesuffix(".").split(".")
    # A label that is wrong in plain ASCII already keeps its plain complaint.
    return [idna.alabel(label).decode() if _is_worth_encoding(label) else label for label in labels]


def _is_worth_encoding(label: str) -> bool:
    return not label.isascii() or _LDH_LABEL.fullmatch(label) is not None


def _find_fault(labels: list[str], name: str) -> str:
    """Say which rule of host names the encoded name breaks, or nothing."""
    if "" in labels:
        return "it has an empty label"
    if any(len(label) > _LONGEST_LABEL for label in labels):
        return f"it has a label of more than {_LONGEST_LABEL} octets"
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        return "it has a label that begins or ends with a hyphen"
    if not all(_LDH_LABEL.fullmatch(label) for label in labels):
        return "a name has letters, digits, hyphens and dots alone"
    if len(name) > _LONGEST_NAME:
        return f"it is longer than {_LONGEST_NAME} octets"
    if len(labels) == 1:
        return "it is a single label; give the full name"
    if not labels[-1][0].isalpha():
        return "its last label begins with a digit, as no top-level domain does"
    return ""
