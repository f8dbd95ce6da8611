"""Lineages: what certbot keeps of its own certificates in its configuration folder, usually /etc/letsencrypt.

`live/NAME/cert.pem` is a symbolic link to `archive/NAME/certN.pem`, the current version. Beside it in `archive/NAME` are its chain, its
key, and the earlier versions. `renewal/NAME.conf` says at which CA and with which account certbot renews it.

The folder may be a copy, or in the hands of somebody else. So every file is read by `system.below`. A link is only read for the name of its target in
`archive/NAME`: it never leads anywhere else.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sslctl.errors import BadInput
from sslctl.rules.model import Bundle
from sslctl.system import below
from sslctl.text import clean

_LARGEST = 256 * 1024
# certbot renews at most once a day; the history of a certificate of six days has some sixty versions a year.
_MOST_VERSIONS = 1000
_CERTIFICATE = re.compile(r"cert([1-9][0-9]{0,8})\.pem", re.ASCII)
_KEY = re.compile(r"privkey([1-9][0-9]{0,8})\.pem", re.ASCII)
# configobj's format: `key = value` below a section in square brackets.
_SETTING = re.compile(r"[ \t]*(server|account)[ \t]*=[ \t]*(.*?)[ \t]*", re.ASCII)
_PARAMETERS = "[renewalparams]"


@dataclass(frozen=True, slots=True)
class RenewalSettings:
    """The URL of the CA's directory, and the id of certbot's account there; empty if the file does not say."""

    server: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A lineage: its versions up to the current one, oldest first, each with its number.

    A `BadInput` stands for a version that cannot be read. Whether certificate, chain and key belong together was not checked.
    """

    name: str
    settings: RenewalSettings
    versions: tuple[tuple[int, Bundle | BadInput], ...]


def find_names(folder: Path) -> list[str]:
    """Return the names of the lineages in certbot's `folder`, sorted. Raise `BadInput` if it is none, or cannot be read."""
    names: set[str] = set()
    with opened_root(folder) as root:
        for entry in _list(root, "live", folder):
            # certbot's README is no lineage. A link is reported when it is read.
            if not entry.is_file(follow_symlinks=False):
                names.add(entry.name)
        with suppress(FileNotFoundError):
            names |= {
                entry.name.removesuffix(".conf")
                for entry in _list(root, "renewal", folder)
                if entry.name.endswith(".conf")
            }
    return sorted(names)


def read(folder: Path, name: str) -> Lineage:
    """Return the lineage `name` in certbot's `folder`. Raise `BadInput` if it cannot be read."""
    with opened_root(folder) as root, _explaining():
        with below.opened(root, "live", name) as live:
            target = below.read_link(live, "cert.pem")
        current = _CERTIFICATE.fullmatch(_target_in_archive(target, name))
        if current is None:
            raise BadInput(f"live/{clean(name)}/cert.pem is no symbolic link into archive/{clean(name)}")
        with below.opened(root, "archive", name) as archive:
            numbers = _find_versions(archive, int(current[1]))
            versions = tuple((number, _read_version(archive, name, number)) for number in numbers)
        return Lineage(name, _read_settings(root, name), versions)


def read_settings(folder: Path, name: str) -> RenewalSettings:
    """Return what `renewal/NAME.conf` in certbot's `folder` says; nothing if it cannot be read."""
    with opened_root(folder) as root:
        return _read_settings(root, name)


@contextmanager
def opened_root(folder: Path) -> Iterator[int]:
    """Yield the descriptor of certbot's `folder`. Raise `BadInput` if it cannot be opened."""
    with ExitStack() as stack:
        try:
            root = stack.enter_context(below.opened_root(folder))
        except OSError as error:
            raise unreadable(folder, error) from error
        yield root


def _list(root: int, part: str, folder: Path) -> list[os.DirEntry[str]]:
    try:
        with below.opened(root, part) as descriptor, os.scandir(descriptor) as entries:
            found = list(entries)
            for entry in found:
                # While the folder is open: a file system that does not tell the kind of an entry is asked for it.
                entry.is_file(follow_symlinks=False)
    except FileNotFoundError as error:
        if part != "live":
            raise
        raise BadInput(
            f"{clean(folder)} is no configuration folder of certbot: it has no folder {part}",
            hint="name the folder that has live, archive and renewal in it, usually /etc/letsencrypt",
        ) from error
    except OSError as error:
        raise unreadable(folder / part, error) from error
    return found


def unreadable(path: Path, error: OSError) -> BadInput:
    """Return the error of a file or folder of certbot that cannot be read."""
    hint = "run this command as root, to whom certbot's files belong" if error.errno == errno.EACCES else None
    return BadInput(f"{clean(path)} cannot be read: {below.describe(error)}", hint=hint)


@contextmanager
def _explaining() -> Iterator[None]:
    """Turn an `OSError` of a lineage's files into `BadInput`."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{clean(error.filename)} cannot be read: {below.describe(error)}") from error


def _target_in_archive(target: str, name: str) -> str:
    """Return the name of the file in `archive/NAME` to which a link leads; empty if it leads somewhere else.

    certbot writes `../../archive/NAME/certN.pem`, and for a key that it uses again an absolute path, which is another one in a copy.
    """
    path = PurePosixPath(target)
    return path.name if path.parts[-3:-1] == ("archive", name) else ""


def _find_versions(archive: int, current: int) -> list[int]:
    """Return the numbers of the versions up to the `current` one, oldest first: certbot itself does not use later ones."""
    with os.scandir(archive) as entries:
        matches = (_CERTIFICATE.fullmatch(entry.name) for entry in entries)
        numbers = sorted(int(match[1]) for match in matches if match is not None)
    known = [number for number in numbers if number <= current]
    if current not in known:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"cert{current}.pem")
    return known[-_MOST_VERSIONS:]


def _read_version(archive: int, name: str, number: int) -> Bundle | BadInput:
    try:
        with _explaining():
            certificate, chain = (_read_text(archive, f"{kind}{number}.pem") for kind in ("cert", "chain"))
            return Bundle(certificate, chain, _read_text(archive, _find_key(archive, name, number)))
    except BadInput as error:
        return error


def _find_key(archive: int, name: str, number: int) -> str:
    """Return the name of the key of a version. One that certbot uses again is a link to that of the earlier version."""
    own = f"privkey{number}.pem"
    target = _target_in_archive(below.read_link(archive, own), name)
    return target if _KEY.fullmatch(target) else own


def _read_text(folder: int, name: str) -> str:
    return below.read(folder, name, _LARGEST).decode("utf-8", "replace")


def _read_settings(root: int, name: str) -> RenewalSettings:
    try:
        with below.opened(root, "renewal") as folder:
            lines = _read_text(folder, f"{name}.conf").splitlines()
    except OSError:
        return RenewalSettings()
    start = next((at for at, line in enumerate(lines) if line.strip() == _PARAMETERS), len(lines))
    # A later value counts, as in configobj; a section below, `[[webroot_map]]`, has no such keys.
    matches = filter(None, map(_SETTING.fullmatch, lines[start:]))
    found = {match[1]: clean(match[2].strip("\"'")) for match in matches}
    return RenewalSettings(found.get("server", ""), found.get("account", ""))
