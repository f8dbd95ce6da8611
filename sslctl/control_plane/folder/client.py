"""A control plane without an API: PEM files in a folder, a command that makes the edge load them, and a look at the edge.

It is the worked example of docs/control-planes.md. An upload takes these steps; after a kill between any two of them, what is served is
what the edge loaded last, and the next pass goes on:

1. Write the new version into a folder of its own.
2. Switch the symbolic link of the name to it.
3. Run the reload command. If it fails, switch back.
4. Mark the version as loaded, and remove old ones.

A version that was switched to and is not marked is loaded by the next `upload` or `certificate`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sslctl.certificates.x509 import check_pair, read_leaf
from sslctl.control_plane import (
    NOTHING,
    Changed,
    ControlPlaneError,
    Installed,
    NoInventory,
    Record,
    Rejected,
    State,
    TextCertificatePresent,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.control_plane.folder.files import Files, Version, is_safe
from sslctl.control_plane.folder.reloading import Reload
from sslctl.errors import BadInput, ConfigError, SslctlError
from sslctl.rules.model import Bundle, Source
from sslctl.system.files import read_bounded
from sslctl.system.locks import locked
from sslctl.text import clean

_PORTS = frozenset({80, 443})
_LOCK_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LARGEST_LIST = 1 << 25


class FolderControlPlane:
    """A `ControlPlane` over the folder `root`.

    `names_file` has one domain on each line; without it every name is known. `cname_target` is the edge's own name. `reload`
    makes the edge load its files. Each of `look_at` returns the fingerprint that an edge serves for a name, None if nothing, and raises
    `TimeoutError` if it does not answer; without them the marks in the folder count.
    """

    def __init__(
        self,
        root: Path,
        *,
        cname_target: str,
        names_file: Path | None,
        reload: Reload,
        look_at: Sequence[Callable[[str], str | None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._root = root
        self._cname_target = cname_target
        self._names_file = names_file
        self._reload = reload
        self._look_at = look_at
        self._clock = clock
        # What the file was like when it was read last, and its names: a large one is not read for each request.
        self._last_names: tuple[tuple[int, ...], frozenset[str]] = ((), frozenset())
        self._files = Files(root)
        if not root.is_dir():
            raise ConfigError(
                f"folder.dir: {clean(root)} is not a folder",
                hint=f"create it: install -d -m 0700 {clean(root)}",
            )

    def domain(self, name: str) -> Record:
        """See `ControlPlane.domain`."""
        self._require_known(name)
        return self._record(name)

    def _record(self, name: str) -> Record:
        version = self._find(name)
        return Record(name, self._cname_target, _PORTS, None if version is None else version.installed)

    def inventory(self) -> Iterator[Record]:
        """See `ControlPlane.inventory`."""
        names = self._names()
        if names is None:
            raise NoInventory("folder.names_file is not set, so every name is known")
        for name in sorted(names):
            yield self._record(name)

    def upload(self, name: str, bundle: Bundle, source: Source, expected: str | None = None) -> State:
        """See `ControlPlane.upload`."""
        self._require_known(name)
        try:
            check_pair(bundle.certificate, bundle.private_key, bundle.chain, (name,), self._clock())
        except BadInput as error:
            raise Rejected(error.message, "bad_pair") from error
        fingerprint = read_leaf(bundle.certificate).fingerprint
        with self._locked():
            self._files.prepare()
            current = self._find(name)
            is_installed = current is not None and current.installed.fingerprint == fingerprint
            if not is_installed:
                if current is not None and current.installed.source is Source.TEXT and source is Source.C4:
                    raise TextCertificatePresent("a certificate that was added by text is installed")
                _require_expected(current, expected)
                version = self._files.write(name, bundle, source)
                self._files.switch(name, version)
        if is_installed and current is not None:
            return self._load(name, current)
        self._activate(name, version, current)
        with _translating():
            self._files.mark_loaded(version)
            self._files.prune(name)
        return State.ACTIVE

    def certificate(self, name: str) -> Installed | None:
        """See `ControlPlane.certificate`. Load what a killed process has switched to, and look at the edge."""
        self._require_known(name)
        version = self._find(name)
        if version is None:
            return None
        if not version.is_loaded:
            self._load(name, version)
            version = self._find(name)
        if version is None:
            return None
        installed = version.installed
        is_served = all(self._read_served(look, name) == installed.fingerprint for look in self._look_at)
        return installed if is_served else replace(installed, state=State.ACTIVATING)

    def _read_served(self, look: Callable[[str], str | None], name: str) -> str | None:
        try:
            return look(name)
        except TimeoutError as error:
            raise Unanswered(f"the edge gave no answer over TLS: {error}") from error

    def remove(self, name: str, expected: str | None = None) -> bool:
        """See `ControlPlane.remove`."""
        self._require_known(name)
        with self._locked():
            current = self._find(name)
            if current is None:
                return False
            _require_expected(current, expected)
            self._files.switch(name, None)
        self._activate(name, None, current)
        return True

    def health(self) -> datetime | None:
        """See `ControlPlane.health`: the folder can be written, and the list of names can be read."""
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise Unauthorized("this user may not change the folder")
        self._names()
        return None

    def close(self) -> None:
        """See `ControlPlane.close`."""

    def _activate(self, name: str, version: Path | None, before: Version | None) -> None:
        """Make the edge load the folder `version` (None: nothing) of `name`; switch back to `before` if it does not.

        The lock is not held meanwhile, so that one reload may serve many names.
        """
        try:
            self._reload()
        except ControlPlaneError:
            with self._locked():
                now = self._find(name)
                if (None if now is None else now.path) == version:
                    self._files.switch(name, None if before is None else before.path)
                if version is not None:
                    self._files.drop(version)
            raise

    def _load(self, name: str, version: Version) -> State:
        """Make the edge load what is installed already, unless it has. A killed process may have set one of the two links."""
        if not version.is_loaded:
            with self._locked():
                self._files.switch(name, version.path)
            self._reload()
            with _translating():
                self._files.mark_loaded(version.path)
        return State.ACTIVE

    def _find(self, name: str) -> Version | None:
        try:
            return self._files.find(name)
        except BadInput as error:
            raise Unanswered(f"the installed file of {name} cannot be read: {error.message}") from error
        except OSError as error:
            raise Unanswered(f"the files of {name} cannot be read: {clean(error.strerror)}") from error

    def _require_known(self, name: str) -> None:
        names = self._names()
        if not is_safe(name) or (names is not None and name not in names):
            raise UnknownDomain(f"{clean(name, 255)} is not in the list of names")

    def _names(self) -> frozenset[str] | None:
        """Return the names of `names_file`, None without one."""
        if self._names_file is None:
            return None
        try:
            state = self._names_file.stat()
            seen = (state.st_ino, state.st_size, state.st_mtime_ns)
            before, known = self._last_names
            if seen == before:
                return known
            text = read_bounded(self._names_file, _LARGEST_LIST).decode("utf-8", "replace")
        except OSError as error:
            raise Unanswered(f"folder.names_file cannot be read: {clean(error.strerror)}") from error
        lines = (line.partition("#")[0].strip().lower().rstrip(".") for line in text.splitlines())
        names = frozenset(name for name in lines if is_safe(name))
        self._last_names = (seen, names)
        return names

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes and threads from changing the folder. Raise `Unanswered` after a while, and for an `OSError`."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with _translating(), locked(self._root / ".lock") as is_ours:
                if is_ours:
                    yield
                    return
            if time.monotonic() > deadline:
                raise Unanswered(
                    f"another process changes the folder for more than {_LOCK_SECONDS:g} seconds"
                )
            time.sleep(_POLL_SECONDS)


@contextmanager
def _translating() -> Iterator[None]:
    """Turn an `OSError`, such as that of a full disk, and an error of the lock into `Unanswered`."""
    try:
        yield
    except OSError as error:
        raise Unanswered(f"the folder cannot be changed: {clean(error.strerror)}") from error
    except SslctlError as error:
        raise Unanswered(error.message) from error


def _require_expected(current: Version | None, expected: str | None) -> None:
    """Raise `Changed` unless what is installed is what the caller `expected`; see `ControlPlane.upload`."""
    if expected is None:
        return
    found = NOTHING if current is None else current.installed.fingerprint
    if found != expected:
        raise Changed(f"another certificate is installed: {found[:16] or 'none'}")
