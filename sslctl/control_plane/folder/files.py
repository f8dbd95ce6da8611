"""The layout of the folder, and the atomic switch from one version of a certificate to another.

- `versions/NAME/ID/` has one version: `fullchain.pem`, `privkey.pem`, `combined.pem` (the chain, then the key) and `about.json`.
- `live/NAME` is a symbolic link to the version that is installed. To replace it is the switch.
- `pem/NAME.pem` is a symbolic link to `live/NAME/combined.pem`, for servers that read all files of one folder (HAProxy's `crt`).

`NAME` is an A-label name of letters, digits, hyphens and dots: no name leaves its folder. Files are 0600, folders 0700.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sslctl.certificates.x509 import read_leaf, split_fullchain
from sslctl.control_plane import Installed, State
from sslctl.rules.model import Bundle, Source
from sslctl.system.files import read_bounded, replacing, sync_folder

_NAME = re.compile(
    r"(?!.{254})([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_MOST_BYTES = 1 << 20
_KEPT = 2
_LOOKS = 3


def is_safe(name: str) -> bool:
    """Return whether `name` may be a part of a path: a host name as A-labels in lower case, with at least one dot."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Version:
    """The installed version of a name: its folder, what it has, and whether the edge has loaded it."""

    path: Path
    installed: Installed
    is_loaded: bool


class Files:
    """The files of all names below the folder `root`. Every method may raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def prepare(self) -> None:
        """Make the folders, for this user alone."""
        for name in ("versions", "live", "pem"):
            (self._root / name).mkdir(mode=0o700, exist_ok=True)

    def find(self, name: str) -> Version | None:
        """Return what is installed for `name`, None if nothing is. Raise `BadInput` if the files are no certificate.

        What sslctl did not write, such as a file that a person put there, has the source `text`.
        """
        link, pem = self._root / "live" / name, self._root / "pem" / f"{name}.pem"
        for _ in range(_LOOKS):
            # All files of one version, also if another process switches to another one meanwhile, and removes this one.
            path = link.resolve()
            try:
                text = read_bounded(path / "fullchain.pem", _MOST_BYTES).decode("utf-8", "replace")
                break
            except FileNotFoundError:
                if not os.path.lexists(link):
                    return None
        else:
            raise FileNotFoundError(
                errno.ENOENT, "the version that is installed has no fullchain.pem", str(path)
            )
        leaf = read_leaf(split_fullchain(text)[0])
        about = _read_about(path)
        is_ours = about.get("fingerprint") == leaf.fingerprint
        source = Source(about["source"]) if is_ours else Source.TEXT
        is_loaded = not is_ours or ((path / "loaded").exists() and pem.is_symlink())
        state = State.ACTIVE if is_loaded else State.ACTIVATING
        return Version(path, Installed(source, leaf.fingerprint, leaf.not_after, state), is_loaded)

    def write(self, name: str, bundle: Bundle, source: Source) -> Path:
        """Write a new version of `name` and return its folder; nothing is installed yet."""
        folder = self._root / "versions" / name
        folder.mkdir(mode=0o700, exist_ok=True)
        version = Path(tempfile.mkdtemp(dir=folder, prefix="v-"))
        about = {"source": source, "fingerprint": read_leaf(bundle.certificate).fingerprint}
        contents = {
            "fullchain.pem": bundle.fullchain,
            "privkey.pem": bundle.private_key,
            "combined.pem": bundle.fullchain + bundle.private_key,
            "about.json": json.dumps(about),
        }
        for file, content in contents.items():
            with replacing(version / file) as stream:
                stream.write(content.encode())
        sync_folder(folder)
        return version

    def switch(self, name: str, version: Path | None) -> None:
        """Install the folder `version` for `name` in one step; None installs nothing."""
        live, pem = self._root / "live" / name, self._root / "pem" / f"{name}.pem"
        if version is None:
            # First the one that depends on the other.
            pem.unlink(missing_ok=True)
            live.unlink(missing_ok=True)
            sync_folder(live.parent)
            return
        _link(live, os.path.relpath(version, live.parent))
        if not pem.is_symlink():
            _link(pem, f"../live/{name}/combined.pem")

    def mark_loaded(self, version: Path) -> None:
        """Record that the edge has loaded `version`."""
        with replacing(version / "loaded"):
            pass

    def prune(self, name: str) -> None:
        """Remove the versions of `name`, except the installed one and the newest others, two in all."""
        live = (self._root / "live" / name).resolve()
        found = sorted(
            (path for path in (self._root / "versions" / name).iterdir() if path != live),
            key=lambda path: path.stat().st_mtime,
        )
        for path in found[: -(_KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)

    def drop(self, version: Path) -> None:
        """Remove a version that is not installed."""
        shutil.rmtree(version, ignore_errors=True)


def _read_about(version: Path) -> dict[str, str]:
    """Return what `Files.write` recorded about a version; empty if a person wrote it."""
    try:
        about = json.loads(read_bounded(version / "about.json", _MOST_BYTES))
        return {"fingerprint": str(about["fingerprint"]), "source": Source(about["source"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step, in place of an earlier link. Raise `OSError` for a folder."""
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    new.replace(path)
    sync_folder(path.parent)
