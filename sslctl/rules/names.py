"""The validation of domain names, before anything else uses them.

A valid name is a lower-case host name of letters, digits, hyphens and dots. It is safe in a path, an argument list and a
DNS query, and a CA can validate it by HTTP-01.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection, Iterable

import idna

from sslctl.errors import BadInput, Problem
from sslctl.rules.public_suffixes import suffixes_of
from sslctl.text import clean

_LONGEST_NAME = 253
_LONGEST_LABEL = 63
_MOST_NAMES, _MOST_NAMES_SHORT = 100, 25
_SHORT_PROFILES = ("shortlived", "tlsserver")
# A name of 253 octets has at most 253 characters, and some more before Unicode composition. Longer texts are refused
# early, because the time that IDNA's rules take grows faster than the text.
_LONGEST_INPUT = 1000

# ZERO WIDTH NON-JOINER and ZERO WIDTH JOINER: some scripts need them, and IDNA's rules say where (RFC 5892, appendix A).
_JOINERS = "\u200c\u200d"

_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# A name in plain ASCII whose last label begins with a letter: it is no IP address, and IDNA's rules change only capitals in
# it. Labels with "--" in the third and fourth place need IDNA's rules (RFC 5891, section 4.2.3.1).
_PLAIN_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"(?:{_PLAIN_LABEL}\.)+(?=[a-z]){_PLAIN_LABEL}", re.ASCII)

PROBLEMS = {
    "name.wildcard": "it is a wildcard, which HTTP-01 cannot validate",
    "name.url": "it is a URL; use the name alone",
    "name.email": "it is an e-mail address; use the name alone",
    "name.path": "it contains a path; use the name alone",
    "name.port": "it contains a port; use the name alone",
    "name.underscore": "it contains an underscore, which a host name must not have",
    "name.characters": "only letters, digits, hyphens and dots are allowed",
    "name.empty": "it is empty",
    "name.white_space": "it contains white space",
    "name.invisible": "it contains a control or an invisible character",
    "name.address": "it is an IP address; a certificate is for a name",
    "name.dots": "it ends with more than one dot",
    "name.empty_label": "it has an empty label",
    "name.hyphen": "it has a label that begins or ends with a hyphen",
    "name.single_label": "it is a single label; use the full name",
    "name.digit": "its last label begins with a digit, as no top-level domain does",
    "name.suffix": "it is a public suffix, below which others register names",
    "name.url_of": "it is a URL; use the name alone, {name}",
    "name.long": f"it is longer than {_LONGEST_NAME} octets",
    "name.long_label": f"it has a label of more than {_LONGEST_LABEL} octets",
    "name.idna": "it breaks a rule of IDNA 2008 ({detail})",
}
"""What can be wrong with a name, by the key of the problem."""

# What people paste instead of a name, with the most specific sign first; compiled when a name is refused, since every
# command imports this.
_MISTAKEN_FOR_A_NAME = (
    (r"\*", "name.wildcard"),
    (r"://", "name.url"),
    (r"@", "name.email"),
    (r"[/\\?#]", "name.path"),
    (r":", "name.port"),
    (r"_", "name.underscore"),
    (r"[^a-zA-Z0-9.\-\u0080-\U0010ffff]", "name.characters"),
)


def normalise(text: str) -> str:
    """Return `text` in the only form that sslctl uses for a domain: lower-case A-labels without a trailing dot.

    An international name is mapped by UTS 46 and encoded by IDNA 2008 (RFC 5891); one that is given as A-labels may also have
    characters that IDNA 2008 does not allow, such as emoji, since CAs issue for it. The result must follow the host name
    rules of RFC 1123, section 2.1, and the lengths of RFC 1035, section 2.3.4. One trailing dot is accepted. Names for
    which no CA issues by HTTP-01 are refused: wildcards, IP addresses, single labels and ICANN's public suffixes. Raise
    `BadInput` with one line that names the input and the problem.
    """
    name = _read_plain(text) or _read_any(text)
    # A private suffix is also a registered name, for which the CA issues.
    if suffixes_of(name, only_icann=True).publicsuffix(name) == name:
        raise _refusal(text, "name.suffix")
    return name


def _read_plain(text: str) -> str:
    """Return the name in `text` if it is a plain ASCII name, or "". This takes a tenth of the time of `_read_any`."""
    name = text.lower().removesuffix(".")
    is_plain = text.isascii() and len(name) <= _LONGEST_NAME and _PLAIN.fullmatch(name)
    return name if is_plain else ""


def _read_any(text: str) -> str:
    problem = _find_mistake(text)
    if problem:
        raise _refusal(text, problem, name=_name_in_url(text))
    try:
        labels = _encode(text)
    except idna.IDNAError as error:
        raise _refusal(text, "name.idna", detail=clean(error, 120)) from error
    name = ".".join(labels)
    problem = _find_broken_rule(labels, name)
    if problem:
        raise _refusal(text, problem)
    return name


def normalise_all(names: Iterable[str]) -> tuple[str, ...]:
    """Return every name as `normalise` does, in the same order. Raise `BadInput` also if a name occurs twice."""
    seen: dict[str, str] = {}
    for text in names:
        name = normalise(text)
        if name in seen:
            same = "" if text == seen[name] else f': it is the same name as "{clean(seen[name], 100)}"'
            shown = clean(text, 100)
            raise BadInput(f'"{shown}" is given twice{same}', problem=Problem("names.twice", {"text": shown}))
        seen[name] = text
    return tuple(seen)


def require_few(names: Collection[str], profile: str) -> None:
    """Raise `BadInput` if one certificate of the CA's `profile` cannot have so many names.

    The limits are Let's Encrypt's (https://letsencrypt.org/docs/profiles/); other public CAs have the same or higher ones.
    """
    most = _MOST_NAMES_SHORT if profile in _SHORT_PROFILES else _MOST_NAMES
    if len(names) > most:
        reason = f" with the profile {profile}" if most != _MOST_NAMES else ""
        raise BadInput(
            f"a certificate{reason} can have at most {most} names, and {len(names)} are given",
            hint="add some of the names as a domain of their own, with a certificate of its own",
            problem=Problem("names.many", {"most": most, "number": len(names)}),
        )


def unicode_name(name: str) -> str:
    """Return a normalised `name` in Unicode, or "" if it has no A-label that encodes Unicode."""
    if "xn--" not in name:
        return ""
    try:
        # IDNA's rules allow no control characters; `clean` would remove joiners.
        return idna.decode(name)
    except idna.IDNAError:
        return ""


def registered_domain(name: str) -> str:
    """Return the registered domain of `name`, by which Let's Encrypt counts certificates.

    It has one label more than the public suffix. Private suffixes such as `github.io` count as public suffixes too. The
    registered domain of a suffix is the suffix itself
    (https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain).
    """
    return str(suffixes_of(name, only_icann=False).privatesuffix(name) or name)


def _refusal(text: str, key: str, *, name: str = "", detail: str = "") -> BadInput:
    """Return the error about `text` for the problem `key`; `name` and `detail` are what its sentence names."""
    shown, why = clean(text, 100), PROBLEMS[key].format(name=name, detail=detail)
    return BadInput(
        f'"{shown}" cannot be used as a domain name: {why}',
        problem=Problem(key, {"text": shown, "name": name}, detail),
    )


def _find_mistake(text: str) -> str:
    """Return the key of what is wrong with the original text, or ""."""
    if not text:
        return "name.empty"
    if len(text) > _LONGEST_INPUT:
        return "name.long"
    if any(character.isspace() for character in text):
        return "name.white_space"
    if any(map(_is_control, text)):
        return "name.invisible"
    if _is_ip_address(text):
        return "name.address"
    problem = next((key for sign, key in _MISTAKEN_FOR_A_NAME if re.search(sign, text)), "")
    return "name.url_of" if problem == "name.url" and _name_in_url(text) else problem


def _name_in_url(text: str) -> str:
    """Return which name to use instead of the URL `text`, or "" if it is none or its host is no plain name."""
    host = re.match(r"https?://([A-Za-z0-9.-]+)(?::[0-9]*)?(?:[/?#]|$)", text, re.ASCII | re.IGNORECASE)
    return _read_plain(host[1]) if host else ""


def _is_control(character: str) -> bool:
    """Return whether `character` is a control, format or unassigned one, and none that some scripts need."""
    return unicodedata.category(character).startswith("C") and character not in _JOINERS


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _encode(text: str) -> list[str]:
    """Return the labels of `text`, as A-labels. Raise `idna.IDNAError`.

    Empty labels are kept: `_find_broken_rule` reports them.
    """
    if not all(
        character.isascii() or character in _JOINERS or idna.uts46_remap(character) for character in text
    ):
        # UTS 46 silently drops some characters. A name with invisible characters may be meant to deceive.
        raise idna.IDNAError("a character in it is invisible")
    labels = idna.uts46_remap(text, std3_rules=True).removesuffix(".").split(".")
    # A label that is wrong already in plain ASCII gets the simpler message of `_find_broken_rule`.
    return [
        idna.alabel(label).decode() if _is_worth_encoding(label) and not _is_p_label(label) else label
        for label in labels
    ]


def _is_p_label(label: str) -> bool:
    """Return whether `label` is "xn--" and valid Punycode of a text in Unicode's form NFC, in lower case.

    CAs issue for such labels (Boulder, `policy/pa.go`, `validDomain`). A text that UTS 46 would change is refused, because
    browsers do not find such a name, and so is one with control characters.
    """
    if not label.startswith("xn--") or not label.isascii():
        return False
    try:
        text = label[4:].encode().decode("punycode")
        is_whole = text.encode("punycode").decode() == label[4:] and not text.isascii()
        is_same = idna.uts46_remap(text, std3_rules=True) == text
        return is_whole and is_same and not any(map(_is_control, text))
    except (UnicodeError, idna.IDNAError):
        return False


def _is_worth_encoding(label: str) -> bool:
    return not label.isascii() or _LDH_LABEL.fullmatch(label) is not None


def _find_broken_rule(labels: list[str], name: str) -> str:
    """Return the key of the rule of host names that the encoded name breaks, or ""."""
    if "" in labels:
        return "name.dots" if labels[-1] == "" and any(labels) else "name.empty_label"
    if any(len(label) > _LONGEST_LABEL for label in labels):
        return "name.long_label"
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        return "name.hyphen"
    if not all(_LDH_LABEL.fullmatch(label) for label in labels):
        return "name.characters"
    if len(name) > _LONGEST_NAME:
        return "name.long"
    if len(labels) == 1:
        return "name.single_label"
    if not labels[-1][0].isalpha():
        return "name.digit"
    return ""
