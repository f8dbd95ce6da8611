"""A PostgreSQL server for the tests of one process: Debian's, in a temporary folder, reached by a Unix socket alone.

It ends with the process that started it, even if that is killed: a shell that waits for the end of a pipe stops it and removes
its folder.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg

from sslctl.store.postgres import schema
from sslctl.store.postgres.pool import connect
from tests.support import memory_folder
from tests.support.postgres_programs import find_server

_PATIENCE = 60
_PORT = 5432
_NEEDED_BYTES = 512 << 20
_EMPTY = "empty_state"
# $1 is the folder, the others are the command of the server. SIGINT is a fast shutdown.
_KEEPER = """
folder=$1; shift
"$@" >"$folder/log" 2>&1 <&- &
server=$!
cat >/dev/null
kill -INT $server 2>/dev/null
wait $server
rm -rf "$folder"
"""
# Nothing that is tested here depends on surviving a power cut. The locale sorts unlike bytes: no query may depend on it.
_INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--no-instructions")
_LOCALE = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "autovacuum=off",
)


class Cluster:
    """A running server, with `settings` and `files` of its own; the name of its socket has the number `port`."""

    def __init__(
        self, settings: Sequence[str] = (), files: Mapping[str, str] = MappingProxyType({}), port: int = _PORT
    ) -> None:
        program = find_server()
        assert program is not None, "apt-get install postgresql"
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=memory_folder(_NEEDED_BYTES)))
        self._databases = count()
        self._process = os.getpid()
        # PostgreSQL refuses to run as root.
        user = _unprivileged() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        identity: dict[str, Any] = (
            {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        data, sockets = str(self._folder / "data"), str(self._folder)
        made = [str(program.with_name("initdb")), f"--pgdata={data}", *_INITDB, *_LOCALE]
        subprocess.run(made, cwd="/", check=True, stdout=subprocess.DEVNULL, **identity)
        for name, text in files.items():
            path = Path(data, name)
            path.write_text(text)
            path.chmod(0o600)
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)
        self._port = port
        server = [str(program), "-D", data, "-k", sockets]
        for setting in (*_SETTINGS, *settings):
            server += ["-c", setting]
        # A session of its own: Ctrl-C ends the tests first.
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, "keeper", sockets, *server],
            cwd="/",
            stdin=subprocess.PIPE,
            start_new_session=True,
            **identity,
        )
        self._wait()
        self.execute(f"CREATE DATABASE {_EMPTY}")
        with connect(self.url(_EMPTY)) as connection:
            schema.migrate(connection)

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the connection string of `database`."""
        return f"postgresql://{user}@/{database}?host={self._folder}" + (
            "" if self._port == _PORT else f"&port={self._port}"
        )

    def new_database(self, template: str = _EMPTY) -> str:
        """Return the name of a new database: with the schema, or a copy of `template`, to which nobody is connected."""
        name = f"state_{next(self._databases)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Remove `database`, and close the connections to it."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def execute(self, sql: str) -> None:
        """Run `sql` as the administrator."""
        with self.connection("postgres") as connection:
            connection.execute(sql.encode())

    @contextmanager
    def connection(self, database: str) -> Iterator[psycopg.Connection]:
        """Yield a connection of the administrator to `database`."""
        opened = connect(self.url(database))
        try:
            yield opened
        finally:
            opened.close()

    def close(self) -> None:
        """Stop the server, and remove its folder. A forked child leaves it to its parent."""
        if os.getpid() != self._process:
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def cluster() -> Cluster:
    """Return the server of this process; the first call starts it."""
    started = Cluster()
    atexit.register(started.close)
    return started


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
