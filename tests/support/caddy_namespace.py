"""Open ports 80 and 53 in the network namespace of this process, and start a program there.

Run it with `python -m tests.support.caddy_namespace DESCRIPTOR COMMAND…` in a new network namespace. DESCRIPTOR is an open Unix socket, over
which it sends the listening socket of port 80, of every address of loopback, and the datagram socket of port 53: whoever receives them
serves them, in whatever namespace it is. Then COMMAND takes the place of this process.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_NAME_SERVER = "127.0.0.1"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def main(descriptor: int, command: list[str]) -> None:
    """Open the ports, send them, and become `command`."""
    with socket.socket(fileno=descriptor) as channel, socket.socket(type=socket.SOCK_DGRAM) as dns:
        # A new network namespace has a loopback interface that is down (netdevice(7)).
        fcntl.ioctl(dns, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        dns.bind((_NAME_SERVER, 53))
        with socket.create_server(("", 80)) as web:
            socket.send_fds(channel, [b"."], [web.fileno(), dns.fileno()])
    os.execvp(command[0], command)  # noqa: S606 - without a shell, as intended


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
