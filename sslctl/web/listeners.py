"""Where the page listens: a TCP port of a loopback address, or a Unix socket."""

from __future__ import annotations

import errno
import fcntl
import grp
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sslctl.errors import Busy, ConfigError
from sslctl.system.ownership import can_others_change, find_intruder
from sslctl.text import clean

_SOCKET_MODE = 0o660
_PROBE_SECONDS = 2.0


class TcpListener:
    """A TCP socket on the address `host` and `port`, 0 for a free one. It holds connections from now on.

    Raise `ConfigError` if it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004
        try:
            self.socket = socket.create_server((host, port), family=family)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise ConfigError(
                f"cannot listen on {host}, port {port}: {error.strerror}",
                hint="choose another port with --port; --port 0 takes a free one" if in_use else None,
            ) from error

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


class UnixListener:
    """A Unix socket at `path`, mode 0660, of `group` (empty: the group of this process). It holds connections from now on.

    A socket that a server left behind is replaced. Raise `Busy` if a server listens there, `ConfigError` if something else is
    there, if others can change the folder, or if the socket cannot be made. A server that hangs is noticed after `probe_seconds`.
    """

    def __init__(self, path: Path, group: str, *, probe_seconds: float = _PROBE_SECONDS) -> None:
        self._path, self._shown = path, clean(path)
        self._identity: tuple[int, int] | None = None
        group_id = _find_group(group)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._require_own_folder()
            with _locked(path.parent, self._shown):
                self._remove_left_over(probe_seconds)
                self.socket.bind(str(path))
                self._identity = _identity(path)
                # Nobody can connect before it listens.
                if group_id is not None:
                    os.chown(path, -1, group_id)
                path.chmod(_SOCKET_MODE)
                self.socket.listen()
        except OSError as error:
            self.close()
            raise ConfigError(
                f"{self._shown}: cannot listen there: {clean(error.strerror or error)}",
                hint=_hint(error, group),
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening, and remove the socket unless another one is in its place."""
        self.socket.close()
        with suppress(OSError):
            if _identity(self._path) == self._identity:
                self._path.unlink()

    def _require_own_folder(self) -> None:
        folder = self._path.parent
        intruder = find_intruder(folder)
        if intruder is not None:
            raise ConfigError(
                f"{self._shown}: no socket is made there: {clean(intruder.problem)}",
                hint=clean(intruder.cure),
            )
        if can_others_change(folder.stat()):
            # Such as /tmp: others could listen there while this server does not run.
            raise ConfigError(
                f"{self._shown}: no socket is made there: others can create files in {clean(folder)}",
                hint="choose a folder in which only root or the user of sslctl can write",
            )

    def _remove_left_over(self, probe_seconds: float) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"{self._shown} exists and is no socket", hint="choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # connect() waits for a server that hangs with a full queue.
            probe.settimeout(probe_seconds)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()
                return
            except (TimeoutError, BlockingIOError):
                pass
        raise Busy(
            f"a server listens on {self._shown} already",
            hint="end it first, or choose another path",
        )


def _find_group(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"web.socket_group: there is no group {clean(name)}", hint="see: getent group"
        ) from None


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


@contextmanager
def _locked(folder: Path, shown: str) -> Iterator[None]:
    """Hold a lock on `folder` in the block, so that no second server replaces the socket. Raise `Busy` if another holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(f"another process is about to listen on {shown}", hint="try again in a second") from None
    else:
        yield
    finally:
        os.close(descriptor)


def _hint(error: OSError, group: str) -> str | None:
    if error.errno == errno.EPERM and group:
        return f"the user of sslctl must be a member of the group {group}: usermod --append --groups {group} sslctl"
    if error.errno == errno.ENOENT:
        return "make its folder first"
    if error.errno is None:
        return "a path has at most 107 bytes"
    return None
