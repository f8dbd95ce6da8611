"""The account keys are stored encrypted, at most one of each role, and every change is part of the audit trail."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sslctl.certificates.account_key import make_account_key
from sslctl.errors import Busy, StateError
from sslctl.rules.account_key import AccountKey, KeyRole, thumbprint_of
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import PATIENCE

CURRENT, NEXT, PREVIOUS = KeyRole


def kept(store: Store) -> dict[KeyRole, str]:
    """Return the keys by role."""
    found = {role: store.account_key(role) for role in KeyRole}
    return {role: key.jwk for role, key in found.items() if key is not None}


def test_first_key_of_a_role_is_kept(store: Store, backend: Backend, clock: Clock) -> None:
    assert kept(store) == {}
    first, second = make_account_key(), make_account_key()
    assert store.add_account_key(CURRENT, first, "made") == AccountKey(first, START)
    clock.move(days=1)
    assert store.add_account_key(CURRENT, second, "made") == AccountKey(first, START)
    again = backend.open(clock)
    assert kept(again) == {CURRENT: first}
    again.close()
    assert [event.detail for _, event in store.audit_trail()] == [f"current: {thumbprint_of(first)}, made"]


def test_processes_that_start_at_once_get_one_key(store: Store, backend: Backend) -> None:
    stores = [store, *(backend.open() for _ in range(3))]
    start = Barrier(len(stores))

    def first_key(each: Store) -> str:
        start.wait(PATIENCE)
        return each.add_account_key(CURRENT, make_account_key(), "made").jwk

    with ThreadPoolExecutor(len(stores)) as pool:
        keys = set(pool.map(first_key, stores))
    assert keys == set(kept(store).values())
    for each in stores[1:]:
        each.close()


def test_key_is_encrypted_and_rotated_with_the_key_file(store: Store, backend: Backend) -> None:
    key = make_account_key()
    store.add_account_key(CURRENT, key, "made")
    with backend.sql() as sql:
        (sealed,) = sql("SELECT sealed FROM account_key", ())[0]
    assert json.loads(key)["d"].encode() not in bytes(sealed)
    assert store.rotate_keys().rewrapped == 3
    for each in (store, backend.open()):
        each.require_keys()
        assert kept(each) == {CURRENT: key}


def test_key_that_the_key_file_does_not_decrypt_is_an_error(store: Store, backend: Backend) -> None:
    store.add_account_key(CURRENT, make_account_key(), "made")
    with backend.sql() as sql:
        sql("UPDATE account_key SET sealed = ?", (b"damaged",))
    with pytest.raises(StateError, match="does not decrypt"):
        store.account_key(CURRENT)
    with pytest.raises(StateError, match="does not decrypt"):
        store.require_keys()


def test_promotion_keeps_the_former_key_until_it_is_dropped(store: Store) -> None:
    first, second = make_account_key(), make_account_key()
    store.add_account_key(CURRENT, first, "made")
    with pytest.raises(Busy, match="no next account key"):
        store.promote_account_key()
    store.add_account_key(NEXT, second, "made")
    store.promote_account_key()
    assert kept(store) == {CURRENT: second, PREVIOUS: first}
    store.add_account_key(NEXT, make_account_key(), "made")
    with pytest.raises(Busy, match="may still have the previous"):
        store.promote_account_key()
    store.drop_previous_account_key()
    store.drop_previous_account_key()
    assert sorted(kept(store)) == [CURRENT, NEXT]
    shown = [event.detail for _, event in store.audit_trail()]
    assert shown[2] == f"current: {thumbprint_of(second)}, was the next"
    assert shown[-1] == f"destroyed: {thumbprint_of(first)}"
    assert not any(json.loads(key)["d"] in line for key in (first, second) for line in shown)


def test_text_that_is_no_key_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not a JSON Web Key"):
        store.add_account_key(CURRENT, '{"kty": "oct", "k": "secret"}', "made")
    assert kept(store) == {}
