"""Disks that are really full, without inodes, or read-only: small tmpfs mounts in place of the state folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslctl.app import utc_now
from sslctl.errors import Exit
from sslctl.sandbox.cdn import SandboxCdn
from tests.torture import invariants
from tests.torture.case import Case, describe_exit_codes
from tests.torture.faulty_process import InjectedFault
from tests.torture.sample_fleet import SampleFleet

_MEGABYTE = 1 << 20
_BALLAST = "ballast"
_LEFT = (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
# certbot's account, logs and certificates take more.
_LEFT_FOR_CERTBOT = (0, 16, 32, 48, 64, 96, 128, 192)
_INODES = (0, 1, 2)
_ORDERED = re.compile(r'Added order "\S+" to the db')
_ISSUED = re.compile(r"Issued certificate serial (\S+) for order")


def full(fleet: SampleFleet) -> Case:
    """Run ticks with little disk space left."""
    found, codes = [], Counter[int]()
    with mounted(fleet.state, "size=4m"):
        for kilobytes in _LEFT:
            fleet.restore()
            fill(fleet.state, kilobytes)
            ended = fleet.tick(InjectedFault())
            (fleet.state / _BALLAST).unlink()
            codes[ended.exit_code] += 1
            judged = fleet.judge(ended, most_orders=None if kilobytes else 0)
            found += [f"{kilobytes} KB left: {each}" for each in judged]
    return Case("tick on a full disk (tmpfs)", len(_LEFT), found, describe_exit_codes(codes))


def without_inodes(fleet: SampleFleet) -> Case:
    """Run ticks with few inodes left; each commit creates a file, its journal."""
    found, codes = [], Counter[int]()
    with mounted(fleet.state, "size=4m,nr_inodes=60"):
        for inodes in _INODES:
            fleet.restore()
            ballast = fleet.state / _BALLAST
            ballast.mkdir()
            for number in range(os.statvfs(fleet.state).f_ffree - inodes):
                (ballast / str(number)).touch()
            ended = fleet.tick(InjectedFault())
            for path in ballast.iterdir():
                path.unlink()
            ballast.rmdir()
            codes[ended.exit_code] += 1
            found += [
                f"{inodes} inodes left: {each}"
                for each in fleet.judge(ended, most_orders=None if inodes else 0)
            ]
    return Case("tick on a disk without inodes (tmpfs)", len(_INODES), found, describe_exit_codes(codes))


def read_only(fleet: SampleFleet) -> Case:
    """Run a tick on a disk that was remounted read-only, as file systems do after an error."""
    with mounted(fleet.state, "size=4m"):
        fleet.restore()
        _mount("-o", "remount,ro", str(fleet.state))
        ended = fleet.tick(InjectedFault())
        _mount("-o", "remount,rw", str(fleet.state))
        found = [] if ended.exit_code == Exit.UNUSABLE else [f"I8: exit code {ended.exit_code}, wanted 8"]
        found += fleet.judge(ended, most_orders=0)
    return Case("tick on a read-only disk", 1, found, describe_exit_codes(Counter([ended.exit_code])))


def new_state(fleet: SampleFleet) -> Case:
    """Let `init` create the state with too little disk space, then with enough."""
    found, codes = [], Counter[int]()
    with mounted(fleet.state, "size=4m"):
        for kilobytes in _LEFT:
            fleet.clear()
            fill(fleet.state, kilobytes)
            ended = fleet.cdn.sslctl("init")
            codes[ended.exit_code] += 1
            if ended.exit_code not in (Exit.OK, Exit.UNUSABLE):
                found.append(f"{kilobytes} KB left: exit code {ended.exit_code}: {ended.stderr}")
            (fleet.state / _BALLAST).unlink()
            result = fleet.cdn.sslctl("init")
            if result.exit_code:
                found.append(
                    f"{kilobytes} KB were left: with enough disk space, exit code {result.exit_code}: {result.stderr}"
                )
    return Case("creating the state on a full disk (tmpfs)", len(_LEFT), found, describe_exit_codes(codes))


def certbot(folder: Path) -> Case:
    """Add domains through real certbot with little disk space left, then free the space and add them again."""
    found, codes, extra = [], Counter[int](), 0
    with SandboxCdn(folder, clock=utc_now) as world:
        for number, kilobytes in enumerate(_LEFT_FOR_CERTBOT):
            state, name, log = (
                folder / f"state-{number}",
                f"shop{number}.test",
                folder / "pebble" / "pebble.log",
            )
            world.add_domain(name)
            state.mkdir(0o700)
            begins = len(log.read_text())
            # Larger than the free space without which sslctl orders nothing.
            with mounted(state, f"size={_MEGABYTE * 96}"):
                _sslctl(world, state, "init")
                fill(state, kilobytes)
                code, said = _sslctl(world, state, "add", name)
                codes[code] += 1
                placed = len(_ORDERED.findall(log.read_text()[begins:]))
                if code == Exit.BUG:
                    found.append(f"{kilobytes} KB left: exit code 1: {said}")
                if placed:
                    found.append(f"{kilobytes} KB left: an order was placed on a disk that is nearly full")
                (state / _BALLAST).unlink()
                code, said = _sslctl(world, state, "add", name)
                if code != Exit.OK:
                    found.append(
                        f"{kilobytes} KB were left: with enough disk space, exit code {code}: {said}"
                    )
                orders = len(_ORDERED.findall(log.read_text()[begins:]))
                extra += orders - 1
                found += [
                    f"{kilobytes} KB were left: {each}" for each in _held(world, state, name, begins, orders)
                ]
    found_orders = f"{extra} extra orders; {describe_exit_codes(codes)}"
    return Case("add with real certbot on a full disk (tmpfs)", len(_LEFT_FOR_CERTBOT), found, found_orders)


def _held(world: SandboxCdn, state: Path, name: str, begins: int, orders: int) -> list[str]:
    log = (world.folder / "pebble" / "pebble.log").read_text()[begins:]

    def installed(domain: str) -> str | None:
        placed = world.c4.serving(domain)
        return None if placed is None else placed.fingerprint

    outside = invariants.Outside(lambda: _ISSUED.findall(log), lambda: {name: orders}, installed)
    return invariants.violations(state, outside, utc_now(), most_orders=lambda _: 2, acknowledged=[name])


def _sslctl(world: SandboxCdn, state: Path, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "SSLCTL_CONFIG": str(world.config_path), "SSLCTL_STATE_DIR": str(state)}
    done = subprocess.run(
        [sys.executable, "-m", "sslctl", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout + done.stderr


def fill(folder: Path, kilobytes: int) -> None:
    """Fill the disk of `folder` except for `kilobytes`."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    (folder / _BALLAST).write_bytes(bytes(free - kilobytes * 1024))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs on the existing folder `folder` within the block. Needs root."""
    _mount("-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
