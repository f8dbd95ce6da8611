"""The keys of our account at every CA: made or adopted once, and changed in two steps (`fleet.account_rotation`)."""

from __future__ import annotations

from collections.abc import Callable

from sslctl.certificates.account_key import make_account_key
from sslctl.issuer import AccountKeys
from sslctl.rules.account_key import AccountKey, KeyRole
from sslctl.store.interface import account_keys as interface


def find_or_make_current(
    store: interface.AccountKeys, find_registered: Callable[[], str | None]
) -> AccountKey:
    """Return the current account key. If there is none, store the one that `find_registered` returns, or else a new one.

    `find_registered` returns the key of an account that certbot has registered, None if there is none: with it, an
    installation that changes to stateless mode goes on with its account.
    """
    known = store.account_key(KeyRole.CURRENT)
    if known is not None:
        return known
    registered = find_registered()
    if registered is not None:
        return store.add_account_key(KeyRole.CURRENT, registered, "adopted from certbot's folder")
    return store.add_account_key(KeyRole.CURRENT, make_account_key(), "a new key")


def find_keys(store: interface.AccountKeys, find_registered: Callable[[], str | None]) -> AccountKeys:
    """Return the keys that an account at a CA may have; see `find_or_make_current`."""
    current = find_or_make_current(store, find_registered)
    return AccountKeys(current, store.account_key(KeyRole.PREVIOUS))
