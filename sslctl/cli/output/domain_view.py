"""The output of `sslctl view`: the facts about one domain, its certificate versions and its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sslctl.cli.output.phrases import both_times, coloured, doubt_lines, event_kind, next_try, reason_codes
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.table import table
from sslctl.rules import names
from sslctl.rules.model import Certificate, Domain, Event, Installed, RenewalInfo
from sslctl.rules.singapore import format_sgt
from sslctl.rules.status import derive_status, describe_serving
from sslctl.rules.versions import version_state

_INDENT = "  "
_VERSIONS = ("VERSION", "STATE", "SOURCE", "ISSUED", "EXPIRES", "SHA-256")
_HISTORY = ("TIME", "ACTOR", "EVENT", "DETAIL")


def write_domain(
    domain: Domain, certificates: Sequence[Certificate], events: Sequence[Event], now: datetime
) -> None:
    """Write everything about `domain`, with its status as of `now`."""
    write_line(_pairs(_facts(domain, now)))
    current = domain.serving or domain.wanted
    if current is not None:
        write_line("\nCertificate")
        write_line(_pairs(_leaf_facts(current)))
    if certificates:
        write_line("\nVersions")
        rows = [_version(certificate, domain, now) for certificate in certificates]
        write_line(table(rows, _VERSIONS, indent=_INDENT))
    write_line("\nHistory")
    history = [(format_sgt(event.at), event.actor, event_kind(event), event.detail) for event in events]
    write_line(table(history, _HISTORY, indent=_INDENT))


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return table([(f"{label}:", text) for label, text in facts if text], indent=_INDENT)


def _facts(domain: Domain, now: datetime) -> list[tuple[str, str]]:
    verdict = derive_status(domain, now)
    facts = [
        ("Domain", domain.name),
        ("Unicode name", names.unicode_name(domain.name)),
        ("Other names", ", ".join(domain.sans)),
        ("Status", "deleted" if domain.deleted_at else coloured(verdict.status)),
        ("Source", domain.source),
        ("Serving", describe_serving(domain, now)),
        ("On C4", _describe_foreign(domain.foreign) if domain.foreign else ""),
        ("Created", both_times(domain.created_at)),
        ("Deleted", both_times(domain.deleted_at) if domain.deleted_at else ""),
        ("Last checked", both_times(domain.checked_at) if domain.checked_at else "never"),
    ]
    if verdict.code is not None and not domain.deleted_at:
        facts += [
            ("Reason", f"{reason_codes(verdict)}: {verdict.sentence}"),
            ("Who acts", str(verdict.owner)),
            ("Next step", verdict.next_step),
            ("Next try", next_try(verdict, now)),
        ]
    facts += [("Note", line) for line in doubt_lines(domain, now)]
    return facts


def _describe_foreign(foreign: Installed) -> str:
    expiry = format_sgt(foreign.not_after)
    return f"{foreign.source} certificate {foreign.fingerprint[:16]}, not installed by sslctl, valid until {expiry}"


def _leaf_facts(certificate: Certificate) -> list[tuple[str, str]]:
    leaf = certificate.leaf
    return [
        ("Version", str(certificate.version)),
        ("Names", ", ".join(leaf.names)),
        ("Serial", leaf.serial),
        ("SHA-256", leaf.fingerprint),
        ("Issuer", leaf.issuer),
        ("Key type", leaf.key_type),
        ("Valid from", both_times(leaf.not_before)),
        ("Valid until", both_times(leaf.not_after)),
        *(_renewal_facts(certificate.renewal_info) if certificate.renewal_info else ()),
    ]


def _renewal_facts(info: RenewalInfo) -> list[tuple[str, str]]:
    return [
        ("CA's window", f"renewal from {format_sgt(info.start_at)} to {format_sgt(info.end_at)}"),
        ("Time picked", both_times(info.renew_at)),
        ("CA explains", info.explanation_url),
    ]


def _version(certificate: Certificate, domain: Domain, now: datetime) -> tuple[str, ...]:
    destroyed = ", key destroyed" if certificate.key_destroyed_at else ""
    return (
        str(certificate.version),
        version_state(certificate, domain, now) + destroyed,
        certificate.source,
        format_sgt(certificate.issued_at),
        format_sgt(certificate.leaf.not_after),
        certificate.leaf.fingerprint[:16],
    )
