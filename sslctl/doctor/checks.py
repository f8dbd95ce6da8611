"""All checks in their order: this machine, the state, then DNS, the CA and C4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial

from sslctl.config.settings import Config
from sslctl.control_plane import ControlPlane
from sslctl.doctor import Check, examine, examine_together, machine, ok, state, stateless
from sslctl.doctor.archives import ARCHIVES, archives
from sslctl.doctor.outside import SECONDS, Outside
from sslctl.preflight.lookup import Resolver
from sslctl.rules.account_key import KeyRole
from sslctl.rules.claim_names import TICK
from sslctl.store.configured import inspect
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.waiting import Waiting
from sslctl.text import clean
from sslctl.wording import C4

# Connecting, sending and receiving each have their own timeout.
_TIMEOUTS = 3


def run_checks(
    config: Config,
    keyring: Keyring,
    connect: Callable[[], ControlPlane],
    clock: Callable[[], datetime],
    *,
    waiting: Waiting | None = None,
) -> Iterator[Check]:
    """Yield every check; `connect` returns a client of C4, `waiting` is how long to wait for a locked database."""
    yield from examine("program", machine.program)
    yield ok(
        "configuration",
        clean(config.path) if config.path else "no file; the defaults and the environment apply",
    )
    yield from examine(machine.CDN, lambda: machine.cdn(config.cdn))
    yield from examine("certbot", machine.certbot)
    yield from examine("permissions", lambda: machine.permissions(config.state))
    yield from examine("key file", lambda: machine.key_file(keyring, config.state))
    yield from examine(machine.TRUSTED_ROOTS, lambda: machine.trusted_roots(config.safety))
    yield from examine(machine.NOTIFICATIONS, lambda: machine.notifications(config.notify))
    yield from examine(machine.WEBHOOK, lambda: machine.webhook(config.notify))
    yield from examine("disk", lambda: machine.disk_space(config.state.dir))
    yield from _check_state(config, keyring, clock(), waiting)
    outside = Outside(config, connect, clock)
    asked = [("DNS", outside.dns), ("CA", outside.ca), (f"{C4:bare}", outside.c4), ("edges", outside.edges)]
    if config.acme.mode == "stateless":
        thumbprint = partial(_find_thumbprint, config, keyring, waiting)
        asked += [
            (stateless.ANSWERS, lambda: stateless.edges(config, thumbprint, SECONDS)),
            (stateless.CAA_OF_TARGETS, lambda: stateless.caa(config, Resolver(config.dns))),
        ]
    yield from examine_together(asked, SECONDS * _TIMEOUTS)
    yield from examine("clock", outside.skew)


def _find_thumbprint(config: Config, keyring: Keyring, waiting: Waiting | None, role: KeyRole) -> str | None:
    """Return the thumbprint of the account key in `role`, None if there is no state, or no such key."""
    state = config.state
    if not state.is_on_server and not state.database_path.exists():
        return None
    with closing(inspect(state, config.ca_urls, waiting=waiting, keyring=keyring)) as found:
        key = found.account_key(role)
        return None if key is None else key.thumbprint


def _check_state(config: Config, keyring: Keyring, now: datetime, waiting: Waiting | None) -> Iterator[Check]:
    is_ticking = False

    def check_database() -> Iterator[Check]:
        nonlocal is_ticking
        with closing(inspect(config.state, config.ca_urls, waiting=waiting, keyring=keyring)) as found:
            is_ticking = found.is_claimed(TICK)
            yield from examine("database", lambda: state.database(found, now))
            yield from examine(state.ENCRYPTION, lambda: state.encryption(found, keyring))
            yield from examine(state.SERVER, lambda: state.server(found))
            yield from examine(state.LAST_TICK, lambda: state.ticks(found, now))
            yield from examine(state.MAINTENANCE, lambda: state.maintenance(found, now))
            yield from examine(state.PAUSES, lambda: state.pauses(found, now))
            yield from examine(ARCHIVES, lambda: archives(found.seals(), config.archive_dir))

    yield from examine("database", check_database)
    yield from examine("challenges", lambda: machine.challenges(config.acme, is_ticking=is_ticking))
