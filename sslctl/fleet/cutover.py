"""Record which domains are before their cutover to the CDN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.store.interface.cutovers import Cutovers
from sslctl.store.interface.domains import Domains


class _Store(Cutovers, Domains, Protocol):
    """What this is read from and written to."""


def record(store: _Store, names: Sequence[str], *, is_before: bool | None) -> None:
    """Record whether the managed domains `names` are before their cutover; do nothing if `is_before` is None."""
    if is_before:
        store.begin_cutovers(names)
    if is_before is not False:
        return
    for domain in store.domains_named(names):
        store.end_cutover(domain, "a person ended it")
