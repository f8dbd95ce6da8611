"""Challenge files (RFC 8555, section 8.3): written below a webroot and removed without following symbolic links.

A user who can change a folder of this path can pass the CA's validation for every domain, or redirect our writes. So
each folder from the root on is opened by itself. None may be a symbolic link, and only root, our user and the webroot's
owner may be able to write to them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sslctl.system.ownership import can_others_change

# RFC 8555, section 8.3: a token consists of base64url characters. It becomes a file name.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PLACE = (".well-known", "acme-challenge")
# O_PATH: a folder may be passable without being readable.
_PASS_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for its writer.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_MODE = 0o644
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]


@contextmanager
def opened(webroot: Path) -> Iterator[int]:
    """Yield a descriptor of the folder of challenge files below `webroot`, an absolute path. Make it if it is missing.

    Raise `OSError` if the path to it is not safe.
    """
    with ExitStack() as stack:
        folder, passed = None, dict[Path, os.stat_result]()
        for path in (*reversed(webroot.parents), webroot):
            folder = _enter(stack, path, folder)
            passed[path] = os.fstat(folder)
        owner = passed[webroot]
        for path, state in passed.items():
            _require_protected(path, state, owner, is_above=path != webroot)
        path = webroot
        for name in _PLACE:
            path /= name
            _make(name, folder, owner)
            folder = _enter(stack, path, folder)
            _require_protected(path, os.fstat(folder), owner)
        assert folder is not None  # noqa: S101 - the way begins at the root
        yield folder


def write(folder: int, token: str, content: bytes) -> Identity:
    """Write the file for `token`, and return the file's identity.

    One that an earlier run left stays as it is if it is complete: the CA may be reading it at this moment.
    """
    if (left := _find_same(folder, token, content)) is not None:
        return left
    clear(folder, token)
    descriptor = os.open(token, _CREATE_FLAGS, _FILE_MODE, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        # A web server of another user must be able to read it, whatever our umask is.
        os.fchmod(descriptor, _FILE_MODE)
        file.write(content)
        return _identity(os.fstat(descriptor))


def _find_same(folder: int, token: str, content: bytes) -> Identity | None:
    """Return the identity of the file for `token` if it is ours, everybody can read it, and it has `content`."""
    with suppress(OSError), os.fdopen(os.open(token, _READ_FLAGS, dir_fd=folder), "rb") as file:
        state = os.fstat(file.fileno())
        is_ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_nlink == 1
        is_served = stat.S_IMODE(state.st_mode) == _FILE_MODE
        if is_ours and is_served and file.read(len(content) + 1) == content:
            return _identity(state)
    return None


def clear(folder: int, token: str) -> None:
    """Remove the file for `token` that a killed run left. Raise `OSError` if it is not a regular file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(token, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(f"the challenge file {token} is not a regular file: remove it")
        os.unlink(token, dir_fd=folder)


def remove(folder: int, token: str, written: Identity) -> None:
    """Remove the file for `token` if it is still the file that was written."""
    with suppress(FileNotFoundError):
        if _identity(os.stat(token, dir_fd=folder, follow_symlinks=False)) == written:
            os.unlink(token, dir_fd=folder)


def _enter(stack: ExitStack, path: Path, above: int | None) -> int:
    """Open the folder `path`, which lies in the folder `above`, for as long as `stack` lasts."""
    name = path.name or os.sep
    try:
        descriptor = os.open(name, _PASS_FLAGS, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(name, above):
            raise OSError(
                f"{path} is a symbolic link, which challenge files must not pass through: "
                "set acme.webroot to the real folder, or replace the link by one"
            ) from error
        raise OSError(f"cannot use {path} for challenge files: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return descriptor


def _is_link(name: str, above: int | None) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)


def _make(name: str, above: int | None, owner: os.stat_result) -> None:
    """Make a folder if it is missing. A web server of another user can read it, whatever our umask is."""
    try:
        os.mkdir(name, 0o755, dir_fd=above)
    except FileExistsError:
        return
    descriptor = os.open(name, _OPEN_FLAGS, dir_fd=above)
    try:
        os.fchmod(descriptor, 0o755)
        # As certbot does: the webroot's owner gets it, if we may change the owner.
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _require_protected(
    path: Path, state: os.stat_result, owner: os.stat_result, *, is_above: bool = False
) -> None:
    """Raise `OSError` if other users could replace a folder or a challenge file.

    In a folder above the webroot the sticky bit prevents that.
    """
    if can_others_change(state, owner.st_uid, is_above=is_above):
        raise OSError(
            f"other users can change {path} and so pass the CA's validation for every domain: chmod go-w {path}"
        )


def _identity(state: os.stat_result) -> Identity:
    return state.st_dev, state.st_ino
