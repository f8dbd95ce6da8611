"""The output of `sslctl view`: the facts about one domain, its certificate versions and its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sslctl.cli.output.phrases import (
    archived_history,
    coloured,
    doubt_lines,
    event_kind,
    next_try,
    overruled_customer,
    reason_codes,
    records_to_set,
)
from sslctl.cli.output.records import records_text
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.table import table
from sslctl.cli.output.width import display_width, paragraph, terminal_width, truncate
from sslctl.rules import names
from sslctl.rules.ca_name import ca_name
from sslctl.rules.certificate_choice import AS_CONFIGURED
from sslctl.rules.history_seal import HistoryCut
from sslctl.rules.model import Certificate, Domain, Event, Installed, RenewalInfo, Source
from sslctl.rules.onboarding import is_abandoned, is_in_first_hour, is_looked_at
from sslctl.rules.renewal import YOUNG, Ari, Renewal, RenewalRule, Trigger, is_plausible
from sslctl.rules.schedule import next_renewal
from sslctl.rules.singapore import format_both, format_duration, format_sgt
from sslctl.rules.snoozing import why_ended
from sslctl.rules.status import derive_status, describe_serving
from sslctl.rules.versions import is_adopted, version_state
from sslctl.wording import C4

_INDENT = "  "
_VERSIONS = ("VERSION", "STATE", "SOURCE", "ISSUED", "EXPIRES", "SHA-256")
_HISTORY = ("TIME", "ACTOR", "EVENT", "DETAIL")
_LEAST_DETAIL = 50


def write_domain(
    domain: Domain,
    certificates: Sequence[Certificate],
    events: Sequence[Event],
    cut: HistoryCut | None,
    now: datetime,
    rule: RenewalRule,
) -> None:
    """Write everything about `domain`, with its status as of `now`. Renewals follow `rule`; history before `cut` is in archives."""
    write_line(_pairs(_facts(domain, now, rule)))
    records = records_to_set(domain, now)
    if records:
        write_line(f"\n{records_text(records, _INDENT)}")
    current = domain.serving or domain.wanted
    if current is not None:
        write_line("\nCertificate")
        write_line(_pairs(_leaf_facts(current, rule)))
    if certificates:
        write_line("\nVersions")
        write_line(_versions(certificates, domain, now))
    write_line("\nHistory")
    if events:
        write_line(_history(events))
    if cut is not None and domain.created_at < cut.until:
        write_line(paragraph(f"The {archived_history(cut)}.", _INDENT))


def _history(events: Sequence[Event]) -> str:
    rows = [(format_sgt(event.at), event.actor, event_kind(event), event.detail) for event in events]
    return _rows_with_last_below(rows, _HISTORY, least=_LEAST_DETAIL)


def _versions(certificates: Sequence[Certificate], domain: Domain, now: datetime) -> str:
    rows = [_version(certificate, domain, now) for certificate in certificates]
    return _rows_with_last_below(rows, _VERSIONS, label="SHA-256 ")


def _rows_with_last_below(
    rows: Sequence[Sequence[str]], headers: Sequence[str], *, least: int = 0, label: str = ""
) -> str:
    """Return the table of `rows`. If the terminal is too narrow for it, the last cell of each row stands below the others.

    There the `label` precedes it. A last column of `least` columns or more is rather wrapped; 0 means that it never is.
    """
    wide, width = table(rows, headers, indent=_INDENT, wrap=False), terminal_width()
    if width is None or max(map(display_width, wide.split("\n"))) <= width:
        return wide
    heads = table([row[:-1] for row in rows], headers[:-1], indent=_INDENT, wrap=False).split("\n")
    left = width - max(map(display_width, heads)) - len(_INDENT)
    if least and left >= max(least, *(display_width(word) for row in rows for word in row[-1].split())):
        return table(rows, headers, indent=_INDENT)
    lines = [truncate(heads[0], width)]
    for head, row in zip(heads[1:], rows, strict=True):
        lines.append(truncate(head, width))
        lines += [paragraph(label + row[-1], _INDENT * 3)] if row[-1] else []
    return "\n".join(lines)


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return table([(f"{label}:", text) for label, text in facts if text], indent=_INDENT)


def _facts(domain: Domain, now: datetime, rule: RenewalRule) -> list[tuple[str, str]]:
    verdict = derive_status(domain, now)
    facts = [
        ("Domain", domain.name),
        ("Unicode name", names.unicode_name(domain.name)),
        ("Other names", ", ".join(domain.sans)),
        ("Status", "deleted" if domain.deleted_at else coloured(verdict.status)),
        ("Source", domain.source),
        ("Customer", _describe_customer(domain)),
        ("Assigned to", domain.remarks.assignee),
        ("Team note", domain.remarks.note),
        ("Snoozed", _describe_snooze(domain, now)),
        ("Serving", describe_serving(domain, now)),
        (f"On {C4}", _describe_foreign(domain, domain.foreign) if domain.foreign else ""),
        ("Consent", _describe_consent(domain)),
        ("Before cutover", _describe_cutover(domain)),
        ("Created", format_both(domain.created_at)),
        ("Deleted", format_both(domain.deleted_at) if domain.deleted_at else ""),
        ("Last checked", format_both(domain.checked_at) if domain.checked_at else "never"),
        ("Renewal", _describe_renewal(domain, now, rule)),
        ("Chosen", "" if domain.choice == AS_CONFIGURED else domain.choice.describe()),
    ]
    if verdict.code is not None and not domain.deleted_at:
        facts += [
            ("Reason", f"{reason_codes(verdict)}: {verdict.sentence}"),
            ("Who acts", str(verdict.owner)),
            ("Next step", verdict.next_step),
            ("CA's link", verdict.link),
            ("Next try", next_try(domain, verdict, now)),
            ("DNS looks", _describe_looks(domain, now)),
        ]
    if is_abandoned(domain, now):
        facts.append(
            (
                "Abandoned",
                "yes: it never had a certificate in 30 days or more; it is rechecked daily, without notices",
            )
        )
    facts += [("Note", line) for line in doubt_lines(domain, now)]
    return facts


def _describe_foreign(domain: Domain, foreign: Installed) -> str:
    certificate = f"{foreign.source} certificate {foreign.fingerprint[:16]}"
    expiry = format_sgt(foreign.not_after)
    if is_adopted(domain):
        return f"{certificate}, adopted with `sslctl adopt`, key not stored here, valid until {expiry}"
    return f"{certificate}, not installed by sslctl, valid until {expiry}"


def _describe_customer(domain: Domain) -> str:
    """Return the customer, and the one that C4 named if a person recorded another one."""
    named = overruled_customer(domain)
    return f"{domain.customer} (recorded here; {C4} names {named})" if named else domain.customer


def _describe_snooze(domain: Domain, now: datetime) -> str:
    """Return until when the domain is snoozed, and why that is not in force; empty if it is not snoozed."""
    snooze = domain.remarks.snooze
    if snooze is None:
        return ""
    ended = why_ended(domain, snooze, now)
    until = f"until {format_both(snooze.until)}"
    return f"{until}, not in force: {ended}" if ended else until


def _describe_cutover(domain: Domain) -> str:
    """Return since when the domain is before its cutover, and what shows that DNS may be switched; empty if it is not."""
    if domain.before_cutover_since is None:
        return ""
    return f"since {format_sgt(domain.before_cutover_since)}; `sslctl check {domain.name}` says when it is safe to switch DNS"


def _describe_consent(domain: Domain) -> str:
    """Return which certificate a person agreed to replace, and how to take that back; empty without consent."""
    if not domain.text_consent or domain.deleted_at is not None:
        return ""
    return (
        f"you agreed to replace the text certificate {domain.text_consent[:16]}; the next tick that can does it."
        f" `sslctl adopt {domain.name}` takes that back"
    )


def _describe_looks(domain: Domain, now: datetime) -> str:
    """Return how often the tick looks at the DNS of a new domain before the next try; empty if it does not."""
    if not is_looked_at(domain, now):
        return ""
    often = "every 5 minutes" if is_in_first_hour(domain, now) else "every hour"
    return f"{often}; an order follows as soon as the domain points at the CDN"


def _describe_renewal(domain: Domain, now: datetime, rule: RenewalRule) -> str:
    """Return when the domain is due for a renewal, and why then; empty if that is not planned."""
    if domain.source is Source.TEXT and domain.deleted_at is None:
        return "none: sslctl never renews a text certificate"
    renewal = next_renewal(domain, now, rule)
    if renewal is None:
        return ""
    since = "due since" if renewal.at <= now else "due"
    return f"{since} {format_both(renewal.at)}: {_describe_trigger(renewal, domain.serving, rule)}"


def _describe_trigger(renewal: Renewal, serving: Certificate | None, rule: RenewalRule) -> str:
    """Return the rule that decided when a renewal is due, in words."""
    is_young = serving is not None and renewal.at == serving.issued_at + YOUNG
    picked = "not before a day after the issuance" if is_young else "the time picked in its window"
    return {
        Trigger.EXPIRY: f"{format_duration(rule.before)} before the expiry",
        Trigger.HALF_LIFETIME: "half of the lifetime",
        Trigger.CA_WINDOW: f"the CA suggests it; {picked}",
        Trigger.CA_INCIDENT: f"the CA asks for an early replacement; {picked}",
        Trigger.REVOKED: "the certificate is revoked",
        Trigger.FOREIGN_EXPIRY: f"the text certificate on {C4} expires; it is not replaced before",
    }[renewal.trigger]


def _leaf_facts(certificate: Certificate, rule: RenewalRule) -> list[tuple[str, str]]:
    leaf = certificate.leaf
    return [
        ("Version", str(certificate.version)),
        ("Names", ", ".join(leaf.names)),
        ("Serial", leaf.serial),
        ("SHA-256", leaf.fingerprint),
        ("Issuer", leaf.issuer),
        ("CA", ca_name(certificate.ca)),
        ("Key type", leaf.key_type),
        ("Valid from", format_both(leaf.not_before)),
        ("Valid until", format_both(leaf.not_after)),
        *(_renewal_facts(certificate, certificate.renewal_info, rule) if certificate.renewal_info else ()),
    ]


def _renewal_facts(certificate: Certificate, info: RenewalInfo, rule: RenewalRule) -> list[tuple[str, str]]:
    """Return the CA's window, and the time picked in it only if the renewal is due at that time."""
    renewal = rule.renewal_of(certificate)
    is_followed = renewal.trigger in (Trigger.CA_WINDOW, Trigger.CA_INCIDENT)
    window = f"renewal from {format_sgt(info.start_at)} to {format_sgt(info.end_at)}"
    return [
        ("CA's window", window if is_followed else f"{window}; {_why_not_followed(certificate, info, rule)}"),
        ("Time picked", format_both(info.renew_at) if is_followed and info.renew_at == renewal.at else ""),
        ("CA explains", info.explanation_url),
    ]


def _why_not_followed(certificate: Certificate, info: RenewalInfo, rule: RenewalRule) -> str:
    """Return why the CA's window does not decide when `certificate` is renewed, in words."""
    if not is_plausible(certificate.leaf, info.start_at, info.end_at):
        return "ignored: outside the lifetime"
    if rule.ari is Ari.OFF or (rule.ari is Ari.INCIDENT and not rule.is_incident(certificate.leaf, info)):
        return f'not followed: renewal.ari is "{rule.ari}"'
    return "not followed: the renewal is due before"


def _version(certificate: Certificate, domain: Domain, now: datetime) -> tuple[str, ...]:
    destroyed = ", key destroyed" if certificate.key_destroyed_at else ""
    return (
        str(certificate.version),
        version_state(certificate, domain, now),
        certificate.source,
        format_sgt(certificate.issued_at),
        format_sgt(certificate.leaf.not_after),
        certificate.leaf.fingerprint[:16] + destroyed,
    )
