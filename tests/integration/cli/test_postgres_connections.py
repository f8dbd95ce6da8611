"""Connections to a PostgreSQL server that wants TLS and a password, and all that may be wrong with one."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn
from tests.support.command_line import environment, run
from tests.support.fakes import Clock
from tests.support.postgres_tls import TlsServer, start

pytestmark = pytest.mark.postgres

PASSWORD = "hunt3r/w@rd%:x"
_ROLES = f"""
CREATE ROLE sslctl_owner LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE nobody_here LOGIN PASSWORD '{PASSWORD}';
CREATE DATABASE sslctl OWNER sslctl_owner TEMPLATE template0;
REVOKE CONNECT ON DATABASE sslctl FROM PUBLIC;
CREATE DATABASE open_to_all OWNER sslctl_owner TEMPLATE template0
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """A server with a database, its owner, and a role without rights."""
    started = start(tmp_path_factory.mktemp("tls"))
    for statement in _ROLES.split(";"):
        started.cluster.execute(statement)
    yield started
    started.cluster.close()


@pytest.fixture
def cdn(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    with Cdn(tmp_path, clock, has_state=False, state_url="postgresql://in.the/way") as running:
        yield running


def configure(cdn: Cdn, url: str, *, in_file: bool = False) -> None:
    """Name the database in the configuration, or in a file of it."""
    text, named = cdn.config_path.read_text(), f'url = "{url}"'
    if in_file:
        path = cdn.folder / "database-url"
        path.write_text(f"{url}\n")
        path.chmod(0o600)
        named = f'url_file = "{path}"'
    cdn.config_path.write_text(text.replace('url = "postgresql://in.the/way"', named))


def write_pgpass(cdn: Cdn, server: TlsServer, password: str = PASSWORD) -> str:
    """Write a file as libpq reads it; return its path."""
    path = cdn.folder / "pgpass"
    escaped = password.replace("\\", r"\\").replace(":", r"\:")
    path.write_text(f"localhost:{server.port}:*:*:{escaped}\n")
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("is_in_file", [False, True])
def test_state_is_made_over_verified_tls_with_a_password_that_is_never_shown(
    cdn: Cdn, server: TlsServer, is_in_file: bool
) -> None:
    pgpass = "/none" if is_in_file else write_pgpass(cdn, server)
    password = quote(PASSWORD, safe="") if is_in_file else ""
    configure(cdn, server.url("sslctl", "sslctl_owner", password=password), in_file=is_in_file)
    printed = ""
    for command in (["init"], ["list"], ["doctor", "--json"], ["audit", "list"], ["claims"]):
        ended = run(cdn, *command, SSLCTL_DEBUG="1", PGPASSFILE=pgpass)
        assert command[0] == "doctor" or ended.returncode == Exit.OK, ended.stderr
        printed += ended.stdout + ended.stderr
        if command[0] == "doctor":
            checks = {each["check"]: each for each in json.loads(ended.stdout)["checks"]}
            assert checks["database"]["grade"] == "ok"
            assert not any("not encrypted" in each["detail"] for each in json.loads(ended.stdout)["checks"])
    assert not [secret for secret in (PASSWORD, password, "hunt3r") if secret and secret in printed]
    for path in cdn.folder.rglob("*"):
        if path.is_file() and path.name not in ("pgpass", "database-url"):
            assert b"hunt3r" not in path.read_bytes(), path


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# What is wrong, what is said of it, and the next step.
FAULTS = {
    "wrong password": ("password authentication failed", "~/.pgpass"),
    "no password": ("no password supplied", "~/.pgpass"),
    "no such role": ("password authentication failed", "check the role"),
    "other CA": ("certificate verify failed", "sslrootcert"),
    "no file of the CA": ("root certificate file", "sslrootcert"),
    "other name": ("does not match host name", "as its certificate does"),
    "without TLS": ("no pg_hba.conf entry", "pg_hba.conf"),
    "refused": ("Connection refused", "that the server runs"),
    "no port number": ("Servname not supported", "check the port"),
    "no such sslmode": ("invalid sslmode value", "libpq's manual"),
    "no such host": ("failed to resolve host", "name server"),
    "no such database": ('database "none" does not exist', "docs/postgres.md"),
    "role that may not connect": ("permission denied for database", "docs/postgres.md"),
    "role without rights": ("there is no state in the database", "sslctl init"),
    "silent": ("timeout", "firewalls"),
    "hangs up": ("server closed the connection", "that the server runs"),
}


def faulty_url(fault: str, server: TlsServer, peer: int) -> str:
    """Return the URL for a fault; nobody, or a peer that speaks no PostgreSQL, listens at the port `peer`."""
    secret = quote(PASSWORD, safe="")
    good = server.url("sslctl", "sslctl_owner", password=secret)
    here = f"postgresql://sslctl_owner:{secret}@127.0.0.1:{peer}/sslctl?connect_timeout=2"
    return {
        "wrong password": good.replace("hunt3r", "an0ther"),
        "no password": server.url("sslctl", "sslctl_owner"),
        "no such role": server.url("sslctl", "none", password=secret),
        "other CA": good.replace(str(server.root), str(server.other_root)),
        "no file of the CA": good.replace(str(server.root), "/none.pem"),
        "other name": good.replace("@localhost", "@127.0.0.1"),
        "without TLS": good.replace("verify-full", "disable"),
        "refused": here,
        "silent": here,
        "hangs up": here,
        "no port number": f"{good}&port=abc",
        "no such sslmode": good.replace("verify-full", "maybe"),
        "no such host": good.replace("@localhost", "@none.invalid"),
        "no such database": server.url("none", "sslctl_owner", password=secret),
        "role that may not connect": server.url("sslctl", "nobody_here", password=secret),
        "role without rights": server.url("open_to_all", "nobody_here", password=secret),
    }[fault]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_line_with_the_next_step_and_without_the_password(
    cdn: Cdn, server: TlsServer, fault: str
) -> None:
    with Peer(fault) as port:
        configure(cdn, faulty_url(fault, server, port), in_file=True)
        said, step = FAULTS[fault]
        for command in (["list"], ["doctor", "--json"]):
            ended = run(cdn, *command, PGPASSFILE="/none", SSLCTL_DEBUG="")
            assert ended.returncode == Exit.UNUSABLE
            printed = ended.stdout.replace('\\"', '"') + ended.stderr
            assert said in printed
            assert step in printed
            assert not any(secret in printed for secret in ("hunt3r", "an0ther", "w%40rd"))
            assert "Traceback" not in ended.stderr
            if command == ["list"]:
                assert len(ended.stderr.splitlines()) == 2, ended.stderr


class Peer:
    """Something that listens on a port: nothing, a server that says nothing, or one that hangs up at once."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    def __enter__(self) -> int:
        port = int(self._listening.getsockname()[1])
        if self._fault not in ("silent", "hangs up"):
            self._listening.close()
        else:
            threading.Thread(target=self._accept, daemon=True).start()
        return port

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            if self._fault == "silent":
                self._open.append(accepted)
            else:
                accepted.close()


@pytest.mark.parametrize(
    "secret",
    ["p%ss-w0rd", "p/ss-w0rd", "p@ss-w0rd", "12/ss-w0rd", "p:ss?-w0rd@", "p%4-w0rd", "p ss-w0rd", "pä-w0rd"],
)
def test_password_that_is_not_percent_encoded_is_refused_and_not_quoted(cdn: Cdn, secret: str) -> None:
    configure(cdn, f"postgresql://sslctl:{secret}@localhost/sslctl", in_file=True)
    for command in (["list"], ["doctor", "--json"], ["init"]):
        ended = run(cdn, *command)
        assert ended.returncode == Exit.UNUSABLE
        assert "state.url_file" in ended.stdout + ended.stderr
        assert not any(
            part in ended.stdout + ended.stderr for part in ("w0rd", "p/ss", "p@ss", "p%ss", "p ss")
        )


def test_unknown_parameter_of_the_url_is_refused_and_not_quoted(cdn: Cdn) -> None:
    configure(cdn, "postgresql://sslctl@localhost/sslctl?passwort=hunt3r", in_file=True)
    ended = run(cdn, "list")
    assert (ended.returncode, "libpq cannot read the URL" in ended.stderr) == (Exit.UNUSABLE, True)
    assert "hunt3r" not in ended.stdout + ended.stderr


def test_password_of_the_move_is_in_no_output_process_list_or_event(
    cdn: Cdn, server: TlsServer, tmp_path: Path
) -> None:
    configure(cdn, "")
    assert run(cdn, "init").returncode == Exit.OK
    server.cluster.execute("CREATE DATABASE moved OWNER sslctl_owner TEMPLATE template0")
    target = tmp_path / "target"
    target.write_text(server.url("moved", "sslctl_owner", password=quote(PASSWORD, safe="")))
    target.chmod(0o600)
    moved = run(cdn, "state", "migrate", "--to-file", str(target))
    assert moved.returncode == Exit.OK, moved.stderr
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.replace('url = ""', f'url_file = "{target}"'))
    audit = run(cdn, "audit", "list", "--json")
    assert "state moved" in audit.stdout
    assert "hunt3r" not in "".join(each.stdout + each.stderr for each in (moved, audit))
    assert os.environ.get("PGPASSWORD") is None
    assert "hunt3r" not in str(environment(cdn))
