"""One order with certbot's client, below certbot's `main`.

For each run `main` looks for plugins, builds its parser of 150 arguments, and opens a log that nobody reads: more than half of the CPU of
an order. So the fork server makes certbot's configuration once (`prepare`), and a fork only fills in its order (`place`). With a version of
certbot that was not tested, or without the functions that are called here, orders go through `main` (`job`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certbot.errors
from acme.client import ClientNetwork, ClientV2
from certbot import util
from certbot._internal import account, auth_handler, cli, client, constants
from certbot._internal.plugins.disco import PluginsRegistry
from certbot.configuration import NamespaceConfig

from sslctl.issuer.certbot import trusted_context, versions
from sslctl.issuer.certbot.acme_client import Client
from sslctl.issuer.certbot.authenticator import Authenticator

_ARGUMENTS = (
    "certonly",
    "--webroot",
    "--non-interactive",
    "--agree-tos",
    "--register-unsafely-without-email",
)
_config: NamespaceConfig | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """An account as it was in its file at some time, and the network of the last order that was placed with it."""

    source: tuple[object, ...]
    account: account.Account
    network: ClientNetwork


_known: _Known | None = None


def prepare() -> bool:
    """Do what is the same for all orders, before forks; return whether `place` can be used."""
    global _config  # noqa: PLW0603 - forks inherit it
    # A cli.ini on the machine could add hooks or names: only our arguments count.
    constants.CLI_DEFAULTS["config_files"] = []
    try:
        # For `main` too, so that no fork imports the plugins.
        plugins = PluginsRegistry.find_all()
        if versions.find_untested():
            return False
        _require_signatures()
        config = cli.prepare_and_parse_args(plugins, list(_ARGUMENTS))
        config.authenticator, config.installer = "webroot", None
        config.user_agent = client.determine_user_agent(config)
    except (AttributeError, TypeError, SystemExit, certbot.errors.Error):
        return False
    _config = config
    return True


def _require_signatures() -> None:
    """Raise `TypeError` or `AttributeError` if what `place` calls, and certbot's client calls of ours, takes other arguments."""
    for function, count in (
        (client.Client.__init__, 6),
        (client.Client.obtain_certificate_from_csr, 2),
        (client.create_acme_client, 3),
        (account.AccountFileStorage.load, 2),
        (auth_handler.AuthHandler._poll_authorizations, 5),  # noqa: SLF001 - see `polling`
    ):
        inspect.signature(function).bind(*[None] * count)


def is_prepared() -> bool:
    """Return whether `place` can be used."""
    return _config is not None


def place(job: dict[str, Any]) -> None:
    """Place the order of `job`, and write its certificate with the chain to the job's file."""
    config = _config
    assert config is not None  # noqa: S101 - see `prepare`
    # Most of the wrapper's properties cannot be set.
    vars(config.namespace).update(
        server=job["directory_url"],
        config_dir=job["config_dir"],
        required_profile=job["profile"] or None,
        preferred_chain=job["preferred_chain"] or None,
    )
    found, acme = _open_client(config, job)
    Path(job["fullchain"]).write_bytes(b"".join(obtain(found, job["csr_pem"], acme)))


def _open_client(config: NamespaceConfig, job: dict[str, Any]) -> tuple[account.Account, ClientV2]:
    """Return the account of `job` and a client for it, with the connection that the last order of this process has left, if any."""
    global _known  # noqa: PLW0603 - the orders of a process come one after the other
    source = (job["directory_url"], job["account"], _version(Path(config.accounts_dir) / job["account"]))
    if _known is not None and _known.source == source and trusted_context.is_current():
        directory = Client.get_directory(job["directory_url"], _known.network)
        return _known.account, Client(directory, _known.network)
    found = account.AccountFileStorage(config).load(job["account"])
    acme = client.create_acme_client(config, found.key, found.regr)
    _known = _Known(source, found, acme.net)
    return found, acme


def _version(folder: Path) -> tuple[int, int] | None:
    """Return what changes when the registration in the `folder` of an account is written again; None if there is none."""
    try:
        state = (folder / "regr.json").stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns


def obtain(ours: account.Account, csr_pem: str, acme: ClientV2) -> tuple[bytes, bytes]:
    """Return the certificate and its chain for `csr_pem`, with the client `acme`."""
    assert _config is not None  # noqa: S101 - see `prepare`
    caller = client.Client(_config, ours, Authenticator(_config, "webroot"), None, acme)
    return caller.obtain_certificate_from_csr(util.CSR(None, csr_pem.encode(), "pem"))
