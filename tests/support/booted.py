"""A machine with systemd as its first process, to run the units of contrib/systemd: namespaces, and a copy-on-write root.

It shares the network with this one, so that the sandbox can be reached, and nothing that is written there stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sslctl.rules.claim_names import domain_claim
from sslctl.sandbox.cdn import SandboxCdn
from tests.support import ROOT
from tests.support.documented import blocks

NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--cgroup")
PROGRAM = """#!/bin/sh
export PYTHONPATH=/opt/project:/opt/packages LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python{version} -m sslctl "$@"
"""
IDLE = "[Unit]\nDefaultDependencies=no\n"
# There is no network that comes up here, nor a journal; and ticks follow one another as they never do else.
HERE = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nStandardOutput=append:/run/tick\nStandardError=append:/run/tick\n"
OPERATOR = ("--reuid=sslctl", "--regid=sslctl", "--init-groups")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": "/opt/python/lib"}
_VERSION = ".".join(map(str, sys.version_info[:2]))
# What takes seconds here may take minutes while other tests run.
_PATIENCE = 300.0


def can_boot() -> bool:
    """Return whether such a machine can be started here, which needs root."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not Path("/lib/systemd/systemd").exists():
        return False
    make = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && mount -t cgroup2 cgroup2 /mnt/a"
    make += " && mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/b,workdir=/mnt/c /mnt/a"
    tried = subprocess.run(
        ["unshare", "--fork", *NAMESPACES, "sh", "-c", make],
        capture_output=True,
        check=False,
        timeout=_PATIENCE,
    )
    return tried.returncode == 0


def _schedule() -> str:
    """Return the commands of docs/production.md that schedule the tick, without those for which systemd must run."""
    page = (ROOT / "docs" / "production.md").read_text()
    (block,) = [each for each in blocks(page) if "useradd" in each.text]
    commands = [step.command for step in block.steps]
    return "\n".join(line for line in commands if not line.startswith(("systemctl ", "journalctl ")))


class Machine:
    """Use as a context manager. `cdn` is what its sslctl works with; the user and the units are those of docs/production.md."""

    def __init__(self, folder: Path, cdn: SandboxCdn) -> None:
        self._folder = folder
        self._cdn = cdn
        self._booting: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> Self:
        for name in ("overlay", "root", "files"):
            (self._folder / name).mkdir()
        self._write_files(self._folder / "files")
        places = [
            self._folder,
            sys.base_prefix,
            sysconfig.get_path("purelib"),
            ROOT,
            self._cdn.folder / "webroot",
        ]
        program = self._folder / "files" / "usr" / "local" / "bin" / "sslctl"
        program.write_text(PROGRAM.format(version=_VERSION))
        program.chmod(0o755)
        self._booting = subprocess.Popen(
            [
                "unshare",
                "--fork",
                "--kill-child",
                *NAMESPACES,
                "sh",
                str(Path(__file__).with_name("booted.sh")),
                *map(str, places),
            ]
        )
        try:
            self._await_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._booting is not None
        # --kill-child: the first process goes with it, and with that one all of the machine.
        self._booting.kill()
        self._booting.wait()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine, as root."""
        return subprocess.run(
            self._enter(*command),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )

    @property
    def python(self) -> str:
        """The path of Python on the machine."""
        return f"/opt/python/bin/python{_VERSION}"

    def sslctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an operator does: `sudo -u sslctl sslctl ...`."""
        return self.run("setpriv", *OPERATOR, "sslctl", *arguments)

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Let an operator hold the claim of the domain `name` during the block."""
        program = (
            "import sys\n"
            "from datetime import timedelta\n"
            "from sslctl.app import App\n"
            "app = App(None)\n"
            f"print(app.store.claim([{domain_claim(name)!r}], timedelta(hours=1)), flush=True)\n"
            "sys.stdin.read()\n"
        )
        command = self._enter(
            "setpriv", *OPERATOR, "sh", "-c", PROGRAM.format(version=_VERSION).replace("-m sslctl", "-c")
        )
        with subprocess.Popen(
            [*command, "sh", program],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as operator:
            assert operator.stdout is not None
            assert name in operator.stdout.readline()
            yield
            operator.communicate("")

    def try_in_sandbox(self, program: str) -> str:
        """Return what a Python program writes as a service with the settings of sslctl.service."""
        units = "/etc/systemd/system"
        script = (
            f"cp -r {units}/sslctl.service.d /run/systemd/system/try.service.d"
            " && sed -i s#/run/tick#/run/try# /run/systemd/system/try.service.d/here.conf"
            f" && sed 's#^ExecStart=.*#ExecStart=/opt/try#' {units}/sslctl.service > /run/systemd/system/try.service"
            " && chmod 755 /opt/try && systemctl daemon-reload && systemctl start try.service; cat /run/try"
        )
        self.run("sh", "-c", f"cat > /opt/try <<'E'\n#!{self.python}\n{program}E")
        return self.run("sh", "-c", script).stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        shown = self.run("systemctl", "show", unit, *(f"--property={each}" for each in properties)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def said(self) -> str:
        """Return what the ticks wrote."""
        return self.run("cat", "/run/tick").stdout

    def _enter(self, *command: str) -> list[str]:
        return ["nsenter", "--target", str(self._first), "--all", "--root", "--wdns=/", *command]

    def _await_boot(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            assert self._booting is not None
            assert self._booting.poll() is None, "the machine did not come up"
            children = (
                Path(f"/proc/{self._booting.pid}/task/{self._booting.pid}/children").read_text().split()
            )
            if children:
                self._first = int(children[0])
                if self.run("systemctl", "is-active", "idle.target").stdout.strip() == "active":
                    return
            time.sleep(0.1)
        raise AssertionError("the machine did not come up in time")

    def _write_files(self, files: Path) -> None:
        units = files / "etc" / "systemd" / "system"
        for folder in (units / "sslctl.service.d", files / "etc" / "sslctl", files / "usr" / "local" / "bin"):
            folder.mkdir(parents=True)
        (units / "idle.target").write_text(IDLE)
        (units / "sslctl.service.d" / "here.conf").write_text(HERE)
        (files / "schedule.sh").write_text(_schedule())
        config = self._cdn.config_path.read_text()
        names = {
            "c4-token": "c4.token",
            "c4-ca.pem": "c4-ca.pem",
            self._cdn.pebble.ca_bundle.name: "ca.pem",
        }
        for source in (
            self._cdn.folder / "c4-token",
            self._cdn.folder / "c4-ca.pem",
            self._cdn.pebble.ca_bundle,
        ):
            place = f"/etc/sslctl/{names[source.name]}"
            shutil.copy(source, files / place[1:])
            config = config.replace(str(source), place)
        config = config.replace(str(self._cdn.folder / "webroot"), "/var/www/acme")
        config = config.replace(str(self._cdn.folder / "state"), "/var/lib/sslctl")
        (files / "etc" / "sslctl" / "config.toml").write_text(config)
