"""What calls to other services cost: passes over many domains by threads of one process, and single calls of C4 and DNS.

The passes are the pipeline's own, over a real store, against the reference C4 and Pebble's DNS in a process of their
own. Prints one JSON object. Wall times are valid only on an idle machine; CPU times also elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dns.name
from dns.rdatatype import A

from sslctl.app import App
from sslctl.preflight.lookup import Resolver
from sslctl.rules.reasons import Code
from sslctl.rules.status import derive_status
from tests.bench.fleet import Fleet, names
from tests.bench.program import Sslctl
from tests.bench.servers import Servers

Figures = dict[str, Any]


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--domains", type=int, default=10_000, help="how many are rechecked, and how many uploaded"
    )
    parser.add_argument("--calls", type=int, default=10_000, help="how many calls of each kind")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[128], help="the calls are measured with each"
    )
    wanted = parser.parse_args()
    with TemporaryDirectory(prefix="sslctl-outside-") as folder, Servers(Path(folder) / "world") as servers:
        bench = _Bench(Path(folder), servers, wanted.threads[0])
        figures = {"domains": wanted.domains, "threads": wanted.threads[0]}
        figures["rechecks"] = bench.run_passes(wanted.domains, Fleet.failing, elsewhere=True)
        figures["uploads"] = bench.run_passes(wanted.domains, Fleet.owed, elsewhere=False)
        figures["calls"] = [bench.call(wanted.calls, threads) for threads in wanted.threads]
    print(json.dumps(figures, indent=2))


class _Bench:
    def __init__(self, folder: Path, servers: Servers, threads: int) -> None:
        self._folder = folder
        self._servers = servers
        self._threads = threads

    def run_passes(self, count: int, kind: Callable[..., Any], *, elsewhere: bool) -> Figures:
        """Make a pass over each of `count` domains of one kind. Raise `AssertionError` if one ends with another result."""
        many = names(count, "outside" if elsewhere else "upload")
        self._servers.add(many, elsewhere=elsewhere)
        app = self._app(kind.__name__)
        Fleet(Sslctl(self._servers.config, app.config.state.dir)).fill(many, kind)
        pipeline = app.pipeline(lambda _domain, _step: None)
        ended: list[Code | None] = []

        def run(name: str) -> None:
            ended.append(derive_status(pipeline.run(name), app.clock()).code)

        figures = self._measure(run, many, self._threads)
        app.close()
        assert set(ended) == {Code.CNAME_ELSEWHERE if elsewhere else None}, set(ended)
        return figures

    def call(self, count: int, threads: int) -> Figures:
        """Query C4 and DNS for one domain `count` times each."""
        (name,) = names(1, "outside")
        app = self._app("calls")
        resolver, asked = Resolver(app.config.dns), dns.name.from_text(name)
        calls: dict[str, Callable[[int], object]] = {
            "C4 look-up": lambda _: app.control_plane.domain(name),
            "DNS lookup": lambda _: resolver.look_up(asked, A),
        }
        figures: Figures = {"threads": threads}
        for kind, call in calls.items():
            # Connect first, so that only the calls are measured.
            self._measure(call, range(4 * threads), threads)
            figures[kind] = self._measure(call, range(count), threads)
        app.close()
        return figures

    def _app(self, state: str) -> App:
        os.environ["SSLCTL_STATE_DIR"] = str(self._folder / state)
        app = App(self._servers.config)
        _ = app.control_plane
        return app

    def _measure(self, work: Callable[[Any], object], items: Iterable[Any], threads: int) -> Figures:
        """Call `work` with each of `items` in `threads` threads; return the figures."""
        many: Sequence[Any] = list(items)
        served, began, cpu = self._servers.cpu_seconds(), time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, many):
                pass
        wall, own = time.perf_counter() - began, time.process_time() - cpu
        others = {part: after - served[part] for part, after in self._servers.cpu_seconds().items()}
        return {
            "per_second": round(len(many) / wall),
            "cpu_ms": round(1000 * own / len(many), 3),
            "servers_cpu_ms": {part: round(1000 * spent / len(many), 3) for part, spent in others.items()},
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }


if __name__ == "__main__":
    main()
