"""Proof that the owners of claims live."""

from __future__ import annotations

from pathlib import Path

from sslctl.system import process_lock


class LockFiles:
    """Each process with claims holds a lock on a file in `folder`, which ends with it. For processes that share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> str:
        """Begin to prove that this process lives; return its id. Raise `StateError` or `MachineLimit` if that is impossible."""
        return process_lock.hold(self._folder).id

    def end(self) -> None:
        """End what `begin` began: the claims that this process still has are void then."""
        process_lock.release(self._folder)

    def is_alive(self, identity: str) -> bool | None:
        """Return whether the process with the id `identity` lives; None if that cannot be found out."""
        return process_lock.is_alive(self._folder, identity)

    def proven_at(self) -> float | None:
        """Return when this process last proved that it lives; None if it does so all the time."""
        return None

    def is_fresh(self, proof: float | None) -> bool:  # noqa: ARG002 - a lock needs no time
        """Return whether, after a `proof` at that time, every other process still takes this one for alive."""
        return True
