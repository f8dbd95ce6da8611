"""A server for a small site behind the gate of a reverse proxy: `python -m tests.support.page_server SOCKET SECONDS`.

It is a process of its own, because it runs until a signal ends it. It has SECONDS for a client to send a request.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from flask import Flask, request

from sslctl.config.web import WebSection
from sslctl.web.access import current_person
from sslctl.web.access.proxy_gate import ProxyGate
from sslctl.web.listeners import UnixListener
from sslctl.web.server import serve

SECTION = WebSection(
    public_url="https://ssl.example.net",
    person_header="X-Person",
    groups_header="X-Groups",
    viewers=("vera", "@readers"),
    operators=("olga",),
)


def make_site(gate: ProxyGate) -> Flask:
    """Return a site that shows who asks, by which scheme, and answers a form."""
    site = Flask("sslctl.web")
    gate.install(site)
    site.add_url_rule("/", "show", lambda: f"{current_person().name} by {request.scheme}")
    site.add_url_rule("/change", "change", lambda: "changed", methods=["POST"])
    return site


def main(path: str, seconds: str) -> None:
    """Serve until SIGTERM."""
    gate = ProxyGate(SECTION, time.monotonic)
    with closing(UnixListener(Path(path), "")) as listener:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        print("listening", flush=True)
        serve(
            make_site(gate),
            listener.socket,
            scheme=gate.scheme,
            trusted_headers=gate.trusted_headers,
            longest_seconds=float(seconds),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
