"""sslctl in a process that imports everything, then waits until its standard input is closed.

`python -m tests.torture.synchronized_start ARGUMENT...`; so several can start at the same moment, however long each takes to import.
"""

from __future__ import annotations

import sys

import sslctl.cli.add
import sslctl.cli.daemon_tick
import sslctl.cli.delete
import sslctl.cli.recheck
import sslctl.control_plane.c4.client
import sslctl.issuer.certbot.issuer
import sslctl.preflight.checks
import sslctl.store.sqlite.store  # noqa: F401 - what a command imports when it needs it
from sslctl.cli.main import main

if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.read()
    main(sys.argv[1:])
