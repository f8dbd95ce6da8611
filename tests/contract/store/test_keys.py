"""Keys at rest: rotated, verified, found when no one needs them, and destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from sslctl.errors import Busy, StateError
from sslctl.fleet import key_pruning
from sslctl.rules.claim_names import KEY_ROTATION
from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from sslctl.text import instant
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME, PATIENCE, finding, held, issue, open_order, private_key, serve

DAY = timedelta(days=1)


def test_rotate_keys_replaces_the_key_and_every_secret_is_still_decrypted(
    store: Store, busy_domain: Domain, backend: Backend
) -> None:
    old = backend.key_file.read_bytes()
    rotated = store.rotate_keys()
    # The check of the key file, the audit chain, the order and the certificate.
    assert (rotated.rewrapped, rotated.went_on, rotated.left) == (4, False, 0)
    assert old.strip() not in backend.key_file.read_bytes()
    for each in (store, backend.open()):
        each.require_keys()
        order = each.find_open_order(busy_domain)
        assert order is not None
        assert each.order_key(order) == each.bundle(held(busy_domain)).private_key == private_key()
        assert each.verify_history().broken == ""


def test_rotate_keys_raises_busy_while_another_host_rotates(
    store: Store, backend: Backend, clock: Clock
) -> None:
    before = backend.key_file.read_bytes()
    with backend.sql() as sql:
        until = instant(clock() + DAY)
        sql(
            "INSERT INTO lease (name, owner, until) VALUES (?, ?, ?)",
            (KEY_ROTATION, "elsewhere.test/1/1", until),
        )
    with pytest.raises(Busy, match="the keys are being rotated already"):
        store.rotate_keys()
    assert backend.key_file.read_bytes() == before


def test_state_is_refused_with_another_key_file(
    store: Store, busy_domain: Domain, backend: Backend, clock: Clock
) -> None:
    assert busy_domain.wanted is not None
    store.require_keys()
    other = backend.key_file.with_name("other.key")
    backend.key_file.rename(other)
    lines = other.read_bytes()
    backend.key_file.write_bytes(b"A" * 43 + b"=\n")
    backend.key_file.chmod(0o600)
    with pytest.raises(StateError, match="does not decrypt this database"):
        backend.open(clock)
    backend.key_file.write_bytes(lines)
    backend.open(clock).require_keys()


def test_domains_with_spare_keys_are_those_with_a_version_neither_wanted_nor_served(
    store: Store, domain: Domain, clock: Clock
) -> None:
    served = serve(store, issue(store, domain))
    assert list(store.domains_with_spare_keys(START)) == []
    clock.move(days=1)
    renewed = issue(store, served)
    assert list(store.domains_with_spare_keys(START)) == [], "it is still served"
    serve(store, renewed)
    assert list(store.domains_with_spare_keys(START - DAY)) == []
    assert list(store.domains_with_spare_keys(START)) == [NAME]


def test_domains_with_spare_keys_are_found_behind_many_without_one(
    store: Store, domain: Domain, clock: Clock
) -> None:
    late = store.add_domain("z.test", (), Source.C4)
    for each in (domain, late):
        serve(store, issue(store, serve(store, issue(store, each))))
    store.add_domains([f"n{number:03}.test" for number in range(450)])
    assert list(store.domains_with_spare_keys(clock())) == [NAME, "z.test"]


def test_destroy_key_leaves_the_certificate_without_its_key(
    store: Store, domain: Domain, clock: Clock
) -> None:
    serve(store, issue(store, serve(store, issue(store, domain))))
    new, old = store.certificates(domain)
    clock.move(days=1)
    store.destroy_key(domain, old)
    [_, destroyed] = store.certificates(domain)
    assert destroyed.key_destroyed_at == clock()
    assert store.bundle(destroyed).private_key == ""
    assert store.bundle(new).private_key == private_key()
    assert list(store.domains_with_spare_keys(clock())) == []
    event = store.events(domain)[-1]
    assert (event.kind, event.version) == ("key destroyed", 1)
    store.require_keys()


def test_destroy_key_raises_busy_for_a_wanted_or_served_version(store: Store, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    renewed = issue(store, served)
    for version in store.certificates(renewed):
        with pytest.raises(Busy, match="is in use"):
            store.destroy_key(renewed, version)
        assert store.bundle(version).private_key == private_key()


def test_order_opened_after_a_rotation_is_encrypted_with_the_new_key(
    store: Store, domain: Domain, backend: Backend
) -> None:
    other = backend.open()
    store.rotate_keys()
    order = open_order(other, domain)
    assert store.order_key(order) == private_key()
    store.record_finding(other.add_domain("b.test", (), Source.C4), finding())
    store.require_keys()
    other.close()


class _Counted:
    """A store's database that counts what is read from it; each read is one statement."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.reads = 0

    def read(self, *arguments: Any) -> Any:
        self.reads += 1
        return self._database.read(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def test_spare_keys_of_many_domains_are_found_in_order_with_as_many_statements_as_those_of_one(
    store: Any, clock: Clock
) -> None:
    def find() -> tuple[int, list[tuple[str, int]]]:
        counted = store._database = _Counted(store._database)
        found = list(key_pruning.find(store, clock() + DAY, DAY))
        store._database = counted._database
        return counted.reads, [(key.domain.name, key.certificate.version) for key in found]

    def add(name: str) -> None:
        domain = store.add_domain(name, (), Source.C4)
        for _ in range(3):
            domain = serve(store, issue(store, domain))

    add("m.test")
    reads, found = find()
    assert found == [("m.test", 1), ("m.test", 2)]
    names = ["z.test", "a.test", "k.test", "b.test"]
    for name in names:
        add(name)
    expected = [(name, version) for name in sorted([*names, "m.test"]) for version in (1, 2)]
    assert find() == (reads, expected)


def test_certificates_of_a_block_are_those_of_each_domain(store: Store) -> None:
    domains = [store.add_domain(name, (), Source.C4) for name in ("b.test", "a.test", "none.test")]
    domains[:2] = [issue(store, serve(store, issue(store, domain))) for domain in domains[:2]]
    found = store.certificates_of(domains)
    assert found == {domain.id: store.certificates(domain) for domain in domains}
    assert [len(found[domain.id]) for domain in domains] == [2, 2, 0]
    assert store.certificates_of([]) == {}


@contextmanager
def rotated_beside(store: Store, backend: Backend) -> Iterator[None]:
    """Run the block in a transaction, during which another process begins to rotate the keys: it waits, and succeeds afterwards."""
    other = backend.open()
    with ThreadPoolExecutor(1) as pool:
        with store.transaction():
            yield
            rotated = pool.submit(other.rotate_keys)
            with pytest.raises(TimeoutError):
                rotated.result(0.5)
        rotated.result(PATIENCE)
    other.require_keys()
    other.close()


def test_rotation_waits_for_what_is_being_encrypted_with_the_old_key(
    store: Store, domain: Domain, backend: Backend
) -> None:
    with rotated_beside(store, backend):
        open_order(store, domain)


def test_key_that_is_destroyed_during_a_rotation_stays_destroyed(
    store: Store, domain: Domain, backend: Backend
) -> None:
    serve(store, issue(store, serve(store, issue(store, domain))))
    old = store.certificates(domain)[-1]
    with rotated_beside(store, backend):
        store.destroy_key(domain, old)
    assert store.bundle(old).private_key == ""


def test_order_that_is_closed_during_a_rotation_does_not_end_it(
    store: Store, busy_domain: Domain, backend: Backend
) -> None:
    order = store.find_open_order(busy_domain)
    assert order is not None
    with rotated_beside(store, backend):
        store.close_order(order, "came to nothing")
