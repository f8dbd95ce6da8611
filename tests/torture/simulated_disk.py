"""The content that a disk may have after a power cut: the worst that POSIX allows.

Each 512-byte sector that was written since the last sync of a file may or may not be on the disk, so writes can be
missing, torn or reordered. A file may have its new length with any bytes in place of the new data. The creation or
removal of a file is durable only after a sync of its folder, each entry separately: a removed file may come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from tests.torture.disk_trace import Call

_SECTOR = 512

# Files and folders below the recorded folder, by path; a folder has None.
Content = dict[str, bytes | None]


class _File:
    """A file: its durable content and the changes since, as `(at, data)`; None as data is a new length."""

    def __init__(self, content: bytes = b"") -> None:
        self._sure = content
        self._now = bytearray(content)
        self._since: list[tuple[int, bytes | None]] = []

    def take(self, call: Call) -> None:
        if call.what == "sync":
            self._sure = self.now
            self._since.clear()
            return
        at = len(self._now) if call.what == "append" else call.at
        data = None if call.what == "truncate" else call.data
        self._since.append((at, data))
        _apply(self._now, at, data)

    @property
    def now(self) -> bytes:
        return bytes(self._now)

    def after_cut(self, random: Random) -> bytes:
        policy = random.choice(("nothing", "everything", "writes", "sectors", "sectors"))
        if policy == "nothing" or not self._since:
            return self._sure
        if policy == "everything":
            return self.now
        content = bytearray(self._sure)
        if random.random() < 0.25:
            # The length is durable first; the data are whatever the disk had there.
            content += random.randbytes(max(0, len(self._now) - len(content)))
        for at, data in self._since if policy == "writes" else _sectors(self._since):
            if random.random() < 0.5:
                _apply(content, at, data)
        return bytes(content)


# What a name in a folder refers to; None if it does not exist.
_FOLDER = "folder"
_Entry = _File | str | None


class SimulatedDisk:
    """The files below a durable folder, from `content` on, with each `Call` applied. A folder has None."""

    def __init__(self, content: Mapping[str, bytes | None]) -> None:
        # The entries of a path, from the durable one to the current one: several only until the folder is synced.
        self._places: dict[str, list[_Entry]] = {
            path: [_FOLDER if data is None else _File(data)] for path, data in content.items()
        }

    def take(self, call: Call) -> None:
        """Apply `call`."""
        place: list[_Entry] = self._places.setdefault(call.path, [None]) if call.path else [_FOLDER]
        match call.what:
            case "make" if place[-1] is None:
                place.append(_File())
            case "make folder":
                place.append(_FOLDER)
            case "link":
                place.append(self._places[call.data.decode()][-1])
            case "remove":
                place.append(None)
            case "sync" if place[-1] is _FOLDER:
                self._settle(call.path)
            case "sync" | "write" | "append" | "truncate":
                file = place[-1]
                assert isinstance(file, _File), call
                file.take(call)

    def _settle(self, folder: str) -> None:
        """Make the entries of the folder durable."""
        for path, entries in self._places.items():
            if path.rpartition("/")[0] == folder:
                del entries[:-1]

    @property
    def now(self) -> Content:
        """The current content, as a running system sees it."""
        return self._content(lambda entries: entries[-1], lambda file: file.now)

    def after_cut(self, random: Random) -> Content:
        """Return one of the contents that a power cut may leave now."""
        return self._content(random.choice, lambda file: file.after_cut(random))

    def _content(self, pick: Callable[[list[_Entry]], _Entry], read: Callable[[_File], bytes]) -> Content:
        found: Content = {}
        for path in sorted(self._places):
            entry, parent = pick(self._places[path]), path.rpartition("/")[0]
            if entry is not None and (not parent or parent in found):
                found[path] = read(entry) if isinstance(entry, _File) else None
        return found


def _sectors(changes: list[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
    for at, data in changes:
        if data is None:
            yield at, None
            continue
        start = at
        while start < at + len(data):
            end = min(at + len(data), (start // _SECTOR + 1) * _SECTOR)
            yield start, data[start - at : end - at]
            start = end


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        content += bytes(at - len(content))
        return
    content += bytes(max(0, at - len(content)))
    content[at : at + len(data)] = data
