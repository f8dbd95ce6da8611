"""A PostgreSQL server for the tests of one process: Debian's, in a temporary folder, reached by a Unix socket alone.

It ends with the process that started it, even if that is killed: a shell that waits for the end of a pipe stops it and removes
its folder.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import stat
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
from sslctl.store.postgres.connecting import connect
from tests.support import memory_folder
from tests.support.postgres_programs import find_server, version_of

_PATIENCE = 60
_PORT = 5432
_NEEDED_BYTES = 512 << 20
_EMPTY = "empty_state"
# $1 is the folder, the others are the command of the server. Each line of the pipe starts the server, or is a signal for it. SIGINT is a
# fast shutdown.
_KEEPER = """
folder=$1; shift
# Its notices about the end of the server.
exec 2>/dev/null
while read -r what; do
    if [ "$what" = start ]; then
        "$@" >>"$folder/log" 2>&1 <&- &
        server=$!
    else
        kill -"$what" $server
        wait $server
    fi
done
kill -INT $server 2>/dev/null
wait $server
rm -rf "$folder"
"""
# Nothing that is tested here depends on surviving a power cut.
_INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--no-instructions")
# It sorts unlike bytes: no query may depend on that. Before 15 a database had no provider of its own.
_LOCALE = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
_FIRST_WITH_PROVIDERS = 15
# As the distribution configures it.
DURABLE = ("listen_addresses=",)
_SETTINGS = (
    *DURABLE,
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "autovacuum=off",
)


class Cluster:
    """A running server: one for tests, in memory if there is room, or with other `settings` on a disk.

    `more` are settings too. `files` are written into the folder of its data. The name of its socket has the number `port`.
    """

    def __init__(
        self,
        settings: Sequence[str] = _SETTINGS,
        *,
        more: Sequence[str] = (),
        files: Mapping[str, str] = MappingProxyType({}),
        is_on_disk: bool = False,
        port: int = _PORT,
    ) -> None:
        program = find_server()
        assert program is not None, "apt-get install postgresql"
        parent = (None if is_on_disk else memory_folder(_NEEDED_BYTES)) or _reachable_folder()
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
        self._databases = count()
        self._process = os.getpid()
        # PostgreSQL refuses to run as root.
        user = _unprivileged() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        identity: dict[str, Any] = (
            {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        self._data = self._folder / "data"
        data, sockets = str(self._data), str(self._folder)
        made = [str(program.with_name("initdb")), f"--pgdata={data}", *_INITDB]
        made += _LOCALE if version_of(program) >= _FIRST_WITH_PROVIDERS else _LOCALE[:1]
        subprocess.run(made, cwd="/", check=True, stdout=subprocess.DEVNULL, **identity)
        server = [str(program), "-D", data, "-k", sockets]
        for name, text in files.items():
            path = self._folder / "data" / name
            path.write_text(text)
            path.chmod(0o600)
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)
        self._port = port
        for setting in (*settings, *more, f"port={port}"):
            server += ["-c", setting]
        # A session of its own: Ctrl-C ends the tests first.
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, "keeper", sockets, *server],
            cwd="/",
            stdin=subprocess.PIPE,
            start_new_session=True,
            **identity,
        )
        self.start()
        self.execute(f"CREATE DATABASE {_EMPTY}")
        with connect(self.url(_EMPTY)) as connection:
            schema.migrate(connection)

    def start(self) -> None:
        """Start the server, and wait until it can be used."""
        self._tell("start")
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, signal: str) -> None:
        """Send the server `signal` (INT: a fast shutdown, QUIT: an immediate one, KILL), and wait until all of its processes have ended."""
        self._tell(signal)
        deadline = time.monotonic() + _PATIENCE
        # After SIGKILL those of the connections end a little later, and before that the server does not start again.
        while any(_works_in(self._data, process) for process in Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def _tell(self, what: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{what}\n".encode())
        self._keeper.stdin.flush()

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the connection string of `database`."""
        return f"postgresql://{user}@/{database}?host={self._folder}&port={self._port}"

    @property
    def socket(self) -> str:
        """Return the path of the socket that the server listens on."""
        return f"{self._folder}/.s.PGSQL.{self._port}"

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


def _works_in(folder: Path, process: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False  # it has ended, or belongs to another user


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


def _reachable_folder() -> Path:
    """Return a folder on a disk that a server, which does not run as root, can reach."""
    folders = (Path(tempfile.gettempdir()), Path("/var/tmp"))  # noqa: S108 - a folder of its own is made in it
    is_reachable = (
        os.geteuid() != 0 or all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))
        for folder in folders
    )
    return next(folder for folder, reachable in zip(folders, is_reachable, strict=True) if reachable)
