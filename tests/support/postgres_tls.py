"""A PostgreSQL server on 127.0.0.1 that wants TLS and a password (scram-sha-256)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.postgres import Cluster

_ACCESS = """
local   all all              trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class TlsServer:
    """A server whose certificate for `localhost` is from the CA in the file `root`; `other_root` is another CA's."""

    cluster: Cluster
    port: int
    root: Path
    other_root: Path

    def url(
        self, database: str, user: str, *, password: str = "", host: str = "localhost", more: str = ""
    ) -> str:
        """Return a URL that verifies the server; `password` is percent-encoded, `more` are further parameters."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{host}:{self.port}/{database}?sslmode=verify-full&sslrootcert={self.root}{more}"


def start(folder: Path) -> TlsServer:
    """Start a server whose CAs are in `folder`. End it with `cluster.close`."""
    authority, other = trustme.CA(), trustme.CA()
    roots = []
    for number, ca in enumerate((authority, other)):
        path = folder / f"root-{number}.pem"
        ca.cert_pem.write_to_path(str(path))
        roots.append(path)
    issued = authority.issue_cert("localhost")
    files = {
        "pg_hba.conf": _ACCESS,
        "server.crt": b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode(),
        "server.key": issued.private_key_pem.bytes().decode(),
    }
    port = _free_port()
    cluster = Cluster(more=("ssl=on", "listen_addresses=127.0.0.1"), files=files, port=port)
    return TlsServer(cluster, port, *roots)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
