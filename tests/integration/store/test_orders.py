"""Orders in the SQLite file: the database refuses a second open order, and a closed order leaves no key in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from sslctl.store.sqlite.store import SqliteStore
from tests.support.store_cases import ADVANCES, NAME, database_of, look_into, open_order, private_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the fixture `store`."""
    return database_of(tmp_path / "state")


def test_database_refuses_second_open_order_of_a_domain(store: SqliteStore, path: Path) -> None:
    open_order(store, store.add_domain(NAME, (), Source.C4))
    with look_into(path) as connection, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute(
            "INSERT INTO acme_order (domain_id, names, csr_pem, sealed_key, opened_at) SELECT domain_id, names, csr_pem,"
            " sealed_key, opened_at FROM acme_order"
        )


def _close(store: Store, domain: Domain) -> None:
    order = store.find_open_order(domain)
    assert order is not None
    store.close_order(order, "came to nothing")


def _keep(store: Store, domain: Domain) -> None:
    ADVANCES["add_issued_certificate"](store, domain)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize("end", [_close, _keep])
def test_closed_order_leaves_no_key_in_the_file(
    store: Store, path: Path, end: Callable[[Store, Domain], None], kind: str
) -> None:
    """There are many orders, so that rows move between pages before their keys are overwritten."""
    domains = [store.add_domain(f"{number}.test", (), Source.C4) for number in range(40)]
    for domain in domains:
        open_order(store, domain, private_key(kind))
    with look_into(path) as connection:
        sealed = [row[0] for row in connection.execute("SELECT sealed_key FROM acme_order")]
    assert all(key in path.read_bytes() for key in sealed)
    for domain in domains:
        end(store, domain)
    left = path.read_bytes()
    # Fernet tokens share their first bytes; any 60 later ones are a token's own.
    assert not [
        key for key in sealed for at in (60, len(key) // 2, len(key) - 60) if key[at : at + 60] in left
    ]
