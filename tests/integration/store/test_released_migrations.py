"""A released migration never changes: a database that it migrated must equal one that it migrates today."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

import pytest

from sslctl.store.sqlite import migrations
from sslctl.store.sqlite.migrations import MIGRATIONS

# For each migration, a digest of its SQL and of all that a database holds after it. Add one line for a new migration, and
# never change a line: a fault in a released migration is corrected by the next one.
RELEASED = (
    "da7e813eb4c7c9fb7f7f6fe7c6d5ab3562bbdcd7155f950922fe1e1ec18a00a7",
    "c99b303b5b94274422ed03031683c772dec36123d7bc2b5b62a1ea20b6dee2de",
    "375a19ec260300fb506b32b721f35a02f38664d4ecb9dceb05c400e96ec5480d",
    "736f46514dbe6f0a2d109cf61718423156b45e8d2188554d4f934ec8e6e8956f",
    "c90192cbe705150818c588865756af130ac301ab3cac095facb6bcc7476483a0",
    "98bbd6082393115ecb335e3e6d750361267e51f342fd9761c9f06d20c183e33a",
    "b39c321f4303937e4257305eaac4b71bdb0e8fe6c2444278ee09d69db84ed8b5",
    "585e26263cdacac6a162b14968194402ab355faf8088a898d9520c40ed5ba59b",
    "b8300f4c6ba745b392247532fa0be747d56244dac183457d7b4910bf0603abd9",
    "017bc9229626f7d7e60ffc8e0ae501c82a0c8efcf8670060deaf3eca4be4fe21",
    "5e4511806834256a98401bda4d2c01bf1ab3902d1ce8fda3b5b73a84f33d9ac0",
    "417435c660fc30bce835760bdce3d46f0bbb8294396aa9d238b2a2ce4089a269",
    "a33e1f12dd302041b3ef00f46ffca5a3d829b832c0f8d37e2d616c1c2d00b6b4",
    "1e09c67e9859cee660af477e577baf6e4e4c2fd4b8d3d3202214585d90a6ebff",
    "5158ead7521c2e01fb4cbaee618e31202911cc151d9d0d0a8fdf41984ec687bd",
    "34a6614ebebe3c7767dd9ea23935386c7484a49e2b20eb71fe8084b2b4fc771d",
    "045306d7303010fb03eb060d77c5f737799e3cc629e99d224f257c414cb8feca",
    "829c8e188ec12fe4717ba32759056b730f2a32af43494bddc8443304c912fe14",
    "e2b4f31fcd67d2056f65e953e2785a1f9941be8f32db5edb0b8745aac6c82f3d",
    "0df211dfa3b1a90acf8578e088b3724f456e5f745650adbff326362aaae01934",
    "2a07bd3789a6786d9b5b8028191f23b980eaf6a379dbde0f694ebdf57d4f471e",
    "6e5fb66061e33ca3358f35078020d5638871fac9207cb4cd0e0b16699c257aee",
    "a4c0415811dffea942d3894cf4c333b63a5a2235b65754d9ffffff1b626c37e2",
    "649b219f246a3b38933549314f4c56752334a356d5ec08385acd177cb8aa87f1",
    "c6ebeb5fe556c9aeea5b88a3d7ce93d4d1905758100b53007fd9d288e0bd67a3",
)

_ADDED, _RENEWED = "2026-08-01T00:00:00Z", "2026-11-22T04:00:00Z"
_NAMES = '["www.example.com", "example.com"]'
_TOKEN = b"token"
_CERTIFICATE = (
    "aa" * 32, "1f", "CN=CA", "ECDSA P-256", _ADDED, "2026-10-30T00:00:00Z", "leaf", "chain", _TOKEN, _ADDED,
)  # fmt: skip
_DOMAIN = "INSERT INTO domain (id, name, sans, source, created_at, finding_code, finding_found, finding_wanted, finding_at)"
_VERSION = """INSERT INTO certificate (id, domain_id, version, source, names, fingerprint, serial, issuer, key_type,
    not_before, not_after, pem, chain_pem, sealed_key, issued_at)"""
_ORDER = (
    "INSERT INTO acme_order (id, domain_id, names, csr_pem, sealed_key, opened_at, url, closed_at, outcome)"
)


def _fill(connection: sqlite3.Connection) -> None:
    """Insert rows of the first schema, with each kind of data that a later migration reads."""
    connection.execute("INSERT INTO key_check VALUES (1, ?)", (_TOKEN,))
    for row in (
        (1, "www.example.com", '["example.com"]', "c4", _ADDED, None, None, None, None),
        (2, "a.example.co.uk", "[]", "c4", _ADDED, "CHALLENGE_FAILED", "404", "200", _RENEWED),
        (3, "b.test", "[]", "text", _ADDED, None, None, None, None),
    ):
        connection.execute(f"{_DOMAIN} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for certificate in (
        (1, 1, 1, "c4", _NAMES, *_CERTIFICATE),
        (2, 1, 2, "c4", _NAMES, *_CERTIFICATE),
        (3, 3, 1, "text", '["b.test"]', *_CERTIFICATE),
    ):
        connection.execute(f"{_VERSION} VALUES ({', '.join('?' * 15)})", certificate)
    connection.execute("UPDATE domain SET wanted_id = 2, serving_id = 1 WHERE id = 1")
    for order in (
        (1, 1, _NAMES, "csr", None, _ADDED, "https://ca.test/1", _ADDED, "issued"),
        (2, 1, '["example.com", "www.example.com"]', "csr", None, _RENEWED, None, _RENEWED, "issued"),
        (3, 2, '["a.example.co.uk"]', "csr", _TOKEN, _RENEWED, None, None, None),
    ):
        connection.execute(f"{_ORDER} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", order)
    connection.execute(
        "INSERT INTO event VALUES (1, 1, ?, 'root (pts/0)', 'added', 'source c4', NULL)", (_ADDED,)
    )
    connection.execute("INSERT INTO lease VALUES ('tick', 'host/1/2', ?)", (_ADDED,))


def _content(connection: sqlite3.Connection) -> Iterator[object]:
    schema = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    yield schema
    for kind, name, _ in schema:
        if kind == "table":
            rows = connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - a table's name
            yield name, [[one.hex() if isinstance(one, bytes) else one for one in row] for row in rows]


def _digests() -> list[str]:
    digests = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.add_functions(connection)
        for number, sql in enumerate(MIGRATIONS):
            migrations.apply(connection, number)
            if number == 0:
                _fill(connection)
            digests.append(sha256(json.dumps([sql, *_content(connection)]).encode()).hexdigest())
    return digests


@pytest.mark.parametrize("number", range(len(RELEASED)))
def test_released_migration_has_the_recorded_digest(number: int) -> None:
    assert _digests()[number] == RELEASED[number]


def test_each_migration_has_a_recorded_digest() -> None:
    assert len(RELEASED) == len(MIGRATIONS)
