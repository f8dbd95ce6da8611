"""The store in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from sslctl.errors import Busy
from sslctl.rules.limits import NO_LIMITS, Limits, set_key
from sslctl.rules.model import Bundle, Certificate, Domain, Finding, Leaf, Milestone, Order, Source
from sslctl.rules.reasons import Code
from sslctl.rules.status import queued_finding
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.sql import bulk_insert, claims, rows
from sslctl.store.sql.budget import Budget
from sslctl.store.sql.connection import Run, expect
from sslctl.store.sql.history import History
from sslctl.store.sql.maintenance import Maintenance
from sslctl.store.sql.notices import Notices
from sslctl.store.sql.queries import CLOSED, Queries
from sslctl.store.sql.renewals import Renewals
from sslctl.store.sql.rows import names_text
from sslctl.store.sqlite import copies
from sslctl.store.sqlite.database import Database
from sslctl.text import clean, instant

_REPLACE = """UPDATE certificate SET replaced_at = :at WHERE domain_id = :domain AND id IS NOT :by
    AND verified_at IS NOT NULL AND replaced_at IS NULL"""
# Many take a fraction of a second, for which other processes wait.
_MOST_IN_ONE_COMMIT = 5000


class SqliteStore(Queries, Renewals, Notices, Budget, History, Maintenance, Store):
    """`Store` in the SQLite file `path`.

    `actor` is written into every event. `ca` is the URL of the CA's directory, `limits` what it allows.
    """

    _database: Database

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        ca: str = "",
        limits: Limits = NO_LIMITS,
    ) -> None:
        Budget.__init__(self, ca, limits)
        self._keyring = keyring
        self._clock = clock
        self._actor = actor
        self._owner = claims.this_process()
        self._path = path
        self._database = Database(path)
        try:
            self._check_keyring()
        except BaseException:
            self._database.close()
            raise

    def _check_keyring(self) -> None:
        """Make the key file with the database, and never again: a new one would open none of the old keys."""
        select = "SELECT sealed FROM key_check"
        if not self._database.read(tuple, select):
            with self._database.transaction() as run:
                if run(select).fetchone() is None:
                    if not self._keyring.exists:
                        self._keyring.make()
                    run("INSERT INTO key_check VALUES (1, ?)", (self._keyring.encrypt("sslctl"),))
        elif self._keyring.exists:
            self._keyring.load()
            self._database.read(lambda row: self._keyring.decrypt(row["sealed"]), select)
        if self._keyring.exists:
            self._begin_chain()

    def close(self) -> None:
        self._database.close()

    def check_integrity(self, seconds: float) -> bool:
        return self._database.check_integrity(seconds)

    # Domains

    def add_domain(
        self, name: str, sans: tuple[str, ...], source: Source, wanted: Certificate | None = None
    ) -> Domain:
        with self._database.transaction() as run:
            now = instant(self._clock())
            recorded = run(
                """INSERT INTO domain (name, sans, source, created_at, finding_code, finding_found, finding_wanted,
                finding_at, retry_at, wanted_id)
                VALUES (:name, :sans, :source, :now, :code, '', '', :now, :now, :wanted)
                ON CONFLICT (name) DO UPDATE SET sans = :sans, source = :source, deleted_at = NULL, wanted_id = :wanted,
                finding_code = :code, finding_found = '', finding_wanted = '', finding_at = :now, retry_at = :now,
                revision = revision + 1 WHERE deleted_at IS NOT NULL""",
                {
                    "name": name,
                    "sans": names_text(sans),
                    "source": source,
                    "now": now,
                    "code": Code.QUEUED,
                    "wanted": wanted.id if wanted else None,
                },
            )
            expect(recorded.rowcount == 1, f"{name} was added by somebody else meanwhile")
            domain = self.domain(name)
            self._write_event(domain.id, "added", _wishes(sans, source))
            if wanted is not None:
                self._write_event(domain.id, "taken up again", "", wanted.version)
            return domain

    def add_domains(self, names: Sequence[str]) -> list[str]:
        known = []
        detail = _wishes((), Source.C4)
        for start in range(0, len(names), _MOST_IN_ONE_COMMIT):
            together = names[start : start + _MOST_IN_ONE_COMMIT]
            with self._database.transaction() as run:
                new = bulk_insert.record_new(run, together, instant(self._clock()))
                self._append(run, new, "added", detail)
            known += [name for name in together if name not in new]
        return known

    def update_domain(self, domain: Domain, sans: tuple[str, ...], source: Source) -> Domain:
        with self._advance(domain, "sans = :sans, source = :source", sans=names_text(sans), source=source):
            before, after = _wishes(domain.sans, domain.source), _wishes(sans, source)
            if before != after:
                self._write_event(domain.id, "changed", f"{after}; was {before}")
            return self.record_finding(self.domain(domain.name), queued_finding(self._clock()))

    def record_finding(self, domain: Domain, finding: Finding | None) -> Domain:
        values: dict[str, object] = {
            "finding_code": finding and finding.code,
            "finding_found": finding and finding.found,
            "finding_wanted": finding and finding.wanted,
            "finding_at": finding and instant(finding.at),
            "retry_at": finding and finding.retry_at and instant(finding.retry_at),
            "finding_tries": finding.tries if finding else 1,
        }
        tried = finding is None or finding.code is not Code.QUEUED
        if tried:
            values["checked_at"] = instant(self._clock())
        with self._advance(domain, ", ".join(f"{column} = :{column}" for column in values), **values):
            if tried and _told(finding) != _told(domain.finding):
                self._write_event(domain.id, "found", "well" if finding is None else _told(finding))
            return self.domain(domain.name)

    def delete_domain(self, domain: Domain) -> Domain:
        at = instant(self._clock())
        change = "deleted_at = :at, wanted_id = NULL, serving_id = NULL, finding_code = NULL, retry_at = NULL"
        with self._advance(domain, change, at=at) as run:
            run(_REPLACE, {"at": at, "domain": domain.id, "by": None})
            self._write_event(domain.id, "deleted", "")
            deleted = self.find(domain.name)
        assert deleted is not None  # noqa: S101 - rows are never removed
        return deleted

    # Orders and certificates

    def open_order(self, domain: Domain, names: tuple[str, ...], key_pem: str, csr_pem: str) -> Order:
        with self._database.transaction() as run:
            expect(self.domain(domain.name).revision == domain.revision, _changed(domain))
            if self.find_open_order(domain) is not None:
                raise Busy(f"an order for {domain.name} is open already")
            is_renewal, at = self._require_budget(domain, names), instant(self._clock())
            sealed = self._keyring.encrypt(key_pem)
            made = run(
                "INSERT INTO acme_order (domain_id, names, csr_pem, sealed_key, opened_at, ca, name_set, is_renewal)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (domain.id, names_text(names), csr_pem, sealed, at, self._ca, set_key(names), is_renewal),
            ).fetchone()["id"]
            self._enter(made, names, at, is_renewal=is_renewal)
            order = self.find_open_order(domain)
        assert order is not None  # noqa: S101 - just inserted
        return order

    def record_order_url(self, order: Order, url: str) -> Order:
        with self._database.transaction() as run:
            kept = run("UPDATE acme_order SET url = ? WHERE id = ? AND closed_at IS NULL", (url, order.id))
            expect(kept.rowcount == 1, CLOSED)
            self._write_event(order.domain_id, "ordered", url)
            return rows.order_of(run("SELECT * FROM acme_order WHERE id = ?", (order.id,)).fetchone())

    def close_order(self, order: Order, outcome: str) -> None:
        with self._database.transaction() as run:
            closed = run(
                "UPDATE acme_order SET closed_at = ?, outcome = ?, sealed_key = NULL"
                " WHERE id = ? AND closed_at IS NULL",
                (instant(self._clock()), outcome, order.id),
            )
            expect(closed.rowcount == 1, CLOSED)

    def add_issued_certificate(
        self, domain: Domain, order: Order, certificate: str, chain: str, leaf: Leaf
    ) -> Domain:
        bundle = Bundle(certificate, chain, self.order_key(order))
        with self._database.transaction():
            self.close_order(order, "issued")
            return self._keep(domain, Source.C4, bundle, leaf)

    def add_text_certificate(self, name: str, sans: tuple[str, ...], bundle: Bundle, leaf: Leaf) -> Domain:
        with self._database.transaction():
            known = self.find(name)
            if known is None or known.deleted_at is not None:
                domain = self.add_domain(name, sans, Source.TEXT)
            else:
                domain = self.update_domain(known, sans, Source.TEXT)
            return self._keep(domain, Source.TEXT, bundle, leaf)

    def _keep(self, domain: Domain, source: Source, bundle: Bundle, leaf: Leaf) -> Domain:
        """Keep a new version, inside the transaction of the caller."""
        values: dict[str, object] = {
            "domain_id": domain.id,
            "source": source,
            "names": names_text(leaf.names),
            "fingerprint": leaf.fingerprint,
            "serial": leaf.serial,
            "issuer": leaf.issuer,
            "key_type": leaf.key_type,
            "not_before": instant(leaf.not_before),
            "not_after": instant(leaf.not_after),
            "pem": bundle.certificate,
            "chain_pem": bundle.chain,
            "sealed_key": self._keyring.encrypt(bundle.private_key),
            "issued_at": instant(self._clock()),
        }
        values["digest"] = rows.digest(values[column] for column in rows.UNCHANGING)
        insert = f"""INSERT INTO certificate (version, {", ".join(values)})
            VALUES ((SELECT coalesce(max(version), 0) + 1 FROM certificate WHERE domain_id = :domain_id),
            {", ".join(f":{column}" for column in values)}) RETURNING id"""  # noqa: S608 - constants
        with self._database.transaction() as run:
            made = run(insert, values).fetchone()["id"]
            with self._advance(domain, "wanted_id = :id", id=made):
                newest = self.certificates(domain)[0]
                kind = "issued" if source is Source.C4 else "pasted"
                self._write_event(domain.id, kind, f"serial {leaf.serial}", newest.version)
                return self.domain(domain.name)

    def mark_uploading(self, certificate: Certificate) -> None:
        self._stamp(certificate, "uploading_at")

    def mark_uploaded(self, certificate: Certificate) -> None:
        self._stamp(certificate, "uploaded_at", "uploaded")

    def mark_revoked(self, certificate: Certificate) -> None:
        self._stamp(certificate, "revoked_at", "revoked")

    def destroy_key(self, domain: Domain, certificate: Certificate) -> None:
        sql = """UPDATE certificate SET sealed_key = x'', key_destroyed_at = ? WHERE id = ? AND NOT EXISTS (
            SELECT 1 FROM domain WHERE domain.id = certificate.domain_id AND certificate.id IN (wanted_id, serving_id))"""
        with self._database.transaction() as run:
            destroyed = run(sql, (instant(self._clock()), certificate.id))
            expect(destroyed.rowcount == 1, f"version {certificate.version} of {domain.name} is in use")
            self._write_event(domain.id, "key destroyed", "", certificate.version)

    def _stamp(self, certificate: Certificate, column: str, event: str | None = None) -> None:
        with self._database.transaction() as run:
            at = instant(self._clock())
            run(f"UPDATE certificate SET {column} = ? WHERE id = ?", (at, certificate.id))  # noqa: S608 - a constant
            if event is not None:
                self._write_event(certificate.domain_id, event, "", certificate.version)

    def mark_serving(self, domain: Domain, certificate: Certificate, *, wanted: Certificate | None) -> Domain:
        at = instant(self._clock())
        change = {"serving": certificate.id, "wanted": wanted.id if wanted else None}
        with self._advance(domain, "serving_id = :serving, wanted_id = :wanted", **change) as run:
            run(_REPLACE, {"at": at, "domain": domain.id, "by": certificate.id})
            run(
                "UPDATE certificate SET verified_at = ?, replaced_at = NULL WHERE id = ?",
                (at, certificate.id),
            )
            if domain.serving is None or domain.serving.id != certificate.id:
                self._write_event(domain.id, "serving", "C4 confirmed it", certificate.version)
            return self.domain(domain.name)

    def mark_not_serving(self, domain: Domain, why: str) -> Domain:
        with self._advance(domain, "serving_id = NULL"):
            version = domain.serving.version if domain.serving else None
            self._write_event(domain.id, "not serving", why, version)
            return self.domain(domain.name)

    def record_event(self, domain: Domain, kind: str, detail: str, version: int | None = None) -> None:
        self._write_event(domain.id, kind, detail, version)

    def back_up(self, path: Path, *, force: bool = False) -> Copy:
        copy = copies.back_up(self._path, path, force=force)
        self.record_milestone(Milestone.BACKED_UP, clean(path))
        return copy

    def transaction(self) -> AbstractContextManager[object]:
        return self._database.transaction()

    # Claims

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        with self._database.transaction() as run:
            now = self._clock()
            return {name for name in names if claims.take(run, name, self._owner, now, now + duration)}

    def release(self, names: Iterable[str]) -> None:
        with self._database.transaction() as run:
            for name in names:
                claims.give_up(run, name, self._owner)

    # Machinery

    @contextmanager
    def _advance(self, domain: Domain, change: str, **values: object) -> Iterator[Run]:
        """Change `domain` if it still is as the caller knows it, then run the block in the same transaction."""
        with self._database.transaction() as run:
            changed = run(
                f"UPDATE domain SET {change}, revision = revision + 1 WHERE id = :domain AND revision = :revision",  # noqa: S608 - constants
                {**values, "domain": domain.id, "revision": domain.revision},
            )
            expect(changed.rowcount == 1, _changed(domain))
            yield run


def _changed(domain: Domain) -> str:
    return f"{domain.name} was changed by another sslctl meanwhile"


def _wishes(sans: tuple[str, ...], source: Source) -> str:
    return f"source {source}, other names: {', '.join(sans)}" if sans else f"source {source}, no other names"


def _told(finding: Finding | None) -> str:
    """Give what an event tells of a finding; times are left out, so that the same trouble tomorrow is no news."""
    if finding is None or finding.code is Code.QUEUED:
        return ""
    return f"{finding.code}: {finding.reason.explain(finding.found, finding.wanted)}"
