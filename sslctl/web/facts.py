"""The facts about a domain as labels with texts, for its page: what `sslctl view` shows."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from sslctl.rules.ca_name import ca_name
from sslctl.rules.model import Certificate, Domain, Source
from sslctl.rules.renewal import RenewalRule, Trigger
from sslctl.rules.schedule import next_renewal
from sslctl.rules.singapore import format_both, format_sgt
from sslctl.rules.snoozing import explain_end, why_ended
from sslctl.rules.versions import is_adopted, version_state
from sslctl.web.language import Texts

Fact = tuple[str, str]
_SHORT = 16


def domain_facts(domain: Domain, now: datetime, rule: RenewalRule, texts: Texts) -> list[Fact]:
    """Return the facts about `domain`; those that it does not have are left out."""
    facts = [
        ("fact.serving", _serving(domain, now, texts)),
        ("fact.on_c4", _on_c4(domain, texts)),
        ("fact.renewal", _renewal(domain, now, rule, texts)),
        ("fact.choice", _choice(domain, texts)),
        ("fact.source", texts(f"source.{domain.source}")),
        ("fact.other_names", ", ".join(domain.sans)),
        ("fact.customer", _customer(domain, texts)),
        ("fact.assignee", domain.remarks.assignee),
        ("fact.note", domain.remarks.note),
        ("fact.snoozed", _snooze(domain, now, texts)),
        ("fact.consent", _consent(domain, texts)),
        ("fact.before_cutover", _time(domain.before_cutover_since)),
        ("fact.created", format_both(domain.created_at)),
        ("fact.deleted", _time(domain.deleted_at)),
        ("fact.checked", _time(domain.checked_at) or texts("never")),
        ("fact.observed", _time(domain.observed_at)),
        ("fact.dns_checked", _time(domain.dns_checked_at)),
    ]
    return [(texts(key), text) for key, text in facts if text]


def _choice(domain: Domain, texts: Texts) -> str:
    return ", ".join(
        texts("site.colon", label=texts(f"choice.{key}"), text=value)
        for key, value in asdict(domain.choice).items()
        if value
    )


def certificate_facts(certificate: Certificate, texts: Texts) -> list[Fact]:
    """Return the facts about a certificate."""
    leaf, info = certificate.leaf, certificate.renewal_info
    window = ""
    if info is not None:
        window = texts("fact.window_range", start=format_sgt(info.start_at), end=format_sgt(info.end_at))
    facts = [
        ("fact.version", str(certificate.version)),
        ("fact.names", ", ".join(leaf.names)),
        ("fact.not_before", format_both(leaf.not_before)),
        ("fact.not_after", format_both(leaf.not_after)),
        ("fact.issuer", leaf.issuer),
        ("fact.ca", ca_name(certificate.ca)),
        ("fact.key_type", leaf.key_type),
        ("fact.serial", leaf.serial),
        ("fact.fingerprint", leaf.fingerprint),
        ("fact.window", window),
    ]
    return [(texts(key), text) for key, text in facts if text]


def describe_version(certificate: Certificate, domain: Domain, now: datetime, texts: Texts) -> str:
    """Return the state of a version, with whether its key was destroyed."""
    state = texts(f"state.{version_state(certificate, domain, now)}")
    return texts("version.key_destroyed", state=state) if certificate.key_destroyed_at else state


def _time(at: datetime | None) -> str:
    return "" if at is None else format_both(at)


def _serving(domain: Domain, now: datetime, texts: Texts) -> str:
    if domain.in_service is None:
        return texts("serving.nothing")
    left = domain.in_service.not_after - now
    if left > timedelta(0):
        return texts("serving.valid", left=texts.length(left))
    return texts("serving.expired", since=texts.length(-left))


def _on_c4(domain: Domain, texts: Texts) -> str:
    foreign = domain.foreign
    if foreign is None:
        return ""
    return texts(
        "fact.adopted" if is_adopted(domain) else "fact.foreign",
        source=texts(f"source.{foreign.source}"),
        fingerprint=foreign.fingerprint[:_SHORT],
        until=format_sgt(foreign.not_after),
    )


def _customer(domain: Domain, texts: Texts) -> str:
    recorded = domain.remarks.customer
    if recorded and domain.c4_customer not in ("", recorded):
        return texts("fact.customer_overruled", name=domain.customer, recorded=recorded)
    return domain.customer


def _snooze(domain: Domain, now: datetime, texts: Texts) -> str:
    snooze = domain.remarks.snooze
    if snooze is None:
        return ""
    ended, until = explain_end(domain, snooze, now), format_both(snooze.until)
    if ended is None:
        return texts("fact.snoozed_until", until=until)
    why = texts.problem(ended, why_ended(domain, snooze, now))
    return texts("fact.snooze_ended", until=until, why=why)


def _consent(domain: Domain, texts: Texts) -> str:
    if not domain.text_consent or domain.deleted_at is not None:
        return ""
    return texts("fact.consent_given", fingerprint=domain.text_consent[:_SHORT])


def _renewal(domain: Domain, now: datetime, rule: RenewalRule, texts: Texts) -> str:
    if domain.source is Source.TEXT and domain.deleted_at is None:
        return texts("fact.renewal_none")
    renewal = next_renewal(domain, now, rule)
    if renewal is None:
        return ""
    before = texts.length(rule.before) if renewal.trigger is Trigger.EXPIRY else ""
    why = texts(f"trigger.{renewal.trigger}", before=before)
    key = "fact.renewal_since" if renewal.at <= now else "fact.renewal_due"
    return texts(key, at=format_both(renewal.at), why=why)
