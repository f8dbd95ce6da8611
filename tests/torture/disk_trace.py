"""What a process does to the disk, recorded by strace: the real program with the real SQLite.

A SQLite VFS of our own would see only SQLite. This also sees the key file and the folders, and runs the same SQLite and
the same code as in production.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ACKNOWLEDGED = b"done "

# Every call that can change a file or folder. One that is not in `_WHAT` is an error if it concerns the folder.
_CHANGES = (
    "open", "openat", "creat", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2",
    "link", "linkat", "symlink", "symlinkat", "truncate", "ftruncate", "fallocate", "write", "writev", "pwrite64",
    "pwritev", "pwritev2", "sendfile", "copy_file_range", "fsync", "fdatasync", "sync_file_range",
)  # fmt: skip
_ON_DESCRIPTORS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate")
_WHAT = {
    "write": "append",
    "pwrite64": "write",
    "ftruncate": "truncate",
    "fsync": "sync",
    "fdatasync": "sync",
    "mkdir": "make folder",
    "mkdirat": "make folder",
    "link": "link",
    "linkat": "link",
    "unlink": "remove",
    "unlinkat": "remove",
    "open": "open",
    "openat": "open",
}


# The files by which living processes prove that they live: after a power cut none lives, so their loss is right.
_LOCKS = "/state/processes/"


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call: `what` happened to the file or folder `path`, relative to the recorded folder.

    `what` is write, append, truncate, sync, make, make folder, link or remove; `data` has the bytes, or the path of the
    linked file. Or it is done, and `data` is what the process acknowledged.
    """

    what: str
    path: str = ""
    data: bytes = b""
    at: int = 0


def record(command: Sequence[str], folder: Path, log: Path) -> list[Call]:
    """Run `command` to its end; return what it did in `folder` and what it acknowledged, in order.

    It acknowledges by a line on standard output that begins with `ACKNOWLEDGED`.
    """
    trace = ",".join(f"?{name}" for name in _CHANGES)
    # Strings in hexadecimal, descriptors with their paths, data not shortened.
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "1000000", "-o", str(log), "-e"]
    done = subprocess.run(
        [*strace, f"trace={trace}", "-e", "signal=none", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the recorded command ended with {done.returncode}: {done.stderr}")
    with log.open() as lines:
        return list(_calls(lines, f"{folder}/"))


def _calls(lines: Iterator[str], folder: str) -> Iterator[Call]:
    for name, arguments in _whole(lines):
        call = _call(name, arguments, folder)
        if call is not None:
            yield call


def _whole(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield name and arguments of each successful call at its end; strace splits the lines of overlapping calls."""
    begun = {}
    for line in lines:
        thread, _, text = line.rstrip("\n").partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if text.startswith("<... "):
            text = begun.pop(thread) + text.partition(" resumed>")[2]
        name, _, rest = text.partition("(")
        if not rest.rpartition(" = ")[2].startswith("-1 "):
            yield name, rest


def _call(name: str, rest: str, folder: str) -> Call | None:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in rest.split('"')[1::2]]
    if name == "write" and texts and texts[0].startswith(ACKNOWLEDGED):
        return Call("done", data=texts[0].removeprefix(ACKNOWLEDGED).strip())
    path = _descriptor(rest) if name in _ON_DESCRIPTORS else texts[0].decode() if texts else ""
    if not f"{path}/".startswith(folder) or _LOCKS in f"{path}/":
        return None
    what = _WHAT.get(name)
    if what == "open" and "O_TRUNC" not in rest:
        if "O_CREAT" not in rest:
            return None
        what = "make"
    if what is None or what == "open":
        raise ValueError(f"the simulated disk does not know {name} (of {path})")
    if what == "link":
        return Call(what, texts[1].decode().removeprefix(folder), path.removeprefix(folder).encode())
    last = rest.rpartition(" = ")[0].rstrip(" )").rpartition(", ")[2]
    at = int(last) if what in ("write", "truncate") else 0
    return Call(what, path[len(folder) :], texts[0] if name in ("write", "pwrite64") else b"", at)


def _descriptor(rest: str) -> str:
    """Return the path of the descriptor in a call's first argument."""
    path = rest.partition("<")[2].partition(">")[0]
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
