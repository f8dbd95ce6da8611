"""All checks in their order: this machine first, then the state, then those outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime

from sslctl.config.settings import Config
from sslctl.control_plane import ControlPlane
from sslctl.doctor import Check, examine, examine_together, machine, ok, state
from sslctl.doctor.outside import SECONDS, Outside
from sslctl.rules.claim_names import TICK
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.inspection import Inspection
from sslctl.text import clean

# To connect, to send and to be answered each have theirs.
_ROUNDS = 3


def run_checks(
    config: Config,
    keyring: Keyring,
    connect: Callable[[], ControlPlane],
    clock: Callable[[], datetime],
) -> Iterator[Check]:
    """Make every check; `connect` makes what speaks with C4."""
    yield ok(
        "configuration", clean(config.path) if config.path else "no file: the defaults, and the environment"
    )
    yield from examine("permissions", lambda: machine.permissions(config.state))
    yield from examine("key file", lambda: machine.key_file(keyring, config.state))
    yield from examine("disk", lambda: machine.room(config.state.dir))
    yield from _look_at_state(config, clock())
    outside = Outside(config, connect, clock)
    yield from examine("account at the CA", outside.account)
    asked = (("DNS", outside.dns), ("CA", outside.ca), ("C4", outside.c4))
    yield from examine_together(asked, SECONDS * _ROUNDS)
    yield from examine("clock", outside.skew)


def _look_at_state(config: Config, now: datetime) -> Iterator[Check]:
    path, is_ticking = config.state.database_path, False

    def look() -> Iterator[Check]:
        nonlocal is_ticking
        if not path.exists():
            return
        with closing(Inspection(path, config.acme.directory_url)) as found:
            is_ticking = found.is_claimed(TICK)
            yield from examine("database", lambda: state.database(found))
            yield from examine(state.LAST_TICK, lambda: state.ticks(found, now))
            yield from examine(state.PAUSES, lambda: state.pauses(found, now))

    yield from examine("database", look)
    yield from examine("challenges", lambda: machine.challenges(config.acme, is_ticking=is_ticking))
