"""The challenge files of probes. Each is noted in a file named by its token, so that what a kill leaves is removed some time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sslctl.issuer.certbot import challenge_files
from sslctl.issuer.certbot.job_runner import make_folder, translating_os_errors

_PREFIX = "probe-"


@contextmanager
def published(token: str, content: str, webroot: Path, notes: Path) -> Iterator[None]:
    """Have a file for `token` below `webroot` while the block runs, noted in the folder `notes`. Raise `IssueError`."""
    note = notes / f"{_PREFIX}{token}"
    make_folder(notes)
    try:
        with translating_os_errors(), challenge_files.opened(webroot) as folder:
            note.touch(mode=0o600)
            challenge_files.write(folder, token, content.encode())
        yield
    finally:
        with suppress(OSError):
            remove(note, webroot)


def remove(note: Path, webroot: Path) -> None:
    """Remove the file that `note` is about, then the note. Raise `OSError`."""
    with challenge_files.opened(webroot) as folder:
        challenge_files.clear(folder, note.name.removeprefix(_PREFIX))
    note.unlink(missing_ok=True)
