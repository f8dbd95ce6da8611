"""Whether a resolver answers SERVFAIL because DNSSEC validation failed, or because it got no answer.

Only the resolver validates. It is asked again with validation disabled (the CD bit, RFC 4035 section 3.2.2). An answer to that
is a sign of a failed validation, and needs confirmation, because the resolver may only have recovered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import DS, RdataType

from sslctl.text import clean

_ANSWERED = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
# RFC 8914 section 4: what validation fails with, and 25 of the IANA registry (a signature that expires before it is valid).
_VALIDATION_ERRORS = frozenset({5, 6, 7, 8, 9, 10, 11, 12, 25})
_MAX_ZONES = 8
# A top-level domain is signed nearly always, which says nothing about the zones below it. The root is a label too.
_LABELS_OF_TLD = 2


class ValidationFailed(Exception):
    """The resolver rejects the records of a name. `str()` of it is cleaned text.

    `ds` are the DS records of the closest signed zone of the name; None if they are not known, or if the name leads to others.
    """

    def __init__(self, message: str, ds: dns.rrset.RRset | None) -> None:
        super().__init__(message)
        self.ds = ds


def ask_again(
    server: tuple[str, int], name: dns.name.Name, kind: RdataType, until: float
) -> dns.message.Message | None:
    """Ask a server (address and port) that answered SERVFAIL again, until the time `until` (`time.monotonic`).

    Return its response if it answers now, None if it does not. Raise `ValidationFailed` if DNSSEC is the reason: the server
    says so (extended errors, RFC 8914), or it answers without validation only, and a zone of the name is signed.
    """
    unchecked = _exchange(server, name, kind, until, flags=dns.flags.RD | dns.flags.CD)
    if unchecked is None or unchecked.rcode() not in _ANSWERED:
        return None
    checked = _exchange(server, name, kind, until, use_edns=True)
    if checked is None or checked.rcode() not in (*_ANSWERED, dns.rcode.SERVFAIL):
        # The server does not know EDNS (RFC 6891 section 7).
        checked = _exchange(server, name, kind, until)
    if checked is None:
        return None
    if checked.rcode() in _ANSWERED:
        return checked
    errors = [option for option in checked.options if isinstance(option, dns.edns.EDEOption)]
    if checked.rcode() != dns.rcode.SERVFAIL or (errors and not _is_validation(errors)):
        return None
    if not errors and not _is_signed(server, unchecked, name, until):
        return None
    texts = [f"DNSSEC error {error.code.value} {error.text or ''}".strip() for error in errors]
    leads_away = any(rrset.rdtype == dns.rdatatype.CNAME for rrset in unchecked.answer)
    ds = None if leads_away else _find_ds(server, [name], until)
    raise ValidationFailed(clean(", ".join(texts), 120) or "DNSSEC validation fails", ds)


def _is_validation(errors: Iterable[dns.edns.EDEOption]) -> bool:
    return any(error.code.value in _VALIDATION_ERRORS for error in errors)


def _is_signed(
    server: tuple[str, int], response: dns.message.Message, name: dns.name.Name, until: float
) -> bool:
    """Return whether a zone of `name`, or of a name to which `response` leads, has a DS record."""
    targets = (rrset[0].target for rrset in response.answer if rrset.rdtype == dns.rdatatype.CNAME)
    return _find_ds(server, [name, *targets], until) is not None


def _find_ds(server: tuple[str, int], names: Iterable[dns.name.Name], until: float) -> dns.rrset.RRset | None:
    """Return the DS records of the first zone of `names` that has some, the closest to each name first."""
    zones = dict.fromkeys(zone for each in names for zone in _climb(each))
    for zone in list(zones)[:_MAX_ZONES]:
        found = _exchange(server, zone, DS, until, flags=dns.flags.RD | dns.flags.CD)
        ds = None if found is None else found.get_rrset(found.answer, zone, dns.rdataclass.IN, DS)
        if ds is not None:
            return ds
    return None


def _climb(name: dns.name.Name) -> Iterable[dns.name.Name]:
    while len(name) > _LABELS_OF_TLD:
        yield name
        name = name.parent()


def _exchange(
    server: tuple[str, int],
    name: dns.name.Name,
    kind: RdataType,
    until: float,
    *,
    flags: int = dns.flags.RD,
    use_edns: bool = False,
) -> dns.message.Message | None:
    """Return the response of `server`; None if there is none until the time `until`."""
    query = dns.message.make_query(name, kind, flags=flags, use_edns=use_edns)
    seconds = until - time.monotonic()
    if seconds <= 0:
        return None
    address, port = server
    try:
        return dns.query.udp_with_fallback(query, address, seconds, port)[0]
    except (dns.exception.DNSException, OSError, EOFError):
        return None
