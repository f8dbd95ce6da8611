"""The composition root: the one place where the parts are chosen and put together."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sslctl.config.settings import Config, load
from sslctl.errors import ConfigError, StateError
from sslctl.issuance.slots import Slots
from sslctl.rules.model import Domain, Milestone
from sslctl.rules.renewal import Ari, RenewalRule
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.text import clean

# What talks to the outside is imported where it is first needed: `list` and `view` start without requests and dnspython.
if TYPE_CHECKING:
    from sslctl.control_plane import ControlPlane
    from sslctl.doctor import Check
    from sslctl.issuance.pipeline import Pipeline
    from sslctl.issuer import Issuer
    from sslctl.notify import Notifier
    from sslctl.store.keyring import Keyring
    from sslctl.store.sqlite.store import SqliteStore


def utc_now() -> datetime:
    """Give the time, UTC, to the second: the precision in which everything is stored."""
    return datetime.now(UTC).replace(microsecond=0)


class App:
    """The parts of one run of sslctl, each made when first asked for."""

    def __init__(self, config_path: Path | None, clock: Callable[[], datetime] = utc_now) -> None:
        self._config_path = config_path
        self.clock = clock
        self.via = ""

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises `ConfigError`."""
        return load(self._config_path, os.environ)

    @property
    def renewal(self) -> RenewalRule:
        """When a certificate is renewed."""
        section = self.config.renewal
        return RenewalRule(timedelta(days=section.before_days), Ari(section.ari))

    @cached_property
    def keyring(self) -> Keyring:
        """What seals the private keys."""
        from sslctl.store.keyring import Keyring  # noqa: PLC0415 - cryptography is slow to import

        # systemd.exec(5): where it puts the files of LoadCredential=.
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        path = self.config.state.master_key_path
        return Keyring(path, credentials=Path(credentials) if credentials else None)

    @cached_property
    def store(self) -> Store:
        """The state. Raises `StateError`."""
        return self._open(self.config.state.database_path)

    def _open(self, path: Path) -> SqliteStore:
        from sslctl.store.sqlite.store import SqliteStore  # noqa: PLC0415 - cryptography is slow to import

        return SqliteStore(
            path,
            self.keyring,
            clock=self.clock,
            actor=_actor(self.via),
            ca=self.config.acme.directory_url,
            limits=self.config.ca_limits,
        )

    def restore(self, backup: Path) -> Copy:
        """Make the state out of `backup`, where there is none yet. Raises `StateError`; then there is none still."""
        from sslctl.fleet import enrolment  # noqa: PLC0415 - as above
        from sslctl.store.sqlite import copies  # noqa: PLC0415

        if not self.keyring.exists:
            raise StateError(
                f"the key file {self.keyring.path} is missing, and without it no private key in the backup can be read",
                hint="put it back first",
            )
        with (
            copies.unpacked(backup, self.config.state.database_path) as (path, copy),
            closing(self._open(path)) as store,
        ):
            store.require_keys()
            enrolment.reverify(store, self.clock(), "restored from a backup")
            store.record_milestone(Milestone.RESTORED, clean(backup))
        return copy

    @cached_property
    def control_plane(self) -> ControlPlane:
        """C4. Raises `ConfigError`."""
        return self._connect_c4(self.config.c4.timeout_seconds)

    def _connect_c4(self, timeout_seconds: float) -> ControlPlane:
        from sslctl.control_plane.c4.client import C4Client  # noqa: PLC0415

        section = self.config.c4
        if not section.base_url or section.token_file is None:
            raise ConfigError(
                "c4.base_url and c4.token_file are not set, so C4 cannot be asked",
                hint=f"set them in {self.config.path or 'a configuration file'}; docs/configuration.md lists every key",
            )
        return C4Client(
            section.base_url,
            section.token_file,
            ca_bundle=section.ca_bundle,
            timeout_seconds=timeout_seconds,
            clock=self.clock,
        )

    @cached_property
    def issuer(self) -> Issuer:
        """The CA, through certbot."""
        from sslctl.issuer.certbot.issuer import CertbotIssuer  # noqa: PLC0415

        return CertbotIssuer(self.config.acme, self.config.state.acme_dir, clock=self.clock)

    @cached_property
    def notifier(self) -> Notifier | None:
        """Who reaches people; None where no URL leads to any. Raises `ConfigError`."""
        from sslctl.notify.sender import AppriseNotifier  # noqa: PLC0415
        from sslctl.notify.urls import read_urls  # noqa: PLC0415

        urls = read_urls(self.config.notify)
        return AppriseNotifier(urls) if urls else None

    def pipeline(self, on_step: Callable[[Domain, str], None], slots: Slots | None = None) -> Pipeline:
        """Put the parts together; `on_step` hears what is being done for which domain, `slots` are those at the CA."""
        from sslctl.issuance.pipeline import PassPolicy, Pipeline  # noqa: PLC0415 - as above
        from sslctl.preflight.checks import Preflight  # noqa: PLC0415

        config = self.config
        return Pipeline(
            self.store,
            self.control_plane,
            self.issuer,
            Preflight(config.cdn, config.dns, config.acme.caa_identities),
            clock=self.clock,
            sleep=time.sleep,
            policy=PassPolicy(
                webroot=config.acme.mode == "webroot",
                key_type=config.acme.key_type,
                renewal=self.renewal,
                activation_seconds=config.c4.activation_seconds,
            ),
            slots=slots or Slots(config.acme.workers),
            on_step=on_step,
        )

    def require_outside(self) -> None:
        """Raise `ConfigError` now, before anything is recorded, where C4 or the CDN is not configured."""
        if not self.config.cdn.cname_suffixes and not self.config.cdn.ip_ranges:
            raise ConfigError(
                "cdn.cname_suffixes and cdn.ip_ranges are both empty, so no domain could point at the CDN"
            )
        _ = self.control_plane

    def examination(self) -> Iterator[Check]:
        """Look at all that sslctl needs, and change nothing."""
        from sslctl.doctor.checks import run_checks  # noqa: PLC0415
        from sslctl.doctor.outside import SECONDS  # noqa: PLC0415 - as above

        timeout = min(SECONDS, self.config.c4.timeout_seconds)
        return run_checks(self.config, self.keyring, lambda: self._connect_c4(timeout), self.clock)

    def close(self) -> None:
        """Close what was opened."""
        for part in ("issuer", "control_plane", "store"):
            if part in self.__dict__:
                self.__dict__[part].close()


def _actor(via: str) -> str:
    """Name who runs this, for the history: user, and terminal, tick or neither."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    if os.getuid() == 0 and os.environ.get("SUDO_USER"):
        user = f"{clean(os.environ['SUDO_USER'], 40)} as {user}"
    if not via:
        via = (
            os.ttyname(sys.stdin.fileno()).removeprefix("/dev/")
            if sys.stdin is not None and sys.stdin.isatty()
            else "script"
        )
    return f"{user} ({via})"
