"""The clients of the configured CAs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sslctl.config.acme import read_hmac_key
from sslctl.config.secret_file import require_trusted
from sslctl.config.settings import Config
from sslctl.issuer import AccountKeys, Issuer
from sslctl.issuer.certbot.directory import find_account


def make_issuers(
    config: Config,
    clock: Callable[[], datetime],
    *,
    on_notice: Callable[[str], None],
    find_account_keys: Callable[[], AccountKeys | None],
) -> dict[str, Issuer]:
    """Return the client of each CA by the URL of its directory, the first CA first; for the arguments see `CertbotIssuer`.

    Raise `ConfigError` as `require_usable_cas` does.
    """
    from sslctl.issuer.certbot.issuer import CertbotIssuer  # noqa: PLC0415 - slow to import

    require_usable_cas(config)
    return {
        section.directory_url: CertbotIssuer(
            section,
            config.state.acme_dir,
            clock=clock,
            pacing=config.pacing,
            on_notice=on_notice,
            find_account_keys=find_account_keys,
        )
        for section, _ in config.authorities
    }


def require_usable_cas(config: Config) -> None:
    """Raise `ConfigError` if another user can change the file that says which CA is the right one.

    Also raise it if the credentials that a first account is registered with cannot be used.
    """
    for acme, _ in config.authorities:
        section = "acme" if acme.directory_url == config.acme.directory_url else "acme.fallback"
        if acme.ca_bundle is not None:
            require_trusted(acme.ca_bundle, f"{section}.ca_bundle")
        is_registered = find_account(config.state.acme_dir, acme.directory_url) is not None
        if acme.eab_hmac_key_file is not None and not is_registered:
            read_hmac_key(acme.eab_hmac_key_file, f"{section}.eab_hmac_key_file")
