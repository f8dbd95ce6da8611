"""Stores of many domains, made in seconds.

sslctl itself makes the file and the key (so the schema is always today's), and the rows then go in by SQL in one
transaction: through the store's own methods each domain would take some ten commits, as it should in life.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sslctl.rules.reasons import Code
from sslctl.store.keyring import Keyring
from sslctl.store.sql import rows
from tests.bench.program import Sslctl

Row = dict[str, object]

_LIFETIME = timedelta(days=90)
_ISSUER = "CN=Bench CA"


def names(count: int, prefix: str) -> list[str]:
    """Return `count` names, each below a registered domain of its own."""
    return [f"www.{prefix}-{number:06}.example" for number in range(count)]


class Fleet:
    """The store of `sslctl`, filled row by row. Use `fill` once."""

    def __init__(self, sslctl: Sslctl) -> None:
        self._sslctl = sslctl
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._authority = Authority(self._now)
        sslctl.reset()
        # Before there was an `init`, any command made the database and the key file.
        if sslctl.run("init", accept=(0, 2)).codes != [0]:
            sslctl.run("list")
        self._keyring = Keyring(sslctl.state / "master.key")

    def fill(self, many: Sequence[str], kind: Callable[[Fleet, int, str], tuple[Row, Row | None]]) -> None:
        """Record each of the names by the method `kind`: `settled`, `failing` or `owed`."""
        connection = sqlite3.connect(self._sslctl.state / "sslctl.db", isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        insert_domain, insert_certificate = _Insert(connection, "domain"), _Insert(connection, "certificate")
        insert_event = _Insert(connection, "event")
        looked_at: Row = {"observed_at": self._at(0), "dns_checked_at": self._at(0)}
        for number, name in enumerate(many, 1):
            domain, certificate = kind(self, number, name)
            # The two refer to each other: the domain first, with nothing wanted yet.
            references = {key: domain.pop(key) for key in ("wanted_id", "serving_id") if key in domain}
            insert_domain({"id": number, "name": name, "sans": "[]", **looked_at, **domain})
            if certificate is not None:
                row = {"id": number, "domain_id": number, "version": 1, **certificate}
                row["digest"] = rows.digest(row[column] for column in rows.UNCHANGING)
                insert_certificate(row)
                for column in references:
                    connection.execute(f"UPDATE domain SET {column} = ? WHERE id = ?", (number, number))  # noqa: S608 - ours
            for event in self._events(number, certificate is not None):
                insert_event(event)
        connection.execute("COMMIT")
        connection.close()

    def age(self, versions: int, only: str = "") -> None:
        """Record `versions` older certificates of each domain that has one, with their keys and events. Use it once.

        With `only`, record those of that domain.
        """
        connection = sqlite3.connect(self._sslctl.state / "sslctl.db", isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        insert_certificate, insert_event = _Insert(connection, "certificate"), _Insert(connection, "event")
        sql = "SELECT domain.id, name FROM domain JOIN certificate ON certificate.id = wanted_id WHERE ? IN (name, '')"
        aged = connection.execute(sql, (only,)).fetchall()
        of_each = [(versions + 1, number) for number, _ in aged]
        connection.executemany("UPDATE certificate SET version = ? WHERE domain_id = ?", of_each)
        for version in range(1, versions + 1):
            left = (version - versions) * _LIFETIME * 0.9 - timedelta(days=1)
            for number, name in aged:
                facts = self._synthetic(f"{version}.{name}", left)
                ends = {"verified_at": facts["not_before"], "replaced_at": facts["not_after"]}
                row = {"domain_id": number, "version": version, "source": "c4", **facts, **ends}
                row["digest"] = rows.digest(row[column] for column in rows.UNCHANGING)
                insert_certificate(row)
                for event in self._events(number, has_certificate=True):
                    insert_event({**event, "version": version})
        connection.execute("COMMIT")
        connection.close()

    # Kinds of domains

    def settled(self, number: int, _name: str) -> tuple[Row, Row | None]:
        """Return a domain for which nothing is due: of a hundred 90 healthy, 3 by text, 5 waiting, 2 unknown to C4."""
        place = number % 100
        # Expiry dates spread evenly, from right after the renewal time on, as in a fleet of many months.
        left = timedelta(days=8) + (_LIFETIME - timedelta(days=8)) * (number * 7919 % 1000 / 1000)
        source = "text" if place in (1, 2, 3) else "c4"
        domain: Row = {"source": source, "created_at": self._at(-200), "checked_at": self._at(-1)}
        if place in (4, 5, 6, 7, 8):
            code = Code.CA_RATE_LIMITED if place == 4 else Code.CNAME_ELSEWHERE
            return {**domain, **self._finding(code, retry_in=1)}, None
        if place in (9, 10):
            return {**domain, **self._finding(Code.C4_UNKNOWN_DOMAIN, retry_in=None)}, None
        certificate = self._synthetic(_name, left) | {"source": source, "verified_at": self._at(-50)}
        return {**domain, "wanted_id": 0, "serving_id": 0}, certificate

    def failing(self, _number: int, _name: str) -> tuple[Row, Row | None]:
        """Return a domain in Failure whose recheck is due; it never had a certificate."""
        domain: Row = {"source": "c4", "created_at": self._at(-2), "checked_at": self._at(-1)}
        return {**domain, **self._finding(Code.NXDOMAIN, retry_in=-1)}, None

    def owed(self, _number: int, name: str) -> tuple[Row, Row | None]:
        """Return a domain in Emergency: its certificate and key are stored, and C4 did not accept them."""
        domain: Row = {"source": "c4", "created_at": self._at(-2), "checked_at": self._at(-1)}
        certificate = self._synthetic(name, _LIFETIME) | self._authority.sign(name)
        key = str(certificate.pop("key"))
        certificate["sealed_key"] = self._keyring.encrypt(key)
        finding = self._finding(Code.C4_UPLOAD_FAILED, retry_in=-1)
        return {**domain, **finding, "wanted_id": 0}, {**certificate, "source": "c4"}

    # Rows

    def _at(self, days: float) -> str:
        return f"{self._now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"

    def _finding(self, code: Code, *, retry_in: float | None) -> Row:
        return {
            "finding_code": code.value,
            "finding_found": "parking.elsewhere.example",
            "finding_wanted": "a name under cdn.example.net",
            "finding_at": self._at(-1),
            "retry_at": None if retry_in is None else self._at(retry_in),
        }

    def _synthetic(self, name: str, left: timedelta) -> Row:
        """Return a certificate with facts of its own, and the PEM and encrypted key of another one, which nothing reads."""
        end = self._now + left
        return {
            "names": json.dumps([name]),
            "fingerprint": sha256(name.encode()).hexdigest(),
            "serial": sha256(name.encode()).hexdigest()[:36],
            "issuer": _ISSUER,
            "key_type": "ECDSA P-256",
            "not_before": f"{end - _LIFETIME:%Y-%m-%dT%H:%M:%SZ}",
            "not_after": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "pem": self._authority.example,
            "chain_pem": self._authority.pem,
            "sealed_key": b"x" * 420,
            "issued_at": f"{end - _LIFETIME:%Y-%m-%dT%H:%M:%SZ}",
        }

    def _events(self, number: int, has_certificate: bool) -> Iterator[Row]:
        kinds = (
            ["added", "ordered", "issued", "uploaded", "serving"] if has_certificate else ["added", "found"]
        )
        for kind in kinds:
            yield {
                "domain_id": number,
                "at": self._at(-50),
                "actor": "root (tick)",
                "kind": kind,
                "detail": "https://ca.example/order/1",
            }


class Authority:
    """A CA that signs at once; `pem` is its certificate, `example` one that it issued."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bench CA")])
        self.pem = _pem(
            self._issue(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        )
        self.example = str(self.sign("shop.example")["pem"])

    def sign(self, name: str) -> Row:
        """Return a certificate for `name` with its facts, and its `key`, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issued = self._issue(subject, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(name)]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "fingerprint": issued.fingerprint(hashes.SHA256()).hex(),
            "serial": f"{issued.serial_number:x}",
            "pem": _pem(issued),
            "key": private.decode(),
        }

    def _issue(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(self._now - timedelta(hours=1))
            .not_valid_after(self._now + _LIFETIME)
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class _Insert:
    """Inserts rows, given as dicts, into `table`. Columns that the schema of an earlier version does not have are left out."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        info = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        self._columns = {str(name) for (name,) in info}

    def __call__(self, row: Row) -> None:
        columns: Iterable[str] = [column for column in row if column in self._columns]
        self._connection.execute(
            f"INSERT INTO {self._table} ({', '.join(columns)}) VALUES ({', '.join(':' + c for c in columns)})",  # noqa: S608 - ours
            row,
        )
