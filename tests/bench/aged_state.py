"""A fleet with years of history, in bulk: what renewals every two months leave behind, in the order in which they would write it.

The rows are those that the store's own methods write, and the audit chain is advanced by its own rule, so that `audit verify`
holds. Certificates have facts of their own, the PEM of one of a few, and the encrypted key of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sslctl.rules.audit_chain import Chain, mac_of
from sslctl.rules.limits import set_key
from sslctl.rules.reasons import Code
from sslctl.store.keyring import Keyring
from sslctl.store.sql.moving import Side, Table
from sslctl.store.sql.rows import UNCHANGING, digest
from tests.bench.fleet import Authority

LIFETIME = timedelta(days=90)
RENEWED_AFTER = timedelta(days=60)
_CA = "https://127.0.0.1:9/directory"
_ACTOR = "root (tick)"
_BLOCK = 5000
_CERTIFICATES = 100

Row = dict[str, Any]

_EVENTS = (
    ("found", "CA_RATE_LIMITED: the CA limits requests; it is tried again by itself"),
    ("found", "CA_DOWN: the CA did not answer; it is tried again by itself"),
    ("ordered", "https://ca.example/acme/order/1234567890/98765432101"),
    ("issued", "serial 3b8a1c5e7f90a4d2c6b1e8f7a5d3c2b1a0f9"),
    ("uploaded", ""),
    ("serving", "C4 confirmed it"),
    ("found", "CNAME_ELSEWHERE: www.shop.example points at parking.elsewhere.example"),
    ("found", "nothing: the domain is well"),
    ("customer", "Customer 7; was Customer 6"),
    ("downloaded", "certificate and chain, by mei"),
)
"""What is written down about one renewal, with a few looks of the two months after it: kinds and details."""


def name_of(number: int) -> str:
    """Return the name of a domain."""
    return f"www.years-{number:06}.example"


@dataclass(frozen=True, slots=True)
class Renewal:
    """The issuance of one version. The last one of its domain has no `ends`."""

    domain: int
    version: int
    at: datetime
    ends: datetime | None


@dataclass(slots=True)
class History:
    """The history of `domains` domains that were added within the first two months of `days` days, the last of which is `now`."""

    domains: int
    days: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def renewals(self) -> Iterator[Renewal]:
        """Yield every renewal, the oldest first: some each day."""
        cadence = RENEWED_AFTER.days
        for day in range(self.days):
            left = self.days - day
            due = range(1 + day % cadence, self.domains + 1, cadence)
            for place, number in enumerate(due):
                # Through the day, as far apart as they are many; the last one is before `now`.
                at = self.now - timedelta(days=left) + timedelta(seconds=86_000 * place // len(due))
                yield Renewal(number, 1 + day // cadence, at, at + RENEWED_AFTER if left > cadence else None)


class _Writer:
    """Collects rows for the tables of `side`, and writes them in blocks."""

    def __init__(self, side: Side, tables: Sequence[Table]) -> None:
        self._side = side
        self._tables = {table.name: table for table in tables}
        self._waiting: dict[str, tuple[Sequence[str], list[tuple[Any, ...]]]] = {}

    def add(self, table: str, row: Row) -> None:
        """Add a row; all of a table have the same columns."""
        columns, rows = self._waiting.setdefault(table, (tuple(row), []))
        rows.append(tuple(row.values()))
        if len(rows) == _BLOCK:
            self._side.add(self._tables[table], columns, rows)
            rows.clear()

    def flush(self) -> None:
        """Write what is left."""
        for table, (columns, rows) in self._waiting.items():
            self._side.add(self._tables[table], columns, rows)
        self._waiting.clear()


class Builder:
    """Writes `history` into the new state of `side`, which has no rows but those that `sslctl init` makes."""

    def __init__(self, side: Side, tables: Sequence[Table], keyring: Keyring, history: History) -> None:
        self._side = side
        self._write = _Writer(side, tables)
        self._history = history
        authority = Authority(history.now)
        self._chain_pem = authority.pem
        # So many that an archive is as large as if each had its own.
        self._pems = [str(authority.sign(f"{number}.example")["pem"]) for number in range(_CERTIFICATES)]
        self._sealed_key = keyring.encrypt("x" * 240)
        self._chain = Chain.from_json(
            keyring.decrypt(side.run("SELECT sealed FROM audit_chain").fetchone()[0])
        )
        self._state: bytes = side.run("SELECT state FROM audit_chain").fetchone()[0]
        self._events: int = side.run("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
        self.versions = 0

    @property
    def events(self) -> int:
        """How many events there are so far."""
        return self._events

    def run(self) -> None:
        """Write it, inside a transaction."""
        newest = dict[int, int]()
        for renewal in self._history.renewals():
            self.versions += 1
            newest[renewal.domain] = self.versions
            self._add_certificate(self.versions, renewal)
            self._add_order(self.versions, renewal)
            self._add_events(renewal)
        for domain, certificate in newest.items():
            self._write.add("domain", self._domain(domain, certificate))
        self._write.flush()
        self._side.run("UPDATE audit_chain SET state = ?", (self._state,))

    def _domain(self, number: int, certificate: int) -> Row:
        """Return a domain for which nothing is due: of a hundred 93 are well, 5 have a warning, 2 a failure."""
        place, now = number % 100, _text(self._history.now)
        yesterday = _text(self._history.now - timedelta(days=1))
        is_warned, is_failing = place in range(4, 9), place in (9, 10)
        elsewhere = (Code.CNAME_ELSEWHERE.value, "parking.elsewhere.example", "a name under cdn.example.net")
        caution = (*elsewhere, yesterday) if is_warned else (None,) * 4
        finding = (*elsewhere, yesterday) if is_failing else (None,) * 4
        added = self._history.now - timedelta(days=self._history.days)
        return {
            "id": number,
            "name": name_of(number),
            "sans": "[]",
            "source": "c4",
            "created_at": _text(added),
            "checked_at": yesterday,
            "observed_at": now,
            "dns_checked_at": now,
            "wanted_id": certificate,
            "serving_id": certificate,
            "customer": f"Customer {number % 300}",
            **dict(
                zip(
                    ("caution_code", "caution_found", "caution_wanted", "caution_since"), caution, strict=True
                )
            ),
            **dict(
                zip(("finding_code", "finding_found", "finding_wanted", "finding_at"), finding, strict=True)
            ),
            "retry_at": _text(self._history.now + timedelta(days=1)) if is_failing else None,
        }

    def _add_certificate(self, identity: int, renewal: Renewal) -> None:
        name, at = name_of(renewal.domain), _text(renewal.at)
        fingerprint = sha256(f"{renewal.version}.{name}".encode()).hexdigest()
        row: Row = {
            "id": identity,
            "domain_id": renewal.domain,
            "version": renewal.version,
            "source": "c4",
            "names": json.dumps([name]),
            "fingerprint": fingerprint,
            "serial": fingerprint[:36],
            "issuer": "CN=Bench CA",
            "key_type": "ECDSA P-256",
            "not_before": at,
            "not_after": _text(renewal.at + LIFETIME),
            "pem": self._pems[identity % _CERTIFICATES],
            "chain_pem": self._chain_pem,
            "sealed_key": self._sealed_key,
            "issued_at": at,
            "uploading_at": at,
            "uploaded_at": at,
            "verified_at": at,
            "replaced_at": None if renewal.ends is None else _text(renewal.ends),
            "ca": _CA,
        }
        row["digest"] = digest(row[column] for column in UNCHANGING)
        self._write.add("certificate", row)

    def _add_order(self, identity: int, renewal: Renewal) -> None:
        name, at, is_renewal = name_of(renewal.domain), _text(renewal.at), renewal.version > 1
        names = set_key([name])
        order: Row = {
            "id": identity,
            "domain_id": renewal.domain,
            "names": names,
            # As long as a CSR; nothing reads that of a closed order.
            "csr_pem": self._chain_pem[:420],
            "opened_at": at,
            "url": "https://ca.example/acme/order/1234567890/98765432101",
            "closed_at": at,
            "outcome": "issued",
            "ca": _CA,
            "name_set": names,
            "is_renewal": int(is_renewal),
        }
        self._write.add("acme_order", order)
        registered = None if is_renewal else name.removeprefix("www.")
        counted = {"order_id": identity, "name": name, "registered_domain": registered, "opened_at": at}
        self._write.add("acme_order_name", counted)

    def _add_events(self, renewal: Renewal) -> None:
        domain, name, at = renewal.domain, name_of(renewal.domain), _text(renewal.at)
        for kind, detail in _EVENTS:
            self._events += 1
            record = (self._events, domain, name, at, _ACTOR, kind, detail, renewal.version)
            self._state = self._chain.advance(self._state, record)
            event = {
                "id": self._events,
                "domain_id": domain,
                "at": at,
                "actor": _ACTOR,
                "kind": kind,
                "detail": detail,
                "version": renewal.version,
                "mac": mac_of(self._state),
            }
            self._write.add("event", event)


@contextmanager
def without_indexes(side: Side, found: str) -> Iterator[None]:
    """Fill tables of `side` in the block without their indexes and triggers, which are made again after it.

    `found` is a query of the kind, the name and the definition of each.
    """
    dropped = [tuple(row) for row in side.run(found).fetchall()]
    for kind, name, _ in dropped:
        side.run(f"DROP {kind} {name}")
    yield
    for _, _, definition in dropped:
        side.run(definition)


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
