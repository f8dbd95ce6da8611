"""Rows to model values and back, and the SQL copy of the status rule.

Rows that are read a hundred thousand times are read by position, not by name: the columns and the values made of them
have the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sslctl.rules.model import (
    Caution,
    Certificate,
    CertificateSummary,
    Domain,
    DomainSummary,
    Event,
    Finding,
    Installed,
    Leaf,
    Mark,
    Milestone,
    Order,
    PassResult,
    RenewalInfo,
    Source,
    State,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.reasons import Code, Status, codes_of
from sslctl.store.sql.connection import Dialect, Row
from sslctl.text import clean, instant

# fmt: off
_CERTIFICATE = (
    "id", "domain_id", "version", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before",
    "not_after", "issued_at", "uploaded_at", "verified_at", "replaced_at", "revoked_at", "key_destroyed_at",
    "ari_start_at", "ari_end_at", "ari_renew_at", "ari_poll_at", "ari_explanation",
)
UNCHANGING = (
    "domain_id", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before", "not_after", "pem",
    "chain_pem",
)
_FINDING = ("finding_code", "finding_found", "finding_wanted", "finding_at", "retry_at", "finding_tries")
# The columns of `model.Installed`, `Unconfirmed`, `Suspicion` and `Caution`, each in the order of its fields.
_OBSERVATIONS = (
    "foreign_source", "foreign_fingerprint", "foreign_not_after", "foreign_state",
    "unconfirmed_code", "unconfirmed_found", "unconfirmed_since", "unconfirmed_retry_at", "unconfirmed_tries",
    "suspicion_code", "suspicion_found", "suspicion_wanted", "suspicion_since", "suspicion_at",
    "caution_code", "caution_found", "caution_wanted", "caution_since",
)
_DOMAIN = (
    "id", "name", "sans", "source", "created_at", "deleted_at", "checked_at", "revision", "wanted_id", "serving_id",
    "observed_at", "dns_checked_at", "text_consent",
)
_CERTIFICATE_SUMMARY = ("version", "source", "fingerprint", "not_after")
_DOMAIN_SUMMARY = (
    "id", "name", "sans", "source", "created_at", "deleted_at", "checked_at", "wanted_id", "serving_id",
    "observed_at",
)
# fmt: on
_LONGEST_TEXT = 4096
_SOURCES = {source.value: source for source in Source}


def _columns(table: str, names: Iterable[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


SELECT_CERTIFICATE = f"SELECT {_columns('certificate', _CERTIFICATE)} FROM certificate"  # noqa: S608 - constants

SELECT_CERTIFICATE_AND_PEM = f"SELECT {_columns('certificate', (*_CERTIFICATE, 'pem'))} FROM certificate"  # noqa: S608 - constants


def _from_domain(hint: str = "") -> str:
    # The served certificate is usually the wanted one: it is looked up once then, and `serving` is empty.
    return (
        f"FROM domain LEFT JOIN certificate AS wanted {hint} ON wanted.id = domain.wanted_id"
        f" LEFT JOIN certificate AS serving {hint} ON serving.id = domain.serving_id"
        " AND domain.serving_id IS DISTINCT FROM domain.wanted_id"
    )


FROM_DOMAIN = _from_domain()


def from_domain_facts(dialect: Dialect) -> str:
    """Return `FROM_DOMAIN` for queries over many domains that an index answers alone: a certificate's own row is long."""
    return _from_domain(dialect.index_hint("certificate_facts"))


def _select_domain(domain: Iterable[str], certificate: Iterable[str]) -> str:
    return (
        f"SELECT {_columns('domain', domain)}, {_columns('wanted', certificate)}, {_columns('serving', certificate)},"
        f" {_columns('domain', _FINDING)}, {_columns('domain', _OBSERVATIONS)}"
    )


SELECT_DOMAIN = f"{_select_domain(_DOMAIN, _CERTIFICATE)} {FROM_DOMAIN}"

_SELECT_SUMMARY = _select_domain(_DOMAIN_SUMMARY, _CERTIFICATE_SUMMARY)


def select_domain_summary(dialect: Dialect) -> str:
    """Return the query of the summaries of domains."""
    return f"{_SELECT_SUMMARY} {from_domain_facts(dialect)}"


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


def literals(words: Iterable[str]) -> str:
    """Return constants of ours (codes, statuses) as a list of SQL literals."""
    return ", ".join(f"'{word}'" for word in words)


def codes(status: Status) -> str:
    """Return the codes that mean `status` as a list of SQL literals."""
    return literals(codes_of(status))


# The expiry of the certificate that `status.derive_status` uses; NULL without one.
EXPIRY = "coalesce(domain.foreign_not_after, serving.not_after, wanted.not_after)"

# `status.derive_status` in SQL, for filters and counts over many domains. A property test compares them.
STATUS = f"""CASE
  WHEN domain.finding_code IN ({codes(Status.DISCARD)}) THEN '{Status.DISCARD}'
  WHEN domain.finding_code IN ({codes(Status.EMERGENCY)})
    AND NOT coalesce({EXPIRY} <= :now AND coalesce(wanted.not_after, '') <= :now, FALSE) THEN '{Status.EMERGENCY}'
  WHEN {EXPIRY} <= :now OR domain.finding_code IN ({codes(Status.EXPIRED)}) THEN '{Status.EXPIRED}'
  WHEN domain.finding_code IN ({codes(Status.FAILURE)}) THEN '{Status.FAILURE}'
  WHEN domain.finding_code IN ({codes(Status.PENDING)}) THEN '{Status.PENDING}'
  WHEN domain.serving_id IS NULL AND domain.foreign_not_after IS NULL
    THEN CASE WHEN domain.source = 'text' AND domain.wanted_id IS NULL THEN '{Status.FAILURE}' ELSE '{Status.PENDING}' END
  ELSE '{Status.SUCCESS}' END"""

STATUS_RANK = (
    f"CASE {STATUS} " + " ".join(f"WHEN '{status}' THEN {status.rank}" for status in Status) + " END"
)


def time_of(text: str) -> datetime:
    """Return a stored time as an aware UTC value."""
    return datetime.fromisoformat(text)


def text_of(stored: str) -> str:
    """Return a stored text as it may be shown.

    It was cleaned before it was stored. But whoever can write to the database, or made the backup that was restored, could
    have put escape sequences or bidirectional characters into it, which a terminal would obey.
    """
    return stored if stored.isascii() and stored.isprintable() else clean(stored, _LONGEST_TEXT)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def names_text(names: Iterable[str]) -> str:
    """Return names as they are stored: a JSON array."""
    return json.dumps(list(names))


def _names(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(map(text_of, json.loads(text)))


def certificate_of(row: Iterable[Any]) -> Certificate:
    """Return the certificate in a row of `SELECT_CERTIFICATE`."""
    # fmt: off
    (
        identity, domain_id, version, source, names, fingerprint, serial, issuer, key_type, not_before,
        not_after, issued_at, uploaded_at, verified_at, replaced_at, revoked_at, key_destroyed_at, *renewal_info,
    ) = row
    # fmt: on
    return Certificate(
        id=identity,
        domain_id=domain_id,
        version=version,
        source=_SOURCES[source],
        leaf=Leaf(
            names=_names(names),
            fingerprint=text_of(fingerprint),
            serial=text_of(serial),
            issuer=text_of(issuer),
            key_type=text_of(key_type),
            not_before=time_of(not_before),
            not_after=time_of(not_after),
        ),
        issued_at=time_of(issued_at),
        uploaded_at=_time_or_none(uploaded_at),
        verified_at=_time_or_none(verified_at),
        replaced_at=_time_or_none(replaced_at),
        revoked_at=_time_or_none(revoked_at),
        renewal_info=_renewal_info(*renewal_info),
        key_destroyed_at=_time_or_none(key_destroyed_at),
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
    """Return the domain, with its wanted and serving certificates, in a row of `SELECT_DOMAIN`."""
    values, wanted_at = tuple(row), len(_DOMAIN)
    serving_at, finding_at = wanted_at + len(_CERTIFICATE), wanted_at + 2 * len(_CERTIFICATE)
    observations_at = finding_at + len(_FINDING)
    # fmt: off
    (
        identity, name, sans, source, created_at, deleted_at, checked_at, revision, wanted_id, serving_id,
        observed_at, dns_checked_at, text_consent,
    ) = values[:wanted_at]
    # fmt: on
    wanted = None if wanted_id is None else certificate_of(values[wanted_at:serving_at])
    serving = wanted
    if serving_id != wanted_id:
        serving = None if serving_id is None else certificate_of(values[serving_at:finding_at])
    if any(one is not None and one.domain_id != identity for one in (wanted, serving)):
        raise ValueError(f"{clean(name)} has the certificate of another domain in it")
    foreign, unconfirmed, suspicion, caution = _observations(values[observations_at:])
    return Domain(
        id=identity,
        name=text_of(name),
        sans=_names(sans),
        source=_SOURCES[source],
        created_at=time_of(created_at),
        deleted_at=_time_or_none(deleted_at),
        checked_at=_time_or_none(checked_at),
        finding=_finding(*values[finding_at:observations_at]),
        wanted=wanted,
        serving=serving,
        foreign=foreign,
        unconfirmed=unconfirmed,
        suspicion=suspicion,
        caution=caution,
        observed_at=_time_or_none(observed_at),
        dns_checked_at=_time_or_none(dns_checked_at),
        text_consent=text_of(text_consent),
        revision=revision,
    )


def summary_of(row: Iterable[Any]) -> DomainSummary:
    """Return the domain's summary in a row of `select_domain_summary`."""
    # fmt: off
    (
        _, name, sans, source, created_at, deleted_at, checked_at, wanted_id, serving_id, observed_at,
        wanted_version, wanted_source, wanted_fingerprint, wanted_not_after,
        serving_version, serving_source, serving_fingerprint, serving_not_after,
        *rest,
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
    foreign, unconfirmed, suspicion, caution = _observations(rest[len(_FINDING) :])
    return DomainSummary(
        text_of(name),
        _names(sans),
        _SOURCES[source],
        time_of(created_at),
        _time_or_none(deleted_at),
        _time_or_none(checked_at),
        _finding(*rest[: len(_FINDING)]),
        wanted,
        serving,
        foreign,
        unconfirmed,
        suspicion,
        caution,
        _time_or_none(observed_at),
    )


def _finding(
    code: str | None, found: str, wanted: str, at: str, retry_at: str | None, tries: int
) -> Finding | None:
    if code is None:
        return None
    return Finding(Code(code), text_of(found), text_of(wanted), time_of(at), _time_or_none(retry_at), tries)


# Changes of a domain that empty columns: those of a foreign certificate, and all observations.
NO_FOREIGN = ", ".join(f"{column} = NULL" for column in _OBSERVATIONS[:4])
NOTHING_OBSERVED = ", ".join(f"{column} = NULL" for column in _OBSERVATIONS)

_NOTHING_OBSERVED = (None,) * len(_OBSERVATIONS)


def _observations(
    values: Sequence[Any],
) -> tuple[Installed | None, Unconfirmed | None, Suspicion | None, Caution | None]:
    """Return the values in the columns `_OBSERVATIONS`; most domains have none."""
    if tuple(values) == _NOTHING_OBSERVED:
        return None, None, None, None
    foreign, unconfirmed, suspicion, caution = values[:4], values[4:9], values[9:14], values[14:]
    return (
        None if foreign[0] is None else _installed(*foreign),
        None if unconfirmed[0] is None else _unconfirmed(*unconfirmed),
        None if suspicion[0] is None else _suspicion(*suspicion),
        None if caution[0] is None else _caution(*caution),
    )


def _installed(source: str, fingerprint: str, not_after: str, state: str) -> Installed:
    return Installed(Source(source), text_of(fingerprint), time_of(not_after), State(state))


def _unconfirmed(code: str, found: str, since: str, retry_at: str, tries: int) -> Unconfirmed:
    return Unconfirmed(Code(code), text_of(found), time_of(since), time_of(retry_at), tries)


def _suspicion(code: str, found: str, wanted: str, since: str, at: str) -> Suspicion:
    return Suspicion(Code(code), text_of(found), text_of(wanted), time_of(since), time_of(at))


def _caution(code: str, found: str, wanted: str, since: str) -> Caution:
    return Caution(Code(code), text_of(found), text_of(wanted), time_of(since))


def installed_columns(installed: Installed | None) -> dict[str, object]:
    """Return the columns of a domain's `foreign` certificate with their values."""
    return {
        "foreign_source": installed and installed.source,
        "foreign_fingerprint": installed and installed.fingerprint,
        "foreign_not_after": installed and instant(installed.not_after),
        "foreign_state": installed and installed.state,
    }


def result_columns(result: PassResult) -> dict[str, object]:
    """Return the columns of a domain's `PassResult` with their values."""
    finding, unconfirmed, suspicion, caution = (
        result.finding, result.unconfirmed, result.suspicion, result.caution,
    )  # fmt: skip
    return {
        "finding_code": finding and finding.code,
        "finding_found": finding and finding.found,
        "finding_wanted": finding and finding.wanted,
        "finding_at": finding and instant(finding.at),
        "retry_at": finding and finding.retry_at and instant(finding.retry_at),
        "finding_tries": finding.tries if finding else 1,
        "unconfirmed_code": unconfirmed and unconfirmed.code,
        "unconfirmed_found": unconfirmed and unconfirmed.found,
        "unconfirmed_since": unconfirmed and instant(unconfirmed.since),
        "unconfirmed_retry_at": unconfirmed and instant(unconfirmed.retry_at),
        "unconfirmed_tries": unconfirmed and unconfirmed.tries,
        "suspicion_code": suspicion and suspicion.code,
        "suspicion_found": suspicion and suspicion.found,
        "suspicion_wanted": suspicion and suspicion.wanted,
        "suspicion_since": suspicion and instant(suspicion.since),
        "suspicion_at": suspicion and instant(suspicion.at),
        "caution_code": caution and caution.code,
        "caution_found": caution and caution.found,
        "caution_wanted": caution and caution.wanted,
        "caution_since": caution and instant(caution.since),
    }


def count_of(row: Row) -> tuple[Status, int]:
    """Return a status and its number of domains."""
    return Status(row["status"]), row["number"]


def order_of(row: Row) -> Order:
    """Return the order in a row of `SELECT * FROM acme_order`."""
    return Order(
        id=row["id"],
        domain_id=row["domain_id"],
        names=_names(row["names"]),
        csr_pem=row["csr_pem"],
        opened_at=time_of(row["opened_at"]),
        url=row["url"],
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


def named_event_of(row: Row) -> tuple[str, Event]:
    """Return the name of the domain and the event in a row of `SELECT event.*, domain.name`."""
    return text_of(row["name"]), event_of(row)


def mark_of(row: Row) -> tuple[Milestone, Mark]:
    """Return the milestone in a row of `SELECT * FROM milestone`."""
    return Milestone(row["name"]), Mark(time_of(row["at"]), text_of(row["actor"]), text_of(row["detail"]))
