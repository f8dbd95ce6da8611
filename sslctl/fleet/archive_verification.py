"""Verify the history together with archives of its older part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sslctl.errors import BadInput
from sslctl.fleet.archive_files import digest_of, find_archives, read_events
from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.history_seal import Seal
from sslctl.store.interface.history import History
from sslctl.text import clean


def verify(
    store: History, paths: Sequence[Path], noted: Head | None, on_unknown: Callable[[Path], None]
) -> Audit:
    """Verify the history in the database, and the archives `paths`: files, and folders with archives.

    `noted` is a head of an earlier time. If it is before the newest cut, the archive with its event must be among them; raise
    `BadInput` otherwise. `on_unknown` is called with each archive in a folder that has no seal here: an archive that is newer than a
    restored database, or one of a run that was killed. Raise `BadInput` for such a file that was named itself.
    """
    while True:
        seals = store.seals()
        audit = _verify(store, seals, paths, noted, on_unknown)
        # `history prune` may have moved a part of the history into an archive meanwhile.
        if not audit.broken or store.seals() == seals:
            return audit


def _verify(
    store: History,
    seals: Sequence[Seal],
    paths: Sequence[Path],
    noted: Head | None,
    on_unknown: Callable[[Path], None],
) -> Audit:
    archives = dict(_sealed(paths, seals, on_unknown))
    changed = next((found for found in archives.values() if isinstance(found, str)), "")
    is_archived = noted is not None and bool(seals) and noted.id <= seals[-1].cut
    audit = store.verify_history(None if is_archived else noted)
    if audit.broken or changed:
        return audit if audit.broken else replace(audit, broken=changed)
    archived = 0
    for seal in seals:
        path = archives.get(seal.number)
        if isinstance(path, Path):
            broken = _verify_archive(store, path, seals, seal, noted)
            if broken:
                return replace(audit, broken=broken, archived=archived)
            archived += seal.events
    if noted is not None and is_archived:
        broken = _require_noted(noted, seals, archives)
        return replace(audit, broken=broken, archived=archived)
    return replace(audit, archived=archived)


def _sealed(
    paths: Sequence[Path], seals: Sequence[Seal], on_unknown: Callable[[Path], None]
) -> Iterator[tuple[int, Path | str]]:
    """Yield the number of each archive with its path, or with what is wrong with it, in words."""
    by_digest, by_name = {seal.sha256: seal for seal in seals}, {seal.file: seal for seal in seals}
    for path in paths:
        for file in find_archives(path):
            try:
                seal = by_digest.get(digest_of(file))
            except OSError as error:
                raise BadInput(
                    f"cannot read the archive {clean(file, 4096)}: {clean(error.strerror or error)}"
                ) from error
            if seal is not None:
                yield seal.number, file
            elif file.name in by_name:
                sealed = by_name[file.name]
                yield (
                    sealed.number,
                    f"the archive {clean(file.name)} is not as it was sealed: its SHA-256 was {sealed.sha256}",
                )
            elif file == path:
                raise BadInput(
                    f"{clean(file, 4096)} is no archive of this history: no seal has its SHA-256",
                    hint="`sslctl history list` shows the archives; a database restored from before has their history itself",
                )
            else:
                on_unknown(file)


def _verify_archive(store: History, path: Path, seals: Sequence[Seal], seal: Seal, noted: Head | None) -> str:
    """Return how the events of an archive deviate from the chain, empty if they do not."""
    walk = store.walk_after(seals[seal.number - 2] if seal.number > 1 else None)
    for event in read_events(path):
        broken = walk.take(event.record, event.mac, noted)
        if broken:
            return f"{broken} ({clean(path.name)})"
    if (walk.taken, walk.state.hex()) != (seal.events, seal.state):
        return f"the archive {clean(path.name)} does not end at the state of its seal"
    return ""


def _require_noted(noted: Head, seals: Sequence[Seal], archives: dict[int, Path | str]) -> str:
    """Return what is wrong with `noted`, whose event is in an archive, if that is known now; raise `BadInput` if the archive is needed."""
    seal = next((each for each in seals if each.has(noted.id)), None)
    if seal is None:
        return f"event {noted.id}, which was noted as a head, is missing"
    if noted.id == seal.cut:
        return "" if noted == seal.head else f"event {noted.id} differs from the head {noted} that was noted"
    if seal.number not in archives:
        raise BadInput(
            f"the head {noted} is before the cut: its event is in the archive {clean(seal.file)}, which was not named",
            hint="name the file, or the folder of the archives, with --archive",
        )
    return ""
