"""The fork server: a process that has certbot imported and forks the processes of jobs.

`worker_pool` starts it as `python -m sslctl.issuer.certbot.fork_server FD`, where FD is a socket. Each message on it
carries two file descriptors: the channel and the standard error of one process. The answer is `FORKED`, or `REFUSED` if the system
starts no further process. The fork server has a single thread, so that its forks are consistent. It ends when the socket is
closed.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

from sslctl.issuer.certbot import job, order, trusted_context
from sslctl.issuer.certbot.rehearsal import rehearse
from sslctl.issuer.certbot.worker_pool import FORKED, REFUSED
from sslctl.system import core_dumps


def main() -> None:
    """Import certbot, prepare orders, then fork a process for every message until the socket is closed."""
    # Forks inherit this.
    core_dumps.forbid()
    trusted_context.prepare()
    if order.prepare():
        rehearse()
    signal.signal(signal.SIGCHLD, _reap)
    # Imported objects stay; a garbage collection in a fork would only copy their pages.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            if not descriptors:
                return
            try:
                is_child = os.fork() == 0
            except OSError:
                # A limit of processes or of memory: the pool waits for a job that runs.
                answer = REFUSED
            else:
                if is_child:
                    control.close()
                    _run_job(*descriptors)
                answer = FORKED
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(BrokenPipeError, ConnectionResetError):
                control.send(answer)


def _run_job(channel: int, stderr: int) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.disable()
        os.dup2(stderr, 2)
        with socket.socket(fileno=channel) as connection:
            job.serve(connection)
    except SystemExit:
        pass  # certbot has written the reason to standard error
    except BaseException:  # noqa: BLE001 - report whatever ends this process
        sys.excepthook(*sys.exc_info())
    finally:
        # Skip the exit handlers of the fork server.
        os._exit(0)


def _reap(_number: int, _frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
