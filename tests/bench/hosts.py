"""Several ticks on one PostgreSQL, each with a folder of its own as on several hosts, at a CA that takes its time.

All of them share the cores of this machine with the database, the CA and C4. So the rate grows until the cores are full.

At so many requests at once Pebble 2.4 hangs now and then, for good: its search for a valid authorization holds the lock of all objects
while it waits for that of one. The ticks say that the CA does not answer, and end. Such a run is not one of several hosts; it is repeated.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sslctl.errors import Exit
from sslctl.rules.reasons import Code
from tests.bench.fleet import names
from tests.bench.issuance import world
from tests.bench.meter import Cost, Failed
from tests.bench.program import Sslctl
from tests.bench.report import Part, Row, Table, at_least, number
from tests.bench.servers import Servers
from tests.support.postgres import DURABLE, Cluster
from tests.support.suite import Progress

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: so many ticks at once, with each number of workers, and so many due domains for each tick.

    Ten for each worker: the start of the ticks, and their last orders, when most workers have none, take some seconds whatever the number.
    """

    hosts: tuple[int, ...] = (1, 2, 4)
    domains: tuple[tuple[int, int], ...] = ((8, 80), (32, 320))
    is_durable: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    """What `hosts` ticks with `workers` each took for `domains` certificates. `busy` is the share of the cores in use."""

    hosts: int
    workers: int
    domains: int
    wall: float
    busy: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.domains / self.wall


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure the rate of each number of ticks. Needs Pebble and PostgreSQL."""
    with closing(Cluster(DURABLE, is_on_disk=True) if sizes.is_durable else Cluster()) as cluster:
        runs = []
        for workers, domains in sizes.domains:
            for hosts in sizes.hosts:
                progress(f"{hosts} ticks with {workers} workers each, {domains * hosts} domains")
                runs.append(
                    _measure_at_an_answering_ca(cluster, folder, hosts, workers, domains * hosts, progress)
                )
    return Part(_rows(runs), [_table(runs)])


def _measure_at_an_answering_ca(
    cluster: Cluster, folder: Path, hosts: int, workers: int, domains: int, progress: Progress
) -> _Run:
    """Measure one, in a world of its own; repeat it if the CA hung meanwhile. Raise `Failed` if it did so several times."""
    for attempt in range(1, _ATTEMPTS + 1):
        # With one thread Pebble seldom stops between its two locks.
        with world(PEBBLE_VA_NOSLEEP="0", PEBBLE_WFE_NONCEREJECT="0", GOMAXPROCS="1") as servers:
            found = _measure_one(servers, cluster, folder, hosts, workers, domains)
        if found is not None:
            return found
        progress(f"the CA hung in attempt {attempt} of {_ATTEMPTS}")
    raise Failed(f"the CA hung {_ATTEMPTS} times")


def _measure_one(
    servers: Servers, cluster: Cluster, folder: Path, hosts: int, workers: int, domains: int
) -> _Run | None:
    """Let `hosts` ticks take `domains` recorded domains to Success together. Each host has an account at the CA already.

    Return None if the CA hung.
    """
    many = names(domains, f"hosts{workers}x{hosts}")
    firsts = names(hosts, f"first{workers}x{hosts}")
    servers.add([*firsts, *many])
    database = cluster.new_database()
    with TemporaryDirectory(dir=folder) as own:
        ticks = _install(servers, cluster.url(database), Path(own), hosts, workers)
        for sslctl, first in zip(ticks, firsts, strict=True):
            sslctl.run("add", first)
        listed = Path(own) / "names.txt"
        listed.write_text("\n".join(many))
        ticks[0].run("add", "--no-wait", "--from-file", str(listed))
        before, began = _cores(), time.perf_counter()
        with ThreadPoolExecutor(hosts) as pool:
            costs = list(pool.map(_tick, ticks))
        wall, after = time.perf_counter() - began, _cores()
        pending = ticks[0].ask("list", "--status", "Pending")["domains"]
        hung = any(one["reason"]["code"] == Code.CA_UNAVAILABLE for one in pending)
        if not hung:
            ticks[0].require(domains + hosts, "Success")
    cluster.drop(database)
    if hung:
        return None
    busy, idle = (end - start for start, end in zip(before, after, strict=True))
    cpu_seconds = sum(cost.cpu_seconds for cost in costs)
    return _Run(hosts, workers, domains, wall, busy / (busy + idle), cpu_seconds)


def _tick(sslctl: Sslctl) -> Cost:
    return sslctl.run("daemon-tick", "--quiet", accept=(Exit.OK, Exit.SOME_NOT_WELL))


def _install(servers: Servers, url: str, own: Path, hosts: int, workers: int) -> list[Sslctl]:
    """Return sslctl as it is on each host: a folder for each, with the same key file, and one database."""
    found: list[Sslctl] = []
    for host in range(hosts):
        state = own / str(host) / "state"
        state.mkdir(mode=0o700, parents=True)
        sslctl = Sslctl(servers.config, state).with_settings(
            acme_mode="webroot", acme_workers=str(workers), state_url=url
        )
        if found:
            shutil.copy(found[0].state / "master.key", state / "master.key")
        else:
            sslctl.run("init")
        found.append(sslctl)
    return found


def _cores() -> tuple[float, float]:
    """Return for how long the cores of this machine were busy, and idle, since it started, in seconds."""
    # The first line of proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, and parts of these.
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    idle = ticks[3] + ticks[4]
    each = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - idle) / each, idle / each


def _alone(runs: Sequence[_Run], run: _Run) -> _Run:
    """Return the run of one tick with as many workers as each of `run` has."""
    return next(one for one in runs if one.hosts == 1 and one.workers == run.workers)


def _rows(runs: Sequence[_Run]) -> list[Row]:
    """Return the rate of several ticks against as many times that of one, or against what the cores allow at its use of them."""
    rows = []
    for run in runs:
        if run.hosts > 1:
            one = _alone(runs, run)
            times, cores = run.rate / one.rate, 1 / one.busy
            what = f"{run.hosts} ticks at once, {run.workers} workers each, of what {run.hosts} times one tick or the cores allow"
            note = f"{number(times)} times one tick, {run.busy:.0%} of the cores in use"
            rows.append(at_least(what, 0.85, "times", [times / min(run.hosts, cores)], note))
    return rows


def _table(runs: Sequence[_Run]) -> Table:
    head = (
        "ticks", "workers each", "certificates", "a second", "times one tick", "cores in use", "CPU seconds of the ticks, each",
    )  # fmt: skip
    rows = [
        (
            f"{run.hosts}",
            f"{run.workers}",
            f"{run.domains}",
            number(run.rate),
            number(run.rate / _alone(runs, run).rate),
            f"{run.busy:.0%}",
            number(run.cpu_seconds / run.domains),
        )
        for run in runs
    ]
    return Table("Ticks on one PostgreSQL at a CA that waits up to 4 s before each validation", head, rows)
