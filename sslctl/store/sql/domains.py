"""Domains: what is wanted of each, and what the last pass found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from sslctl.rules.certificate_choice import CertificateChoice
from sslctl.rules.model import (
    Caution,
    Certificate,
    Domain,
    Finding,
    Installed,
    PassResult,
    Source,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.reasons import REASONS, Code
from sslctl.rules.remarks import Remarks
from sslctl.rules.singapore import format_sgt
from sslctl.rules.status import queued_finding
from sslctl.store.sql.choices import choice_text
from sslctl.store.sql.connection import Run, expect
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.observations import NOTHING_OBSERVED, installed_columns, result_columns
from sslctl.store.sql.queries import SqlQueries
from sslctl.store.sql.remarks import NO_REMARKS_STORED, describe_change, remark_columns
from sslctl.store.sql.values import names_text
from sslctl.text import instant
from sslctl.wording import C4

# A bulk insert of so many takes a fraction of a second, for which other processes wait.
_MOST_IN_ONE_COMMIT = 5000

_UPSERT = """INSERT INTO domain
    (name, sans, source, created_at, finding_code, finding_found, finding_wanted, finding_at, retry_at, wanted_id)
    VALUES (:name, :sans, :source, :now, :code, '', '', :now, :now, :wanted)
    ON CONFLICT (name) DO UPDATE SET sans = excluded.sans, source = excluded.source, deleted_at = NULL,
    created_at = excluded.created_at, wanted_id = excluded.wanted_id, finding_code = excluded.finding_code, finding_found = '',
    finding_wanted = '', finding_at = excluded.finding_at, retry_at = excluded.retry_at, finding_records = NULL,
    revision = domain.revision + 1
    WHERE domain.deleted_at IS NOT NULL"""

_REPLACE = """UPDATE certificate SET replaced_at = :at WHERE domain_id = :domain AND id IS DISTINCT FROM :by
    AND verified_at IS NOT NULL AND replaced_at IS NULL"""


class SqlDomains(SqlQueries, SqlHistory):
    """The store's `Domains`."""

    def add_domain(
        self, name: str, sans: tuple[str, ...], source: Source, wanted: Certificate | None = None
    ) -> Domain:
        with self._database.transaction() as run:
            values = {
                "name": name,
                "sans": names_text(sans),
                "source": source,
                "now": instant(self._clock()),
                "code": Code.QUEUED,
                "wanted": wanted.id if wanted else None,
            }
            expect(run(_UPSERT, values).rowcount == 1, f"{name} was added by another sslctl meanwhile")
            domain = self.domain(name)
            self._append_event(domain.id, "added", _described(sans, source))
            if wanted is not None:
                self._append_event(domain.id, "taken up again", "", wanted.version)
            return domain

    def add_domains(self, names: Sequence[str]) -> list[str]:
        known = []
        for start in range(0, len(names), _MOST_IN_ONE_COMMIT):
            batch = names[start : start + _MOST_IN_ONE_COMMIT]
            with self._database.transaction() as run:
                new = self._insert_new(run, batch)
                self._append(new, "added", _described((), Source.C4))
            known += [name for name in batch if name not in new]
        return known

    def _insert_new(self, run: Run, names: Sequence[str]) -> dict[str, int]:
        """Insert those of `names` that were never added; return them with their ids, in the order of the ids."""
        # Sorted, the names go into the indexes side by side.
        sql = f"""INSERT INTO domain
            (name, sans, source, created_at, finding_code, finding_found, finding_wanted, finding_at, retry_at)
            SELECT value, '[]', '{Source.C4}', :at, '{Code.QUEUED}', '', '', :at, :at
            FROM {self._database.dialect.texts(":names")} WHERE true ORDER BY value
            ON CONFLICT (name) DO NOTHING RETURNING name, id"""  # noqa: S608 - constants
        new = run(sql, {"names": json.dumps(names), "at": instant(self._clock())}).fetchall()
        return {row["name"]: row["id"] for row in sorted(new, key=lambda row: row["id"])}

    def update_domain(self, domain: Domain, sans: tuple[str, ...], source: Source) -> Domain:
        with self._advance(domain, "sans = :sans, source = :source", sans=names_text(sans), source=source):
            before, after = _described(domain.sans, domain.source), _described(sans, source)
            if before != after:
                self._append_event(domain.id, "changed", f"{after}; was {before}")
            return self.record_finding(self.domain(domain.name), queued_finding(self._clock()))

    def record_finding(self, domain: Domain, finding: Finding | None) -> Domain:
        return self.record_result(domain, replace(domain.result, finding=finding, unconfirmed=None))

    def record_result(self, domain: Domain, result: PassResult, *, observed: bool = False) -> Domain:
        values = result_columns(result)
        if observed:
            values["observed_at"] = instant(self._clock())
        tried = result.finding is None or result.finding.code is not Code.QUEUED
        if tried:
            values["checked_at"] = instant(self._clock())
        with self._advance(domain, ", ".join(f"{column} = :{column}" for column in values), **values):
            for kind, detail in _news(domain.result, result) if tried else ():
                self._append_event(domain.id, kind, detail)
            return self.domain(domain.name)

    def record_dns_check(self, domain: Domain, result: PassResult) -> Domain:
        at = instant(self._clock())
        with self._advance(domain, "dns_checked_at = :at", at=at):
            found = self.domain(domain.name)
            return found if found.result == result else self.record_result(found, result)

    def record_look(self, domain: Domain, result: PassResult) -> Domain:
        values = {**result_columns(result), "dns_checked_at": instant(self._clock())}
        with self._advance(domain, ", ".join(f"{column} = :{column}" for column in values), **values):
            if result.finding is not None and _code(result.finding) != _code(domain.finding):
                self._append_event(domain.id, "found", _reported(result.finding))
            return self.domain(domain.name)

    def record_observation(self, domain: Domain, foreign: Installed | None) -> Domain:
        is_agreed = foreign is not None and foreign.fingerprint == domain.text_consent
        values = {
            **installed_columns(foreign),
            "observed_at": instant(self._clock()),
            "text_consent": domain.text_consent if is_agreed else "",
        }
        with self._advance(domain, ", ".join(f"{column} = :{column}" for column in values), **values):
            if foreign is not None and foreign != domain.foreign:
                self._append_event(domain.id, "foreign", f"{C4} has another {_described_installed(foreign)}")
            return self.domain(domain.name)

    def adopt_certificate(self, domain: Domain, installed: Installed) -> Domain:
        at = instant(self._clock())
        values = {
            **result_columns(PassResult()),
            **installed_columns(installed),
            "observed_at": at,
            "checked_at": at,
            "source": Source.TEXT,
            "wanted_id": None,
            "serving_id": None,
            "text_consent": "",
        }
        change = ", ".join(f"{column} = :{column}" for column in values)
        with self._advance(domain, change, **values) as run:
            self._mark_replaced(run, domain, at)
            detail = f"the {_described_installed(installed)}, whose key is not stored here"
            self._append_event(domain.id, "adopted", detail)
            return self.domain(domain.name)

    def confirm_observations(self, names: Sequence[str], at: datetime) -> None:
        self._stamp_domains("observed_at", names, at)

    def record_customers(self, customers: Mapping[str, str]) -> None:
        named = list(customers.items())
        for start in range(0, len(named), _MOST_IN_ONE_COMMIT):
            with self._database.transaction() as run:
                for name, customer in named[start : start + _MOST_IN_ONE_COMMIT]:
                    run("UPDATE domain SET customer = ? WHERE name = ?", (customer, name))

    def record_remarks(self, domain: Domain, remarks: Remarks) -> Domain:
        before, after = remark_columns(domain.remarks), remark_columns(remarks)
        changed = [column for column in after if after[column] != before[column]]
        if not changed:
            return domain
        # The revision stays: a pass that is under way neither reads this nor must fail because of it. So what is compared is
        # what changes.
        change = ", ".join(f"{column} = :{column}" for column in changed)
        is_same = " AND ".join(f"{column} IS NOT DISTINCT FROM :old_{column}" for column in changed)
        values = {column: after[column] for column in changed}
        values |= {f"old_{column}": before[column] for column in changed}
        with self._database.transaction() as run:
            updated = run(
                f"UPDATE domain SET {change} WHERE id = :domain AND deleted_at IS NULL AND {is_same}",  # noqa: S608 - constants
                {**values, "domain": domain.id},
            )
            expect(updated.rowcount == 1, _changed(domain))
            for column in changed:
                self._append_event(domain.id, *describe_change(column, domain.remarks, remarks))
            return self.domain(domain.name)

    def record_choice(self, domain: Domain, choice: CertificateChoice) -> Domain:
        before, after = choice_text(domain.choice), choice_text(choice)
        if before == after:
            return domain
        with self._database.transaction() as run:
            updated = run(
                "UPDATE domain SET choice = ? WHERE id = ? AND deleted_at IS NULL AND choice IS NOT DISTINCT FROM ?",
                (after, domain.id, before),
            )
            expect(updated.rowcount == 1, _changed(domain))
            self._append_event(domain.id, "chosen", f"{choice.describe()}; was {domain.choice.describe()}")
            return self.domain(domain.name)

    def forget_customer(self, domain: Domain) -> None:
        with self._database.transaction() as run:
            updated = run(
                "UPDATE domain SET customer = '' WHERE id = ? AND deleted_at IS NULL AND customer = ?",
                (domain.id, domain.c4_customer),
            )
            expect(updated.rowcount == 1, _changed(domain))
            self._append_event(domain.id, "customer", f'removed; {C4} had named "{domain.c4_customer}"')

    def confirm_dns_checks(self, names: Sequence[str], at: datetime) -> None:
        self._stamp_domains("dns_checked_at", names, at)

    def _stamp_domains(self, column: str, names: Sequence[str], at: datetime) -> None:
        """Set `column` of the domains `names` to `at`. This changes no revision: nothing else depends on it."""
        sql = f"""UPDATE domain SET {column} = :at
            WHERE name IN (SELECT value FROM {self._database.dialect.texts(":names")})"""  # noqa: S608 - constants
        for start in range(0, len(names), _MOST_IN_ONE_COMMIT):
            block = json.dumps(names[start : start + _MOST_IN_ONE_COMMIT])
            with self._database.transaction() as run:
                run(sql, {"names": block, "at": instant(at)})

    def record_text_consent(self, domain: Domain, fingerprint: str) -> Domain:
        with self._advance(domain, "text_consent = :fingerprint", fingerprint=fingerprint):
            self._append_event(
                domain.id, "consent", f"the text certificate {fingerprint[:16]} may be replaced"
            )
            return self.domain(domain.name)

    def forget_text_consents(self) -> None:
        with self._database.transaction() as run:
            run("UPDATE domain SET text_consent = '', revision = revision + 1 WHERE text_consent != ''")

    def delete_domain(self, domain: Domain) -> Domain:
        at = instant(self._clock())
        change = "deleted_at = :at, wanted_id = NULL, serving_id = NULL, finding_code = NULL, retry_at = NULL"
        change += f", observed_at = NULL, dns_checked_at = NULL, text_consent = '', choice = NULL, before_cutover_since = NULL, {NOTHING_OBSERVED}, {NO_REMARKS_STORED}"
        with self._advance(domain, change, at=at) as run:
            self._mark_replaced(run, domain, at)
            self._append_event(domain.id, "deleted", "")
            deleted = self.find(domain.name)
        assert deleted is not None  # noqa: S101 - rows are never removed
        return deleted

    def _mark_replaced(self, run: Run, domain: Domain, at: str, *, by: Certificate | None = None) -> None:
        """Record that `by`, or nothing, is served in place of the domain's other certificates."""
        run(_REPLACE, {"at": at, "domain": domain.id, "by": by.id if by else None})

    # Compare-and-set

    @contextmanager
    def _advance(self, domain: Domain, change: str, **values: object) -> Iterator[Run]:
        """Change `domain` if it is as the caller read it, then run the block in the same transaction. Raise `Busy`."""
        with self._database.transaction() as run:
            changed = run(
                f"UPDATE domain SET {change}, revision = revision + 1 WHERE id = :domain AND revision = :revision",  # noqa: S608 - constants
                {**values, "domain": domain.id, "revision": domain.revision},
            )
            expect(changed.rowcount == 1, _changed(domain))
            yield run

    def _require_revision(self, run: Run, domain: Domain) -> None:
        """Raise `Busy` unless `domain` is as the caller read it; it stays so until the transaction ends."""
        sql = f"SELECT revision FROM domain WHERE id = ? {self._database.dialect.for_update()}"  # noqa: S608 - constants
        expect(run(sql, (domain.id,)).fetchone()[0] == domain.revision, _changed(domain))


def _changed(domain: Domain) -> str:
    return f"{domain.name} was changed by another sslctl meanwhile"


def _described(sans: tuple[str, ...], source: Source) -> str:
    return f"source {source}, other names: {', '.join(sans)}" if sans else f"source {source}, no other names"


def _described_installed(installed: Installed) -> str:
    return (
        f"{installed.source} certificate, {installed.fingerprint[:16]},"
        f" which expires {format_sgt(installed.not_after)}"
    )


def _news(before: PassResult, after: PassResult) -> Iterator[tuple[str, str]]:
    """Yield kind and detail of an event for each part of a result that changed. Times alone are no news."""
    if _reported(after.finding) != _reported(before.finding):
        yield "found", "well" if after.finding is None else _reported(after.finding)
    if after.unconfirmed and _code(after.unconfirmed) != _code(before.unconfirmed):
        yield "unconfirmed", f"{after.unconfirmed.code}: {after.unconfirmed.found}"
    if after.suspicion and _code(after.suspicion) != _code(before.suspicion):
        yield "suspected", _explained(after.suspicion)
    if before.suspicion and not after.suspicion and _reported(after.finding) == _reported(before.finding):
        yield "suspicion ended", before.suspicion.code
    if after.caution and _code(after.caution) != _code(before.caution):
        yield "warned", _explained(after.caution)
    if before.caution and not after.caution:
        yield "warning ended", before.caution.code


def _code(part: Finding | Unconfirmed | Suspicion | Caution | None) -> Code | None:
    return None if part is None else part.code


def _explained(part: Suspicion | Caution) -> str:
    return f"{part.code}: {REASONS[part.code].explain(part.found, part.wanted)}"


def _reported(finding: Finding | None) -> str:
    """Return what an event reports of a finding. It holds no times: the same fault on the next day is no news."""
    if finding is None or finding.code is Code.QUEUED:
        return ""
    return f"{finding.code}: {finding.reason.explain(finding.found, finding.wanted)}"
