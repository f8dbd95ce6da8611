"""Versions: every certificate that a domain had, with its chain and key, and how far its delivery got."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sslctl.rules.model import Bundle, Certificate, Domain, Leaf, Order, Source
from sslctl.rules.reasons import Code
from sslctl.store.interface.metrics import ACCEPTED, Counted
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Row, Run
from sslctl.store.sql.metrics import count_outcome
from sslctl.store.sql.observations import NO_FOREIGN
from sslctl.store.sql.orders import SqlOrders
from sslctl.store.sql.values import names_of, names_text, text_of
from sslctl.text import instant
from sslctl.wording import C4


class SqlVersions(SqlOrders):
    """The store's `Versions`."""

    # Reading

    def certificates(self, domain: Domain) -> list[Certificate]:
        sql = f"{rows.SELECT_CERTIFICATE} WHERE domain_id = ? ORDER BY version DESC"
        return self._database.read(rows.certificate_of, sql, (domain.id,))

    def certificates_of(self, domains: Sequence[Domain]) -> dict[int, list[Certificate]]:
        sql = f"""{rows.SELECT_CERTIFICATE} WHERE domain_id IN (SELECT value FROM {self._database.dialect.integers("?")})
            ORDER BY domain_id, version DESC"""  # noqa: S608 - constants
        found: dict[int, list[Certificate]] = {domain.id: [] for domain in domains}
        for certificate in self._database.read(rows.certificate_of, sql, (json.dumps(list(found)),)):
            found[certificate.domain_id].append(certificate)
        return found

    def bundle(self, certificate: Certificate) -> Bundle:
        found = self._database.read(self._bundle_of, rows.SELECT_BUNDLE, (certificate.id,))[0]
        return replace(found, ca=certificate.ca)

    def _bundle_of(self, row: Row) -> Bundle:
        rows.require_unchanged(row)
        key = self._keyring.decrypt(row["sealed_key"]) if row["sealed_key"] else ""
        return Bundle(row["pem"], row["chain_pem"], key)

    def require_unchanged(self, certificate: Certificate) -> None:
        self._database.read(rows.require_unchanged, rows.SELECT_BUNDLE, (certificate.id,))

    # New versions

    def add_issued_certificate(
        self, domain: Domain, order: Order, certificate: str, chain: str, leaf: Leaf
    ) -> Domain:
        bundle = Bundle(certificate, chain, self.order_key(order))
        with self._database.transaction():
            self.close_order(order, "issued")
            return self._add_version(domain, Source.C4, bundle, leaf, ca=order.ca)

    def add_text_certificate(self, name: str, sans: tuple[str, ...], bundle: Bundle, leaf: Leaf) -> Domain:
        with self._database.transaction():
            known = self.find(name)
            if known is None or known.deleted_at is not None:
                domain = self.add_domain(name, sans, Source.TEXT)
                return self._add_version(domain, Source.TEXT, bundle, leaf)
            domain = self.update_domain(known, sans, Source.TEXT)
            return self._add_version(domain, Source.TEXT, bundle, leaf, pasted_over=known)

    def add_imported_certificates(
        self, domain: Domain, certificates: Sequence[tuple[Bundle, Leaf]], ca: str
    ) -> Domain:
        replaced_at = [leaf.not_before for _, leaf in certificates[1:]]
        identity = 0
        with self._database.transaction() as run:
            for (bundle, leaf), end in zip(certificates, [*replaced_at, None], strict=True):
                if ca:
                    self._record_past_order(run, domain, leaf.names, ca, leaf.not_before)
                identity, version = self._insert_version(
                    run,
                    domain,
                    Source.C4,
                    bundle,
                    leaf,
                    issued_at=leaf.not_before,
                    replaced_at=None if end is None else instant(end),
                    ca=ca,
                )
                self._append_event(domain.id, "imported", f"serial {leaf.serial}", version)
            with self._advance(domain, "wanted_id = :id", id=identity):
                return self.domain(domain.name)

    def _add_version(
        self,
        domain: Domain,
        source: Source,
        bundle: Bundle,
        leaf: Leaf,
        *,
        ca: str = "",
        pasted_over: Domain | None = None,
    ) -> Domain:
        now = self._clock()
        more = {} if pasted_over is None else {"pasted_over": _state_before(pasted_over)}
        more["ca"] = ca
        with self._database.transaction() as run:
            identity, version = self._insert_version(run, domain, source, bundle, leaf, issued_at=now, **more)
            sql = "wanted_id = :id"
            if source is Source.C4:
                # The CA issued it, so DNS, CAA and the ports are good.
                sql += ", dns_checked_at = :at"
            with self._advance(domain, sql, id=identity, at=instant(now)):
                kind = "issued" if source is Source.C4 else "pasted"
                self._append_event(domain.id, kind, f"serial {leaf.serial}", version)
                return self.domain(domain.name)

    def _insert_version(
        self,
        run: Run,
        domain: Domain,
        source: Source,
        bundle: Bundle,
        leaf: Leaf,
        *,
        issued_at: datetime,
        **more: object,
    ) -> tuple[int, int]:
        """Insert the next version of the certificate of `domain`, with `more` columns; return its id and its number."""
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
            "sealed_key": self._encrypt(bundle.private_key),
            "issued_at": instant(issued_at),
            **more,
        }
        values["digest"] = rows.digest(values[column] for column in rows.UNCHANGING)
        insert = f"""INSERT INTO certificate (version, {", ".join(values)})
            VALUES ((SELECT coalesce(max(version), 0) + 1 FROM certificate WHERE domain_id = :domain_id),
            {", ".join(f":{column}" for column in values)}) RETURNING id, version"""  # noqa: S608 - constants
        row = run(insert, values).fetchone()
        return row["id"], row["version"]

    # Delivery

    def drop_wanted(self, domain: Domain, certificate: Certificate, why: str) -> Domain:
        with self._advance(domain, "wanted_id = serving_id"):
            self._append_event(domain.id, "not installed", why, certificate.version)
            return self.domain(domain.name)

    def withdraw_pair(self, domain: Domain, certificate: Certificate, why: str) -> Domain | None:
        sql = "SELECT pasted_over FROM certificate WHERE id = ? AND pasted_over IS NOT NULL"
        stored = self._database.read(lambda row: text_of(row["pasted_over"]), sql, (certificate.id,))
        if not stored:
            return None
        before = json.loads(stored[0])
        with self._database.transaction():
            sans, source = names_of(before["sans"]), Source(before["source"])
            domain = self.update_domain(domain, sans, source)
            # The version from before may be in an archive by now.
            put_back = "wanted_id = (SELECT id FROM certificate WHERE id = :wanted), text_consent = ''"
            with self._advance(domain, put_back, wanted=before["wanted"]):
                self._append_event(domain.id, "not installed", why, certificate.version)
                domain = self.domain(domain.name)
            # What a tick does not look at again is as it is served. Everything else is looked at by the next tick.
            is_settled = source is Source.TEXT or (
                domain.wanted is not None and domain.serving == domain.wanted
            )
            return self.record_finding(domain, None) if is_settled else domain

    def mark_uploading(self, certificate: Certificate) -> None:
        self._stamp(certificate, "uploading_at")

    def mark_uploaded(self, certificate: Certificate) -> None:
        with self._database.transaction():
            self._stamp(certificate, "uploaded_at", "uploaded")
            count_outcome(self._database, Counted.UPLOADS, ACCEPTED)

    def count_failed_upload(self, code: Code) -> None:
        with self._database.transaction():
            count_outcome(self._database, Counted.UPLOADS, code)

    def mark_revoked(self, certificate: Certificate, reason: str = "") -> None:
        self._stamp(certificate, "revoked_at", "revoked", reason)

    def _stamp(
        self, certificate: Certificate, column: str, event: str | None = None, detail: str = ""
    ) -> None:
        """Record the time in `column` of `certificate`, and an event."""
        with self._database.transaction() as run:
            at = instant(self._clock())
            run(f"UPDATE certificate SET {column} = ? WHERE id = ?", (at, certificate.id))  # noqa: S608 - a constant
            if event is not None:
                self._append_event(certificate.domain_id, event, detail, certificate.version)

    def mark_serving(self, domain: Domain, certificate: Certificate, *, wanted: Certificate | None) -> Domain:
        at = instant(self._clock())
        change = {"serving": certificate.id, "wanted": wanted.id if wanted else None}
        # Consent is for the text certificate that was seen: whoever installs the same one again needs another.
        sql = (
            f"serving_id = :serving, wanted_id = :wanted, observed_at = :at, text_consent = '', {NO_FOREIGN}"
        )
        with self._advance(domain, sql, at=at, **change) as run:
            self._mark_replaced(run, domain, at, by=certificate)
            run(
                "UPDATE certificate SET verified_at = ?, replaced_at = NULL WHERE id = ?",
                (at, certificate.id),
            )
            if domain.serving is None or domain.serving.id != certificate.id:
                self._append_event(domain.id, "serving", f"{C4} confirmed it", certificate.version)
            return self.domain(domain.name)

    def mark_not_serving(self, domain: Domain, why: str) -> Domain:
        with self._advance(domain, "serving_id = NULL"):
            version = domain.serving.version if domain.serving else None
            self._append_event(domain.id, "not serving", why, version)
            return self.domain(domain.name)


def _state_before(domain: Domain) -> str:
    """Return what a pasted pair changes of `domain`, as `withdraw_pair` reads it."""
    wanted = domain.wanted.id if domain.wanted else None
    return json.dumps({"source": domain.source, "sans": names_text(domain.sans), "wanted": wanted})
