"""Certificates that are to be revoked, and keys that must never be used again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sslctl.rules.model import Certificate, Domain
from sslctl.rules.revocation import Revocation, RevocationReason
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Row
from sslctl.store.sql.domains import SqlDomains
from sslctl.store.sql.values import optional_time_of
from sslctl.text import instant

_UPSERT = """INSERT INTO revocation (certificate_id, reason, waits, requested_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (certificate_id) DO UPDATE SET reason = excluded.reason, waits = excluded.waits, retry_at = NULL"""
_NAME = "(SELECT name FROM domain WHERE domain.id = domain_id) AS name"
# Certificates that are read together.
_BLOCK = 500


class SqlRevocations(SqlDomains):
    """The store's `Revocations`."""

    def request_revocation(self, certificate: Certificate, reason: RevocationReason, *, waits: bool) -> None:
        with self._database.transaction() as run:
            run(_UPSERT, (certificate.id, reason, int(waits), instant(self._clock())))
            detail = f"{reason}, once it is replaced" if waits else str(reason)
            self._append_event(certificate.domain_id, "revocation requested", detail, certificate.version)

    def open_revocations(self, domain: Domain | None = None) -> list[Revocation]:
        # A CROSS JOIN keeps the order of the tables: few certificates are to be revoked, and their rows are long.
        sql = f"""SELECT {rows.CERTIFICATE_COLUMNS}, reason, waits, retry_at, {_NAME} FROM revocation CROSS JOIN certificate
            WHERE certificate.id = revocation.certificate_id AND revoked_at IS NULL AND not_after > :now
            AND domain_id = coalesce(:domain, domain_id)
            ORDER BY certificate.id"""  # noqa: S608 - constants
        values = {"now": instant(self._clock()), "domain": None if domain is None else domain.id}
        return self._database.read(_revocation_of, sql, values)

    def postpone_revocation(self, certificate: Certificate, until: datetime, why: str) -> None:
        with self._database.transaction() as run:
            run(
                "UPDATE revocation SET retry_at = ? WHERE certificate_id = ?",
                (instant(until), certificate.id),
            )
            self._append_event(certificate.domain_id, "not revoked", why, certificate.version)

    def mark_key_compromised(self, key: str) -> None:
        with self._database.transaction() as run:
            run(
                "INSERT INTO compromised_key (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                (key, instant(self._clock())),
            )

    def is_key_compromised(self, key: str) -> bool:
        return bool(self._database.read(tuple, "SELECT 1 FROM compromised_key WHERE key = ?", (key,)))

    def unexpired_certificates(self) -> Iterator[tuple[str, Certificate, str]]:
        sql = f"""SELECT {rows.CERTIFICATE_COLUMNS}, pem, {_NAME} FROM certificate
            WHERE id > ? AND not_after > ? ORDER BY id LIMIT {_BLOCK}"""  # noqa: S608 - constants
        last, now = 0, instant(self._clock())
        while found := self._database.read(_named_certificate_of, sql, (last, now)):
            yield from found
            last = found[-1][1].id


def _revocation_of(row: Row) -> Revocation:
    *certificate, reason, waits, retry_at, name = row
    return Revocation(
        name,
        rows.certificate_of(certificate),
        RevocationReason(reason),
        bool(waits),
        optional_time_of(retry_at),
    )


def _named_certificate_of(row: Row) -> tuple[str, Certificate, str]:
    *certificate, pem, name = row
    return name, rows.certificate_of(certificate), pem
