"""Debian's PgBouncer in transaction mode, before the PostgreSQL server of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from sslctl.store.postgres.connecting import connect
from tests.support import memory_folder
from tests.support.postgres import cluster
from tests.support.programs import find_program

_PATIENCE = 30
_NEEDED_BYTES = 16 << 20
# Consecutive transactions of one connection are on different sessions. Ten are what one process needs (docs/postgres.md).
_CONFIG = """
[databases]
{database} = host={server} user=postgres

[pgbouncer]
unix_socket_dir = {folder}
listen_addr =
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
query_wait_timeout = 20
"""


@contextmanager
def bouncing(database: str, sessions: int = 10) -> Iterator[str]:
    """Run PgBouncer with a pool of `sessions` before `database` of the cluster; yield the connection string of the way through it."""
    program = find_program("pgbouncer")
    assert program is not None, "apt-get install pgbouncer"
    server = str(psycopg.conninfo.conninfo_to_dict(cluster().url(database))["host"])
    folder = Path(tempfile.mkdtemp(prefix="bouncer-", dir=memory_folder(_NEEDED_BYTES)))
    identity: dict[str, Any] = {}
    config = folder / "config"
    config.write_text(_CONFIG.format(database=database, server=server, folder=folder, sessions=sessions))
    if os.geteuid() == 0:
        # It refuses to run as root, too. Only the user of the server reaches its socket.
        user = Path(server).stat()
        for place in (folder, config):
            os.chown(place, user.st_uid, user.st_gid)
        identity = {"user": user.st_uid, "group": user.st_gid, "extra_groups": []}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(config)], cwd="/", stdout=log, stderr=log, **identity)
    try:
        url = f"postgresql://postgres@/{database}?host={folder}&port=6432"
        _wait(url, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(_PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        else:
            return
