"""The answers to HTTP challenges: files below a webroot, made and removed without following a link.

Who can change a folder on the way there can pass the CA's validation for every domain, or lead our writing elsewhere.
So each folder from the root on is opened by itself, none may be a link, and none may be written to by anybody but
root, us and the webroot's owner.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

# RFC 8555, section 8.3: a token has the characters of base64url. It becomes a file's name.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PLACE = (".well-known", "acme-challenge")
_OTHERS_WRITE = 0o022
# Without the right to list a folder one may still go through it.
_PASSING = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]


@contextmanager
def opened(webroot: Path) -> Iterator[int]:
    """Give a descriptor of the folder of the answers below `webroot`, an absolute path; made where it is missing.

    Raises `OSError` where the way there is not safe.
    """
    with ExitStack() as stack:
        folder, passed = None, dict[Path, os.stat_result]()
        for path in (*reversed(webroot.parents), webroot):
            folder = _enter(stack, path, folder)
            passed[path] = os.fstat(folder)
        owner = passed[webroot]
        for path, state in passed.items():
            _require_kept(path, state, owner, is_above=path != webroot)
        path = webroot
        for name in _PLACE:
            path /= name
            _make(name, folder, owner)
            folder = _enter(stack, path, folder)
            _require_kept(path, os.fstat(folder), owner)
        assert folder is not None  # noqa: S101 - the way begins at the root
        yield folder


def write(folder: int, token: str, content: bytes) -> Identity:
    """Write the answer for `token`, also in the place of one that a killed run left; give which file it is."""
    clear(folder, token)
    descriptor = os.open(token, _MAKING, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        # A web server of another user reads it, whatever our umask is.
        os.fchmod(descriptor, 0o644)
        file.write(content)
        return _identity(os.fstat(descriptor))


def clear(folder: int, token: str) -> None:
    """Remove the answer for `token` that a killed run left. Raises `OSError` where something else is in its place."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(token, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(f"where the answer to a challenge should be, there is no file: remove {token}")
        os.unlink(token, dir_fd=folder)


def remove(folder: int, token: str, written: Identity) -> None:
    """Remove the answer for `token` where it still is the file that was written."""
    with suppress(FileNotFoundError):
        if _identity(os.stat(token, dir_fd=folder, follow_symlinks=False)) == written:
            os.unlink(token, dir_fd=folder)


def _enter(stack: ExitStack, path: Path, above: int | None) -> int:
    """Open the folder `path`, which lies in the folder `above`, for as long as `stack` lasts."""
    name = path.name or os.sep
    try:
        descriptor = os.open(name, _PASSING, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(name, above):
            raise OSError(
                f"{path} is a symbolic link, and challenges are answered through none: "
                "name the real folder in acme.webroot, or put one in the link's place"
            ) from error
        raise OSError(f"cannot use {path} for answers to challenges: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return descriptor


def _is_link(name: str, above: int | None) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)


def _make(name: str, above: int | None, owner: os.stat_result) -> None:
    """Make a folder where it is missing, for a web server of another user to read, whatever our umask is."""
    try:
        os.mkdir(name, 0o755, dir_fd=above)
    except FileExistsError:
        return
    descriptor = os.open(name, _OPENING, dir_fd=above)
    try:
        os.fchmod(descriptor, 0o755)
        # As certbot has it: it is the webroot's owner's, where we may give it away.
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _require_kept(
    path: Path, state: os.stat_result, owner: os.stat_result, *, is_above: bool = False
) -> None:
    """Raise `OSError` where somebody else could put another folder, or an answer, in the place of ours.

    In a folder above the webroot the sticky bit keeps them from it.
    """
    is_ours = state.st_uid in (0, os.geteuid(), owner.st_uid)
    is_sticky = is_above and state.st_mode & stat.S_ISVTX
    if not is_ours or (state.st_mode & _OTHERS_WRITE and not is_sticky):
        raise OSError(
            f"other users can change {path}, and so pass the CA's validation for every domain: chmod go-w {path}"
        )


def _identity(state: os.stat_result) -> Identity:
    return state.st_dev, state.st_ino
