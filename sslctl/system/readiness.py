"""The message to systemd that a service is ready."""

from __future__ import annotations

import os
import socket


def notify_ready() -> None:
    """Report to systemd that this service is ready; do nothing if systemd did not start it with `Type=notify`.

    The protocol is that of sd_notify(3). Raise `OSError` if systemd cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # "@" stands for the NUL byte of an abstract socket.
            sender.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)
