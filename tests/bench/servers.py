"""The world around sslctl, as a process of its own: Pebble and its DNS, the reference C4 and its edge.

Its CPU time is then not sslctl's, and the other way round. It ends when its standard input does. Each request is
one line of JSON, and so is each response: first `{"folder", "environment", "activation_seconds"}`, answered with the places of the world;
then any number of `{"do": "add", "domains", "points_at"}`, `{"do": "inventory", "exists"}` and `{"do": "cpu"}`.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sslctl.sandbox.cdn import ELSEWHERE, SandboxCdn, cname_target
from tests.bench.piped_process import PipedProcess

_NINETY_DAYS = 90 * 86_400


class Servers(PipedProcess):
    """A world in another process, with its files in `folder`; use as a context manager.

    `pebble` are Pebble's own switches. They add to `PEBBLE_VA_NOSLEEP=1`: Pebble would else wait for up to 15 seconds
    before each validation. C4 takes `activation_seconds` to activate an upload.
    """

    def __init__(self, folder: Path, *, activation_seconds: float = 0, **pebble: str) -> None:
        super().__init__("tests.bench.servers")
        self._folder = folder
        self._activation_seconds = activation_seconds
        self._pebble = pebble
        self.config = folder / "config.toml"
        self.directory_url = self.ca_bundle = self.webroot = ""
        self.challenge_port = 0

    def __enter__(self) -> Self:
        super().__enter__()
        places = self._ask(
            {
                "folder": str(self._folder),
                "environment": self._pebble,
                "activation_seconds": self._activation_seconds,
            }
        )
        self.directory_url, self.ca_bundle = places["directory_url"], places["ca_bundle"]
        self.webroot, self.challenge_port = places["webroot"], places["challenge_port"]
        return self

    def add(self, names: Sequence[str], *, elsewhere: bool = False) -> None:
        """Make customers' domains in C4, with CNAMEs to the CDN or elsewhere."""
        self._ask({"do": "add", "domains": list(names), "points_at": ELSEWHERE if elsewhere else None})

    def set_inventory(self, *, exists: bool) -> None:
        """Let C4 have an inventory of its domains, or none."""
        self._ask({"do": "inventory", "exists": exists})

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each part has used since its start."""
        found: dict[str, float] = self._ask({"do": "cpu"})
        return found

    def _ask(self, question: dict[str, Any]) -> Any:
        return json.loads(self.ask(json.dumps(question)))


def _add(world: SandboxCdn, names: Sequence[str], points_at: str | None) -> None:
    # One connection for all: thousands of names, where `Pebble.set_cname` makes a connection each.
    connection = http.client.HTTPConnection(urlsplit(world.pebble.records_url).netloc)
    for name in names:
        target = cname_target(name)
        world.c4.create_domain(name, cname_target=target)
        connection.request("POST", "/set-cname", json.dumps({"host": name, "target": points_at or target}))
        connection.getresponse().read()
    connection.close()


def _cpu_seconds(world: SandboxCdn) -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    dns, pebble = (_cpu_of(process) for process in world.pebble.process_ids)
    return {"C4 and edge": own.ru_utime + own.ru_stime, "Pebble": pebble, "DNS": dns}


def _cpu_of(process: int) -> float:
    # Fields 14 and 15 of proc(5), counted after the command's closing bracket: user and system time, in ticks.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start the world, do what is asked, stop when standard input ends."""
    first = json.loads(sys.stdin.readline())
    world = SandboxCdn(
        Path(first["folder"]),
        clock=lambda: datetime.now(UTC),
        certificate_seconds=_NINETY_DAYS,
        activation_seconds=first["activation_seconds"],
        pebble_environment=first["environment"],
    )
    with world:
        places = {
            "directory_url": world.pebble.directory_url,
            "ca_bundle": str(world.pebble.ca_bundle),
            "webroot": str(world.edge.webroot),
            "challenge_port": world.edge.standalone_port,
        }
        print(json.dumps(places), flush=True)
        for line in sys.stdin:
            question = json.loads(line)
            if question["do"] == "add":
                _add(world, question["domains"], question["points_at"])
                print("{}", flush=True)
            elif question["do"] == "inventory":
                world.c4.features.inventory = question["exists"]
                print("{}", flush=True)
            else:
                print(json.dumps(_cpu_seconds(world)), flush=True)


if __name__ == "__main__":
    main()
