"""Three hosts with one PostgreSQL, one configuration file, a real CA and a C4, for docs/several-hosts.md and for cuts of the network."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import trustme

from sslctl.sandbox.cdn import SandboxCdn
from tests.support import ROOT, environment_without_settings
from tests.support.network import Host, own_network
from tests.support.postgres import Cluster
from tests.support.sandbox import SSLCTL

NAMES = ("a", "b", "c")
DATABASE_PORT = 5432
DATABASE_HOST = "db.example.net"
STATE_FOLDER = "/var/lib/sslctl"
WEBROOT = "/var/lib/webroot"
_DATABASE = "sslctl"
_NINETY_DAYS = 90 * 86_400
_PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.stdout)


def port_of(url: str) -> int:
    """Return the port of `url`."""
    port = urlsplit(url).port
    assert port is not None
    return port


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class SeveralHosts:
    """Three hosts in a network of their own, which the thread that uses this as a context manager is in, too.

    Their files are below `folder`. `mode` is how challenges are answered. `pebble` are variables for the CA. The database and its roles are made as docs/postgres.md says, and without tables.
    """

    def __init__(
        self, folder: Path, *, mode: str = "stateless", pebble: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.cdn = SandboxCdn(
            folder / "cdn", clock=_now, certificate_seconds=_NINETY_DAYS, mode=mode, pebble_environment=pebble
        )
        self._stack = ExitStack()
        self.cluster: Cluster
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(own_network())
            self.cluster = self._start_cluster()
            starting.callback(self.cluster.close)
            starting.enter_context(self.cdn)
            self._configure()
            for number, name in enumerate(NAMES, 1):
                self.hosts[name] = starting.enter_context(self._make_host(name, number))
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url_of_administrator(self) -> str:
        """The connection string of the database for this process."""
        return f"{self.cluster.url(_DATABASE)}&options=-csearch_path%3Dsslctl"

    def add_to_url(self, parameters: str) -> None:
        """Add `parameters` to `state.url`."""
        text = self.config_path.read_text()
        self.config_path.write_text(text.replace("sslmode=verify-full", f"sslmode=verify-full{parameters}"))

    @property
    def config_path(self) -> Path:
        """The configuration file of all hosts."""
        return self.folder / "config.toml"

    def place(self, host: str, path: str) -> Path:
        """Return the file of the machine that is `path` on `host`."""
        top = next(top for top in ("var/lib", "media") if path.startswith(f"/{top}/"))
        return self.folder / host / path.lstrip("/").replace(top, top.replace("/", "-"), 1)

    def start(self, host: str, command: str | Sequence[str], **variables: str) -> subprocess.Popen[str]:
        """Start a command on `host`: a line for a shell, or the arguments of sslctl."""
        words = ["sh", "-c", command] if isinstance(command, str) else ["sslctl", *command]
        return self.hosts[host].start(*words, **variables)

    def run(
        self, host: str, command: str | Sequence[str], *, seconds: float = _PATIENCE, **variables: str
    ) -> Ended:
        """Run a command on `host` to its end."""
        return ended(self.start(host, command, **variables), seconds)

    def set_up(self) -> None:
        """Make the tables, give the hosts the key, and let the edge answer in stateless mode."""
        owner = f"postgresql://sslctl_owner@{DATABASE_HOST}/{_DATABASE}"
        made = self.run("a", ["init"], SSLCTL_STATE_URL=owner)
        assert made.code == 0, made
        for host in NAMES[1:]:
            self.carry_key(host, STATE_FOLDER)
        if self.cdn.is_stateless:
            self.answer_challenges(self.run("a", ["acme", "thumbprint"]).stdout.strip())

    def carry_key(self, host: str, folder: str) -> None:
        """Bring the key file of host `a` into the folder `folder` of `host`."""
        target = self.place(host, folder)
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = target / "master.key"
        key.write_bytes(self.place("a", f"{STATE_FOLDER}/master.key").read_bytes())
        key.chmod(0o600)

    def answer_challenges(self, thumbprint: str) -> None:
        """Let the edge answer challenges by itself."""
        self.cdn.thumbprint_path.write_text(f"{thumbprint}\n")

    def end_leases(self) -> None:
        """Let a minute pass, as it seems, without a heartbeat."""
        with self.cluster.connection(_DATABASE) as connection:
            connection.execute(
                "UPDATE sslctl.process SET seen_at = clock_timestamp() - interval '61 seconds'"
            )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a query of the administrator finds in the database."""
        with self.cluster.connection(_DATABASE) as connection:
            connection.execute("SET search_path = sslctl")
            return connection.execute(statement.encode()).fetchall()

    def _start_cluster(self) -> Cluster:
        authority = trustme.CA()
        server = authority.issue_cert(DATABASE_HOST)
        (self.folder / "root.crt").write_bytes(authority.cert_pem.bytes())
        cluster = Cluster(
            more=("listen_addresses=127.0.0.1", f"port={DATABASE_PORT}", "ssl=on"),
            files={
                "server.crt": server.cert_chain_pems[0].bytes().decode(),
                "server.key": server.private_key_pem.bytes().decode(),
                "pg_hba.conf": "local all all trust\nhostssl all all all trust\n",
            },
        )
        try:
            _set_up_database(cluster)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def _configure(self) -> None:
        url = f"postgresql://sslctl@{DATABASE_HOST}/{_DATABASE}?sslmode=verify-full"
        text = self.cdn.config_path.read_text()
        for key, value in {
            "dir": f'"{STATE_FOLDER}"\nurl = "{url}"', "webroot": f'"{WEBROOT}"', "http01_port": "80", "http01_address": '""',
        }.items():  # fmt: skip
            text, count = re.subn(f"(?m)^{key} = .*", f"{key} = {value}", text)
            assert count == 1, key
        self.config_path.write_text(text)
        self.config_path.chmod(0o600)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {DATABASE_HOST}\n")
        program = self.folder / "bin" / "sslctl"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.join(SSLCTL)} "$@"\n')
        program.chmod(0o755)

    def _make_host(self, name: str, number: int) -> Host:
        own = self.folder / name
        for each in ("var-lib", "media", "home/.postgresql"):
            (own / each).mkdir(mode=0o700, parents=True)
        (own / "var-lib" / "webroot").mkdir()
        (own / "home" / ".postgresql" / "root.crt").write_bytes((self.folder / "root.crt").read_bytes())
        places = {own / "var-lib": "/var/lib", own / "media": "/media", self.folder / "hosts": "/etc/hosts"}
        environment = environment_without_settings(
            SSLCTL_CONFIG=str(self.config_path),
            HOME=str(own / "home"),
            PATH=os.pathsep.join((str(self.folder / "bin"), os.environ.get("PATH", os.defpath))),
            PYTHONPATH=str(ROOT),
        )
        return Host(name, number, places, environment)


def ended(process: subprocess.Popen[str], seconds: float = _PATIENCE) -> Ended:
    """Wait for the end of a command, for at most `seconds`; kill it then, and raise `subprocess.TimeoutExpired`."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, stdout, stderr)


def _set_up_database(cluster: Cluster) -> None:
    """Make the database and its roles with the statements of docs/postgres.md."""
    block = re.search(r"```sql\n(.*?)```", (ROOT / "docs" / "postgres.md").read_text(), re.DOTALL)
    assert block is not None
    parts = block[1].split(f"\\c {_DATABASE}\n")
    for database, part in zip(("postgres", _DATABASE), parts, strict=True):
        with cluster.connection(database) as connection:
            for statement in part.split(";")[:-1]:
                connection.execute(statement.encode())
