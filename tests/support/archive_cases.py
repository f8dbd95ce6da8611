"""What tests of archived history share: two years of history, and its archiving."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from sslctl.fleet.history_pruning import Pruning, Sizes
from sslctl.rules.history_seal import Seal
from sslctl.rules.model import Certificate, Source
from sslctl.store.interface import Store
from tests.support.fakes import Clock
from tests.support.store_cases import issue, serve

NAMES = ("a.test", "b.test")
RENEWALS = 12
KEEP = timedelta(days=180)
SMALL = Sizes(events=30, certificates=5, orders=4)


def write_years(store: Store, clock: Clock) -> None:
    """Renew two domains every 60 days for two years."""
    for name in NAMES:
        store.add_domain(name, (), Source.C4)
    for _ in range(RENEWALS):
        for name in NAMES:
            serve(store, issue(store, store.domain(name), at=clock()))  # type: ignore[arg-type]
        clock.move(days=60)


def prune(store: Any, clock: Clock, folder: Path, sizes: Sizes = SMALL) -> list[Seal]:
    """Archive what is older than `KEEP` into small archives."""
    until = clock() - KEEP
    return list(Pruning(store, folder, until, clock=clock, sizes=sizes, sleep=lambda _seconds: None))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an archive."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def versions(store: Store) -> dict[str, list[int]]:
    """Return the versions of each domain that are in the database, the oldest first."""
    return {name: [each.version for each in certificates(store, name)][::-1] for name in NAMES}


def certificates(store: Store, name: str) -> list[Certificate]:
    return store.certificates(store.domain(name))
