"""Renewals to come, renewals made, and the CA's renewal information (ARI, RFC 9773)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from sslctl.rules.model import Certificate, Domain, RenewalInfo
from sslctl.rules.reasons import Code
from sslctl.store.interface.renewals import Cohort
from sslctl.store.sql import rows
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import time_of
from sslctl.text import instant

# Hours are cut out of the text: computing with times takes several times as long. In the order of the file, the certificates
# of neighbours are neighbours too.
_COHORTS = """SELECT count(*) AS number, domain.finding_code AS code, substr(held.not_before, 1, 13) AS since,
    substr(held.not_after, 1, 13) AS until, substr(held.revoked_at, 1, 13) AS revoked
    FROM domain {whole} LEFT JOIN certificate AS held {of_certificate}
    ON held.id = coalesce(domain.wanted_id, domain.serving_id) AND held.source = 'c4'
    WHERE domain.id > ? AND domain.id <= ? AND domain.deleted_at IS NULL AND domain.source = 'c4' GROUP BY 2, 3, 4, 5"""
# The groups of more domains at a time would be sorted in a file.
_BLOCK = 20_000
# The most by which the order of certificates' ids may differ from that of their times.
_DISORDER = timedelta(hours=1)


class SqlRenewals(SqlPart):
    """The store's `Renewals`."""

    # The URL of the first CA's directory.
    _ca: str

    def cohorts(self) -> list[Cohort]:
        dialect = self._database.dialect
        sql = _COHORTS.format(
            whole=dialect.no_index_hint(), of_certificate=dialect.index_hint("certificate_facts")
        )
        (last,) = self._database.read(lambda row: row[0] or 0, "SELECT max(id) FROM domain")
        counted: Counter[tuple[str | None, ...]] = Counter()
        for start in range(0, last, _BLOCK):
            for number, *group in self._database.read(tuple, sql, (start, start + _BLOCK)):
                counted[tuple(group)] += number
        return [_cohort_of(number, *group) for group, number in counted.items()]

    def renewed_since(self, at: datetime) -> int:
        # Ids nearly ascend with time, so the search goes back little further than `at`: hosts commit out of order, and their clocks
        # differ.
        sql = """SELECT count(*) FROM certificate AS made WHERE made.source = 'c4'
            AND made.issued_at >= :at AND made.id > coalesce((SELECT id FROM certificate
              WHERE issued_at < :before ORDER BY id DESC LIMIT 1), 0)
            AND EXISTS (SELECT 1 FROM certificate AS old
              WHERE old.domain_id = made.domain_id AND old.version < made.version AND old.source = 'c4')"""
        values = {"at": instant(at), "before": instant(at - _DISORDER)}
        return self._database.read(lambda row: int(row[0]), sql, values)[0]

    def renewable(self, now: datetime, expires_from: datetime, limit: int) -> list[Domain]:
        dialect = self._database.dialect
        begin, end, today = map(dialect.days_of, ("held.not_before", "held.not_after", ":now"))
        sql = f"""{self._select_domain} WHERE domain.id IN (
            SELECT domain.id FROM domain JOIN certificate AS held {dialect.index_hint("certificate_facts")}
            ON held.id = domain.serving_id AND held.id = domain.wanted_id AND held.source = 'c4'
            WHERE domain.deleted_at IS NULL AND domain.source = 'c4' AND domain.finding_code IS NULL
            AND held.not_after >= :expires AND held.revoked_at IS NULL
            AND {begin} + {end} <= 2 * {today}
            ORDER BY held.not_after, domain.name LIMIT :limit)
            ORDER BY wanted.not_after, domain.name"""  # noqa: S608 - constants
        values = {"now": instant(now), "expires": instant(expires_from), "limit": limit}
        return self._database.read(rows.domain_of, sql, values)

    def renewal_infos_due(self, now: datetime, limit: int, *, ca: str) -> list[tuple[Certificate, str]]:
        sql = f"""{rows.SELECT_CERTIFICATE_AND_PEM}
            WHERE source = 'c4' AND verified_at IS NOT NULL AND replaced_at IS NULL AND revoked_at IS NULL
            AND coalesce(ari_poll_at, '') <= :now AND not_after > :now AND certificate.ca IN (:ca, :unknown)
            AND EXISTS (SELECT 1 FROM domain WHERE domain.id = domain_id AND serving_id = certificate.id)
            ORDER BY coalesce(ari_poll_at, '') LIMIT :limit"""  # noqa: S608 - constants
        values = {"now": instant(now), "limit": limit, "ca": ca, "unknown": "" if ca == self._ca else ca}
        return self._database.read(rows.certificate_and_pem_of, sql, values)

    def record_renewal_infos(self, infos: Iterable[tuple[Certificate, RenewalInfo]]) -> None:
        with self._database.transaction() as run:
            for certificate, info in infos:
                run(
                    "UPDATE certificate SET ari_start_at = ?, ari_end_at = ?, ari_renew_at = ?, ari_poll_at = ?,"
                    " ari_explanation = ? WHERE id = ?",
                    (
                        *map(instant, (info.start_at, info.end_at, info.renew_at, info.poll_at)),
                        info.explanation_url,
                        certificate.id,
                    ),
                )

    def postpone_renewal_infos(self, postponed: Iterable[tuple[Certificate, datetime]]) -> None:
        with self._database.transaction() as run:
            for certificate, at in postponed:
                run("UPDATE certificate SET ari_poll_at = ? WHERE id = ?", (instant(at), certificate.id))


def _cohort_of(
    number: int, finding: str | None, since: str | None, until: str | None, revoked: str | None
) -> Cohort:
    code = None if finding is None else Code(finding)
    if since is None or until is None:
        return Cohort(number, code)
    begin, end = _hour(since), _hour(until)
    return Cohort(number, code, end if revoked is None else min(end, _hour(revoked)), end - begin, begin)


def _hour(text: str) -> datetime:
    return time_of(f"{text}:00:00Z")
