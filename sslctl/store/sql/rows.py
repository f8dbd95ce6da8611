"""Rows of domains, certificates, orders and events to model values, and the queries that read them.

Rows that are read a hundred thousand times are read by position, not by name: the columns and the values made of them
have the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from sslctl.rules.certificate_choice import AS_CONFIGURED
from sslctl.rules.model import (
    Certificate,
    CertificateSummary,
    Domain,
    DomainSummary,
    Event,
    Leaf,
    Mark,
    Milestone,
    Order,
    RenewalInfo,
    Source,
)
from sslctl.rules.remarks import NO_REMARKS
from sslctl.store.sql.choices import choice_of
from sslctl.store.sql.connection import Dialect, Row
from sslctl.store.sql.observations import observations_of, select_observations
from sslctl.store.sql.remarks import remarks_of, select_remarks
from sslctl.store.sql.values import names_of, optional_time_of, text_of, time_of
from sslctl.text import clean

# fmt: off
_CERTIFICATE = (
    "id", "domain_id", "version", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before",
    "not_after", "issued_at", "uploaded_at", "verified_at", "replaced_at", "revoked_at", "key_destroyed_at",
    "ca", "ari_start_at", "ari_end_at", "ari_renew_at", "ari_poll_at", "ari_explanation",
)
UNCHANGING = (
    "domain_id", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before", "not_after", "pem",
    "chain_pem",
)
_DOMAIN = (
    "id", "name", "sans", "source", "created_at", "deleted_at", "checked_at", "revision", "wanted_id", "serving_id",
    "observed_at", "dns_checked_at", "text_consent", "customer", "choice", "before_cutover_since",
)
_CERTIFICATE_SUMMARY = ("version", "source", "fingerprint", "not_after")
_DOMAIN_SUMMARY = (
    "id", "name", "sans", "source", "created_at", "deleted_at", "checked_at", "wanted_id", "serving_id",
    "observed_at", "customer",
)
# fmt: on
_SOURCES = {source.value: source for source in Source}


def _columns(table: str, names: Iterable[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


CERTIFICATE_COLUMNS = _columns("certificate", _CERTIFICATE)
"""The columns of a certificate, for `certificate_of`."""
SELECT_CERTIFICATE = f"SELECT {CERTIFICATE_COLUMNS} FROM certificate"  # noqa: S608 - constants

SELECT_CERTIFICATE_AND_PEM = f"SELECT {_columns('certificate', (*_CERTIFICATE, 'pem'))} FROM certificate"  # noqa: S608 - constants


def _from_domain(hint: str = "", domain_hint: str = "") -> str:
    # The served certificate is usually the wanted one: it is looked up once then, and `serving` is empty.
    return (
        f"FROM domain {domain_hint} LEFT JOIN certificate AS wanted {hint} ON wanted.id = domain.wanted_id"
        f" LEFT JOIN certificate AS serving {hint} ON serving.id = domain.serving_id"
        " AND domain.serving_id IS DISTINCT FROM domain.wanted_id"
    )


FROM_DOMAIN = _from_domain()


def from_domain_facts(dialect: Dialect) -> str:
    """Return `FROM_DOMAIN` for queries over many domains that an index answers alone: a certificate's own row is long."""
    return _from_domain(dialect.index_hint("certificate_facts"))


def from_whole_domains(dialect: Dialect) -> str:
    """Return `from_domain_facts` for queries that read columns of nearly all domains that no index has.

    In the order of an index, each row would be on another page of the file.
    """
    return _from_domain(dialect.index_hint("certificate_facts"), dialect.no_index_hint())


def from_domains_to_count(dialect: Dialect, where: str) -> str:
    """Return `from_whole_domains` without the certificates unless `where` uses them: a database reads them for a count."""
    if "wanted." in where or "serving." in where:
        return from_whole_domains(dialect)
    return f"FROM domain {dialect.no_index_hint()}"


def from_special_domains(dialect: Dialect) -> str:
    """Return `from_domain_facts` for queries that leave out all domains for which `filters.IS_PLAIN` holds."""
    return _from_domain(dialect.index_hint("certificate_facts"), dialect.index_hint("domain_not_plain"))


def from_domains_with_other_names(dialect: Dialect) -> str:
    """Return `from_domain_facts` for queries of domains for which `filters.HAS_OTHER_NAMES` holds."""
    return _from_domain(dialect.index_hint("certificate_facts"), dialect.index_hint("domain_by_other_names"))


def _select(domain: Iterable[str], certificate: Iterable[str], dialect: Dialect) -> str:
    return (
        f"SELECT {_columns('domain', domain)}, {_columns('wanted', certificate)}, {_columns('serving', certificate)},"
        f" {select_observations(dialect)}, {select_remarks(dialect)}"
    )


def select_domain(dialect: Dialect) -> str:
    """Return the query of domains with their certificates."""
    return f"{_select(_DOMAIN, _CERTIFICATE, dialect)} {FROM_DOMAIN}"


def select_domain_summary(dialect: Dialect) -> str:
    """Return the query of the summaries of domains."""
    return f"{_select(_DOMAIN_SUMMARY, _CERTIFICATE_SUMMARY, dialect)} {from_domain_facts(dialect)}"


# The columns `UNCHANGING`, their `digest`, and the encrypted key.
SELECT_BUNDLE = (
    f"SELECT {_columns('certificate', UNCHANGING)}, digest, sealed_key FROM certificate WHERE id = ?"  # noqa: S608 - constants
)


def digest(values: Iterable[object]) -> str:
    """Return the SHA-256 digest of `values`, the columns `UNCHANGING`: it shows whether they are as they were stored."""
    return sha256(json.dumps(list(values)).encode()).hexdigest()


def require_unchanged(row: Row) -> None:
    """Raise `ValueError` if the digest of a row of `SELECT_BUNDLE` does not match."""
    if digest(row[name] for name in UNCHANGING) != row["digest"]:
        raise ValueError(f"the certificate for {clean(row['names'], 100)} is not as it was stored")


def certificate_of(row: Iterable[Any]) -> Certificate:
    """Return the certificate in a row of `SELECT_CERTIFICATE`."""
    # fmt: off
    (
        identity, domain_id, version, source, names, fingerprint, serial, issuer, key_type, not_before,
        not_after, issued_at, uploaded_at, verified_at, replaced_at, revoked_at, key_destroyed_at, ca,
        *renewal_info,
    ) = row
    # fmt: on
    return Certificate(
        id=identity,
        domain_id=domain_id,
        version=version,
        source=_SOURCES[source],
        leaf=Leaf(
            names=names_of(names),
            fingerprint=text_of(fingerprint),
            serial=text_of(serial),
            issuer=text_of(issuer),
            key_type=text_of(key_type),
            not_before=time_of(not_before),
            not_after=time_of(not_after),
        ),
        issued_at=time_of(issued_at),
        uploaded_at=optional_time_of(uploaded_at),
        verified_at=optional_time_of(verified_at),
        replaced_at=optional_time_of(replaced_at),
        revoked_at=optional_time_of(revoked_at),
        renewal_info=_renewal_info(*renewal_info),
        key_destroyed_at=optional_time_of(key_destroyed_at),
        ca=text_of(ca),
    )


def certificate_and_pem_of(row: Iterable[Any]) -> tuple[Certificate, str]:
    """Return the certificate and its PEM in a row of `SELECT_CERTIFICATE_AND_PEM`."""
    *certificate, pem = row
    return certificate_of(certificate), pem


def _renewal_info(
    start_at: str | None, end_at: str, renew_at: str, poll_at: str, explanation: str
) -> RenewalInfo | None:
    if start_at is None:
        return None
    return RenewalInfo(
        time_of(start_at), time_of(end_at), time_of(renew_at), time_of(poll_at), text_of(explanation)
    )


def domain_of(row: Iterable[Any]) -> Domain:
    """Return the domain, with its wanted and serving certificates, in a row of `select_domain`."""
    values, wanted_at = tuple(row), len(_DOMAIN)
    serving_at = wanted_at + len(_CERTIFICATE)
    # fmt: off
    (
        identity, name, sans, source, created_at, deleted_at, checked_at, revision, wanted_id, serving_id,
        observed_at, dns_checked_at, text_consent, customer, choice, before_cutover_since,
    ) = values[:wanted_at]
    # fmt: on
    wanted = None if wanted_id is None else certificate_of(values[wanted_at:serving_at])
    serving = wanted
    if serving_id != wanted_id:
        serving = None if serving_id is None else certificate_of(values[serving_at:-2])
    if any(one is not None and one.domain_id != identity for one in (wanted, serving)):
        raise ValueError(f"{clean(name)} has the certificate of another domain in it")
    finding, foreign, unconfirmed, suspicion, caution = observations_of(values[-2])
    return Domain(
        id=identity,
        name=text_of(name),
        sans=names_of(sans),
        source=_SOURCES[source],
        created_at=time_of(created_at),
        deleted_at=optional_time_of(deleted_at),
        checked_at=optional_time_of(checked_at),
        finding=finding,
        wanted=wanted,
        serving=serving,
        foreign=foreign,
        unconfirmed=unconfirmed,
        suspicion=suspicion,
        caution=caution,
        observed_at=optional_time_of(observed_at),
        dns_checked_at=optional_time_of(dns_checked_at),
        text_consent=text_of(text_consent),
        c4_customer=text_of(customer),
        remarks=remarks_of(values[-1]),
        choice=AS_CONFIGURED if choice is None else choice_of(choice),
        before_cutover_since=optional_time_of(before_cutover_since),
        revision=revision,
    )


def summary_of(row: Iterable[Any]) -> DomainSummary:
    """Return the domain's summary in a row of `select_domain_summary`."""
    # fmt: off
    (
        _, name, sans, source, created_at, deleted_at, checked_at, wanted_id, serving_id, observed_at, customer,
        wanted_version, wanted_source, wanted_fingerprint, wanted_not_after,
        serving_version, serving_source, serving_fingerprint, serving_not_after,
        observed, remarks,
    ) = row
    # fmt: on
    wanted = serving = None
    if wanted_id is not None:
        wanted = CertificateSummary(
            wanted_version, _SOURCES[wanted_source], wanted_fingerprint, time_of(wanted_not_after)
        )
    if serving_id == wanted_id:
        serving = wanted
    elif serving_id is not None:
        serving = CertificateSummary(
            serving_version, _SOURCES[serving_source], serving_fingerprint, time_of(serving_not_after)
        )
    finding, foreign, unconfirmed, suspicion, caution = observations_of(observed)
    return DomainSummary(
        text_of(name),
        names_of(sans),
        _SOURCES[source],
        time_of(created_at),
        deleted_at and time_of(deleted_at),
        checked_at and time_of(checked_at),
        finding,
        wanted,
        serving,
        foreign,
        unconfirmed,
        suspicion,
        caution,
        observed_at and time_of(observed_at),
        customer and text_of(customer),
        NO_REMARKS if remarks is None else remarks_of(remarks),
    )


def order_of(row: Row) -> Order:
    """Return the order in a row of `SELECT * FROM acme_order`."""
    return Order(
        id=row["id"],
        domain_id=row["domain_id"],
        names=names_of(row["names"]),
        csr_pem=row["csr_pem"],
        opened_at=time_of(row["opened_at"]),
        url=row["url"],
        profile=row["profile"],
        preferred_chain=row["preferred_chain"],
        ca=row["ca"],
    )


def event_of(row: Row) -> Event:
    """Return the event in a row of `SELECT * FROM event`."""
    return Event(
        id=row["id"],
        domain_id=row["domain_id"],
        at=time_of(row["at"]),
        actor=text_of(row["actor"]),
        kind=text_of(row["kind"]),
        detail=text_of(row["detail"]),
        version=row["version"],
    )


def named_event_of(row: Row) -> tuple[str | None, Event]:
    """Return the name of the domain, None without one, and the event in a row of `SELECT event.*, domain.name`."""
    return None if row["name"] is None else text_of(row["name"]), event_of(row)


def mark_of(row: Row) -> tuple[Milestone, Mark]:
    """Return the milestone in a row of `SELECT * FROM milestone`."""
    at, actor, detail = time_of(row["at"]), text_of(row["actor"]), text_of(row["detail"])
    return Milestone(row["name"]), Mark(at, actor, detail, row["seconds"])
