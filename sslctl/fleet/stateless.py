"""The account key that the store has: in stateless mode, also its rotation and the listener for edges, and for several hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sslctl.config.settings import Config
from sslctl.errors import ConfigError
from sslctl.fleet.account_rotation import AccountRotation, RotationStore, make_rotation
from sslctl.issuance.account_keys import find_keys
from sslctl.issuer import AccountKeys, Issuer
from sslctl.issuer.certbot.challenge_sources import ThumbprintSource
from sslctl.issuer.certbot.directory import read_account_key
from sslctl.issuer.certbot.listener import Listener


class _Closable(Protocol):
    def close(self) -> None:
        """Stop listening."""


class Stateless:
    """What stateless mode needs of `config`. The store and the issuer are found when they are first needed."""

    def __init__(
        self, config: Config, find_store: Callable[[], RotationStore], find_issuer: Callable[[], Issuer]
    ) -> None:
        self._config = config
        self._find_store = find_store
        self._find_issuer = find_issuer

    @property
    def is_on(self) -> bool:
        """Whether the edges answer the CA's challenges by themselves."""
        return self._config.acme.mode == "stateless"

    def keys(self) -> AccountKeys:
        """Return the keys that our account at a CA may have. The first one is made, or adopted from certbot's folder."""
        folder, url = self._config.state.acme_dir, self._config.acme.directory_url
        return find_keys(self._find_store(), lambda: read_account_key(folder, url))

    def keys_if_stored(self) -> AccountKeys | None:
        """Return the keys, None where certbot's folder has the only one: in other modes, if only this machine uses the state."""
        return self.keys() if self.is_on or self._config.state.is_on_server else None

    def rotation(self) -> AccountRotation:
        """Return the rotation of the account key. Raise `ConfigError` in other modes."""
        self._require_on("rotates the account key")
        return make_rotation(self._config, self._find_store(), lambda: self._find_issuer().register())

    def listen(self, thumbprint: str | None) -> tuple[_Closable, str]:
        """Answer every challenge with `thumbprint`, by default with that of the account key; return the listener, and where it is.

        Raise `ConfigError` in other modes, or if the port cannot be used.
        """
        self._require_on("answers challenges that it did not ask for")
        acme = self._config.acme
        try:
            source = ThumbprintSource(thumbprint or self.keys().current.thumbprint)
            listener = Listener(acme.http01_address, acme.http01_port, source)
        except OSError as error:
            raise ConfigError(
                f"cannot answer challenges: {error}",
                hint="set acme.http01_address and acme.http01_port to a port that is free",
            ) from error
        return listener, f"port {acme.http01_port} of {acme.http01_address or 'all addresses'}"

    def _require_on(self, what: str) -> None:
        if not self.is_on:
            raise ConfigError(
                f'acme.mode is "{self._config.acme.mode}", and only with "stateless" sslctl {what}',
                hint="docs/stateless.md describes stateless mode",
            )
