"""The files of archived history: JSON Lines, compressed with gzip.

The first line describes the file, the last one counts its lines. Between them is a line for each event, then for each certificate and
for each order; `type` says which. docs/operations.md describes the fields. No line has a private key.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import BinaryIO

from sslctl.errors import BadInput, StateError
from sslctl.rules.audit_chain import Record
from sslctl.system.files import replacing, sync_folder
from sslctl.text import clean

_FORMAT = {"type": "sslctl-history", "format": 1}
_EVENT = ("id", "domain_id", "domain", "at", "actor", "kind", "detail", "version")
_SUFFIX = ".jsonl.gz"
_READ_BYTES = 1 << 20
# An event has a few hundred bytes, a certificate with its chain some thousand.
_LONGEST_LINE = 4 << 20
_encode = json.JSONEncoder(separators=(",", ":")).encode


class _Measured:
    """A file, with the SHA-256 and the size of what was written into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        self.size += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class ArchiveWriter:
    """An archive that is being written. `sha256` and `size` are those of the file after the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._measured = _Measured(file)
        # Without a name and a time: the same history is the same file.
        self._packed = gzip.GzipFile("", "wb", 6, self._measured, mtime=0)
        self._lines = 0

    def begin(self, **description: object) -> None:
        """Write the first line."""
        self._write({**_FORMAT, **description})

    def event(self, record: Record, mac: str | None) -> None:
        """Write an event."""
        self._write({"type": "event", **dict(zip(_EVENT, record, strict=True)), "mac": mac})

    def rows(self, kind: str, rows: Iterable[dict[str, object]]) -> None:
        """Write certificates or orders."""
        for row in rows:
            self._write({"type": kind, **row})

    def end(self) -> None:
        """Write the last line, and what is buffered."""
        self._write({"type": "end", "lines": self._lines})
        self._packed.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal digits."""
        return self._measured.sha256

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._measured.size

    def _write(self, line: dict[str, object]) -> None:
        self._packed.write(_encode(line).encode() + b"\n")
        self._lines += 1


def make_folder(folder: Path) -> None:
    """Make the folder of the archives, which only its owner may read, unless it exists. Raise `StateError`."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
    except OSError as error:
        raise _unwritable(folder, error) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed left in `folder`: files that have no name of an archive yet. Raise `StateError`."""
    try:
        for each in folder.glob(f".history-*{_SUFFIX}.*"):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def free_name(folder: Path, number: int, at: str) -> str:
    """Return a name in `folder` for the archive `number`, made `at` a time (RFC 3339).

    A run that was killed, or a database that was replaced by an older one, may have made an archive with this number before.
    """
    stem = f"history-{number:06}-{at.replace('-', '').replace(':', '')}"
    names = (f"{stem}-{again}{_SUFFIX}" if again > 1 else stem + _SUFFIX for again in count(1))
    return next(name for name in names if not os.path.lexists(folder / name))


@contextmanager
def writing(path: Path) -> Iterator[ArchiveWriter]:
    """Yield a writer for the new archive `path`, mode 0600, which is complete and durable after the block.

    No file is there if the block raises. Raise `StateError` if it exists or cannot be written, or is not read back as it was written: then it
    stays, for whoever looks for the cause.
    """
    try:
        with replacing(path, force=False) as file:
            writer = ArchiveWriter(file)
            yield writer
        if digest_of(path) != writer.sha256:
            raise StateError(
                f"{path} cannot be read as it was written, so nothing was deleted", hint="check the disk"
            )
    except OSError as error:
        raise _unwritable(path, error) from error


def find_archives(path: Path) -> list[Path]:
    """Return the archives in the folder `path`, sorted by name; `path` itself if it is no folder."""
    return sorted(path.glob(f"history-*{_SUFFIX}")) if path.is_dir() else [path]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a regular file. Raise `OSError`."""
    # A pipe would be waited for, and a device has no end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "it is not a regular file", str(path))
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """An event in an archive, with its MAC."""

    record: Record
    mac: object


def read_events(path: Path) -> Iterator[ArchivedEvent]:
    """Yield the events of the archive `path`, one at a time. Raise `BadInput` if it cannot be read or is no archive."""
    try:
        with gzip.open(path, "rb") as file:
            _require_format(_line(file))
            while (line := _line(file)) is not None and line.get("type") == "event":
                yield ArchivedEvent(tuple(line[key] for key in _EVENT), line["mac"])  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error, ValueError, LookupError) as error:
        raise BadInput(f"cannot read the archive {clean(path)}: {clean(error)}") from error


def _require_format(first: dict[str, object] | None) -> None:
    if first is None or {key: first.get(key) for key in _FORMAT} != _FORMAT:
        raise ValueError("it is not an archive of this version")


def _line(file: gzip.GzipFile) -> dict[str, object] | None:
    line = file.readline(_LONGEST_LINE)
    if not line:
        return None
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("a line is no object")  # noqa: TRY004 - one kind of error
    return found


def _unwritable(path: Path, error: OSError) -> StateError:
    reason = "it exists already" if isinstance(error, FileExistsError) else error.strerror or error
    folder = os.fspath(path)
    return StateError(
        f"cannot write the archive {clean(folder, 4096)}: {clean(reason)}; what is not in an archive stays in the database",
        hint="history.archive_dir or --to names another folder",
    )
