"""A server of the standard library in a thread of its own."""

from __future__ import annotations

import socketserver
import threading

ADDRESS = "127.0.0.1"


class Listener:
    """A bound server that runs in a thread until `stop`."""

    def __init__(self, server: socketserver.BaseServer) -> None:
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port. Responses in progress may still be completed."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
