"""The keys of the account at the CA, which all CAs and all machines share."""

from __future__ import annotations

from typing import Protocol

from sslctl.rules.account_key import AccountKey, KeyRole


class AccountKeys(Protocol):
    """The encrypted account keys, at most one of each role."""

    def account_key(self, role: KeyRole) -> AccountKey | None:
        """Return the key of this role, None if there is none. Raise `StateError` if the key file does not decrypt it."""

    def add_account_key(self, role: KeyRole, jwk: str, origin: str) -> AccountKey:
        """Store `jwk` unless there is a key of this role, and return the one that is stored then.

        `origin` says in the history where a new key comes from.
        """

    def promote_account_key(self) -> None:
        """Make the next key the current one, and the current one the previous one. Raise `Busy` if that cannot be done any more.

        There must be a next key and no previous one.
        """

    def drop_previous_account_key(self) -> None:
        """Destroy the previous key: no CA has it any more as that of our account."""
