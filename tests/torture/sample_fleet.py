"""A small fleet with one domain of each kind, whose state, CA and C4 can be restored together."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Self

from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock
from tests.torture.faulty_process import Ended, InjectedFault, sslctl
from tests.torture.invariants import Outside, violations
from tests.torture.persistent_ca import PersistentCa

# What a tick does for each of these: renew, issue, upload, and nothing.
OLD, NEW, OWED, WELL, TEXT, AWAY = (f"{kind}.test" for kind in ("old", "new", "owed", "well", "text", "away"))
HEALTHY = (OLD, NEW, OWED, WELL, TEXT)
# How many orders each costs, including the tick.
ORDERS = {OLD: 2, NEW: 1, OWED: 1, WELL: 1}
_DOCUMENTED = (
    Exit.OK, Exit.PENDING, Exit.FAILURE, Exit.SOME_NOT_WELL, Exit.EMERGENCY, Exit.UNUSABLE, Exit.TRY_LATER,
)  # fmt: skip


class SampleFleet:
    """A fleet right before the tick that renews `OLD`; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.cdn = Cdn(folder, Clock())
        self.ca = PersistentCa(folder / "ca.json", self.cdn.clock)
        self.cdn.issuer = self.ca
        self.state = folder / "state"
        self.database = self.state / "sslctl.db"
        self._saved = folder / "saved"

    def __enter__(self) -> Self:
        self.cdn.__enter__()
        # On a busy machine a slow response would look like a fault.
        config = self.cdn.config_path.read_text()
        self.cdn.config_path.write_text(re.sub(r"(?<=\btimeout_seconds = )\d+", "20", config))
        self._make_fleet()
        self._sites = dict(self.cdn.c4._records._sites)
        self._memory = (self.cdn.folder / "ca.json").read_text()
        self._at = self.cdn.clock()
        shutil.copytree(self.state, self._saved)
        return self

    def __exit__(self, *arguments: object) -> None:
        self.cdn.__exit__(*arguments)

    def _make_fleet(self) -> None:
        cdn = self.cdn
        for name in (OLD, NEW, OWED, WELL, TEXT):
            cdn.add_domain(name)
        cdn.add_domain(AWAY, points_at="elsewhere.test")
        self._must("add", OLD)
        cdn.clock.move(days=60)
        self._must("add", WELL)
        self._must("add", TEXT, *cdn.paste(cdn.text_pair(TEXT, days=365)))
        self._must("add", AWAY, exit_code=Exit.FAILURE)
        cdn.clock.move(days=24)
        cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
        self._must("add", OWED, exit_code=Exit.EMERGENCY)
        cdn.c4.heal()
        app = cdn.app()
        app.store.add_domain(NEW, (), Source.C4)
        app.close()
        assert cdn.clock() == START + timedelta(days=84)

    def _must(self, *arguments: str, exit_code: int = Exit.OK) -> None:
        result = self.cdn.sslctl(*arguments)
        assert result.exit_code == exit_code, (arguments, result)

    def restore(self) -> None:
        """Restore everything as it was in the beginning, in the same folder."""
        self.clear()
        shutil.copytree(self._saved, self.state, dirs_exist_ok=True)
        self.cdn.c4._records._sites.clear()
        self.cdn.c4._records._sites.update(self._sites)
        (self.cdn.folder / "ca.json").write_text(self._memory)
        self.cdn.clock.at = self._at

    def clear(self) -> None:
        """Delete the content of the state folder."""
        for path in self.state.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def tick(self, fault: InjectedFault) -> Ended:
        """Run a tick in a process of its own, with `fault` injected."""
        ca = self.cdn.folder / "ca.json"
        return sslctl(self.cdn.config_path, ca, self.cdn.clock(), ["daemon-tick"], fault)

    def judge(self, ended: Ended, *, most_orders: int | None = None) -> list[str]:
        """Return the violations after a faulty tick that ended as `ended`, then run another tick and check again.

        `most_orders` is how many orders the faulty tick may have placed; None leaves that to the invariants.
        """
        found = [] if ended.exit_code in _DOCUMENTED else [f"I8: exit code {ended.exit_code}: {ended.stderr}"]
        if ended.exit_code == Exit.UNUSABLE and "sslctl: error: " not in ended.stderr:
            found.append("I8: exit code 8 without a message")
        orders = self.ca.orders_by_name()
        placed = orders.total() - sum(ORDERS.values()) + 2
        if most_orders is not None and placed > most_orders:
            found.append(f"{placed} orders were placed with a state that cannot be written")
        recorded = self._recorded_orders()
        found += [
            f"I1: {count} orders were placed for {name}, of which {recorded.get(name, 0)} were recorded before"
            for name, count in orders.items()
            if count > recorded.get(name, 0)
        ]
        self.cdn.clock.move(days=1)
        result = self.cdn.sslctl("daemon-tick")
        if result.exit_code != Exit.SOME_NOT_WELL:
            found.append(f"the next tick ended with {result.exit_code}: {result.stderr}")
        outside = Outside(self.ca.serials, self.ca.orders_by_name, self.cdn.installed)
        return found + violations(
            self.state,
            outside,
            self.cdn.clock(),
            # One more if the order's URL could not be stored.
            most_orders=lambda name: ORDERS.get(name, 0) + 1,
            acknowledged=(*HEALTHY, AWAY),
            healthy=HEALTHY,
        )

    @property
    def extra_orders(self) -> int:
        """How many orders were placed beyond those of a tick without faults."""
        return self.ca.orders_by_name().total() - sum(ORDERS.values())

    def _recorded_orders(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.database)) as connection:
            return dict(
                connection.execute(
                    "SELECT name, count(*) FROM acme_order JOIN domain ON domain.id = domain_id GROUP BY 1"
                )
            )
