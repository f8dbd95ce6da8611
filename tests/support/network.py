"""Hosts in namespaces of Linux: each has a network, processes, a name and some folders of its own, and a cable that can be cut.

The servers of the tests listen on 127.0.0.1. They run in a network of their own (`own_network`), which the cables lead to: on a host,
127.0.0.1 is the address of these servers, with their ports.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

_CLONE_NEWNET = 0x40000000
_START_SECONDS = 20
# Rules of routing with this number come before that of the host's own addresses, which is moved behind them.
_BEFORE, _OWN = "10", "100"
_OWN_FIRST = (f"ip rule add priority {_OWN} lookup local", "ip rule del priority 0")
_HOST = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--net",
    "--mount",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
_WITHOUT = "while ip rule del iif {} 2>/dev/null; do :; done"
# $1 is the name, the others are pairs of a folder or file and its place. A shell takes the ends of orphans as init does.
_INIT = """
set -e
hostname "$1"; shift
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
ip link set lo up
# 127.0.0.1 is elsewhere.
ip addr del 127.0.0.1/8 dev lo
for of in all default; do echo 1 >/proc/sys/net/ipv4/conf/$of/route_localnet; done
echo ready
while :; do sleep 3600 & wait; done
"""


@cache
def missing() -> str:
    """Return why hosts cannot be made here, empty if they can."""
    if os.geteuid() != 0:
        return "only root makes networks of several hosts"
    probe = "ip link add cable1 type veth peer name eth0 && ip rule add priority 10 iif cable1 ipproto tcp dport 1 blackhole"
    try:
        tried = subprocess.run([*_HOST, "sh", "-ec", probe], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    return (
        f"this machine permits no networks of several hosts: {tried.stderr.strip()}"
        if tried.returncode
        else ""
    )


@contextmanager
def own_network() -> Iterator[None]:
    """Let this thread, and the threads and processes that it starts, be in a new network for the block."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        _require(libc.unshare(_CLONE_NEWNET))
        try:
            _run("ip link set lo up", *_OWN_FIRST)
            for of in ("all", "default"):
                Path(f"/proc/sys/net/ipv4/conf/{of}/route_localnet").write_text("1")
            yield
        finally:
            _require(libc.setns(before.fileno(), _CLONE_NEWNET))


class Host:
    """The host `name`, the number `number` of those in `own_network`; use as a context manager.

    `places` are its own folders and files, each with the path at which it has them. Its processes have the variables of `environment`.
    """

    def __init__(
        self, name: str, number: int, places: Mapping[Path, str], environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.address = f"10.97.{number}.2"
        self.environment = dict(environment)
        self._cable = f"cable{number}"
        self._gateway = f"10.97.{number}.1"
        self._places = [str(each) for pair in places.items() for each in pair]
        self._process: subprocess.Popen[str]
        self._init = 0
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self.switch_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.switch_off()
        for process in self._started:
            if process.stdout is not None and not process.stdout.closed:
                process.communicate(timeout=_START_SECONDS)

    def switch_on(self) -> None:
        """Start it, with its cable."""
        self._process = subprocess.Popen(
            [*_HOST, "sh", "-c", _INIT, "init", self.name, *self._places],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(self._process.communicate()[1])
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self._init = int(children.read_text())
        _run(
            f"ip link add {self._cable} type veth peer name eth0 netns {self._init}",
            f"ip addr add {self._gateway}/24 dev {self._cable}",
            f"ip link set {self._cable} up",
        )
        _run(
            f"ip addr add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add 127.0.0.1/32 via {self._gateway} dev eth0 src {self.address}",
            *_OWN_FIRST,
            through=self.command(),
        )

    def switch_off(self) -> None:
        """End all of its processes at once, as a power cut does. What it has on disk stays."""
        if self._process.poll() is None:
            os.kill(self._init, signal.SIGKILL)
        self._process.communicate(timeout=_START_SECONDS)
        # It ends with the network of the host, which may still be ending.
        subprocess.run(["ip", "link", "del", self._cable], capture_output=True, check=False)

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` on the host. They end with the process that runs it."""
        entered = ["nsenter", "--target", str(self._init), "--net", "--mount", "--uts", "--pid"]
        return [*entered, "--", "setpriv", "--pdeathsig", "KILL", *words]

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start `words` on the host, with more `variables`."""
        process = subprocess.Popen(
            self.command(*words),
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip
        self._started.append(process)
        return process

    def cut(self, port: int | None = None) -> None:
        """Drop, from now on, all packets between it and the servers, or those of one port, without a word to either side."""
        to, back = (f"ipproto tcp {end} {port}" if port else "" for end in ("dport", "sport"))
        _run(f"ip rule add priority {_BEFORE} iif {self._cable} {to} blackhole")
        _run(f"ip rule add priority {_BEFORE} iif eth0 {back} blackhole", through=self.command())

    def mend(self) -> None:
        """Let all packets pass again."""
        _run(_WITHOUT.format(self._cable))
        _run(_WITHOUT.format("eth0"), through=self.command())


def _run(*commands: str, through: Sequence[str] = ()) -> None:
    done = subprocess.run(
        [*through, "sh", "-ec", "\n".join(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (commands, done.stderr)


def _require(returned: int) -> None:
    if returned:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
