"""The warm process: `python -m sslctl.issuer.certbot.fork_server FD`, where FD is a socket over which `worker_pool` asks for children.

Each message brings two file descriptors: the channel and the standard error of one child. The process has a single
thread, so that a fork of it is whole, and ends when the socket is closed.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

from certbot._internal.plugins.disco import PluginsRegistry

from sslctl.issuer.certbot import job
from sslctl.system import core_dumps


def main() -> None:
    """Import certbot with its plugins, then fork for every message until there are no more."""
    # A fork keeps to this too.
    core_dumps.forbid()
    PluginsRegistry.find_all()
    signal.signal(signal.SIGCHLD, _reap)
    # What is imported stays, and a collection in a child would only copy its pages.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            if not descriptors:
                return
            if os.fork() == 0:
                control.close()
                _run_job(*descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _run_job(channel: int, stderr: int) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.disable()
        os.dup2(stderr, 2)
        with socket.socket(fileno=channel) as connection:
            job.serve(connection)
    except SystemExit:
        pass  # certbot has said why
    except BaseException:  # noqa: BLE001 - the last words of this process, whatever ends it
        sys.excepthook(*sys.exc_info())
    finally:
        # Nothing that the warm process would do at its end is done in a child.
        os._exit(0)


def _reap(_number: int, _frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
