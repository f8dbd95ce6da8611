"""Of this machine: who can read and write what, how much room there is, and where challenges are answered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sslctl.config.settings import AcmeSection, StateSection
from sslctl.doctor import Check, bad, ok, warn
from sslctl.issuer.certbot import listener
from sslctl.store.keyring import Keyring
from sslctl.text import clean

_OTHERS_READ, _OTHERS_WRITE = 0o055, 0o022
_BAD_BYTES, _FEW_BYTES = 100 << 20, 1 << 30
_BAD_INODES, _FEW_INODES = 1_000, 10_000


def permissions(state: StateSection) -> Iterator[Check]:
    """Look at the folder of the state, the database, and what certbot keeps."""
    yield _ours("state folder", state.dir)
    yield _ours("database file", state.database_path)
    if state.acme_dir.exists():
        yield _ours("certbot's folder", state.acme_dir)


def _ours(name: str, place: Path) -> Check:
    if place.is_symlink():
        return bad(name, f"{clean(place)} is a symbolic link", "name the real place in state.dir")
    if not place.exists():
        return warn(name, f"{clean(place)} is not there yet", "the first command that writes makes it")
    found, mode = place.stat(), f"mode {stat.S_IMODE(place.stat().st_mode):04o}"
    if found.st_uid not in (0, os.geteuid()):
        return bad(name, f"{clean(place)} is another user's", "run sslctl as the user whose state it is")
    if found.st_mode & _OTHERS_WRITE:
        return bad(name, f"other users can change {clean(place)} ({mode})", f"chmod go-w {clean(place)}")
    if found.st_mode & _OTHERS_READ:
        return warn(name, f"other users can read {clean(place)} ({mode})", f"chmod go= {clean(place)}")
    if not os.access(place, os.W_OK):
        return bad(name, f"{clean(place)} cannot be written", "run sslctl as the user whose state it is")
    return ok(name, f"{clean(place)}, {mode}")


def key_file(keyring: Keyring, state: StateSection) -> Iterator[Check]:
    """Look at the key file: it can be read, by us alone, and holds keys."""
    name = "key file"
    if not keyring.exists and not state.database_path.exists():
        yield warn(name, f"{clean(keyring.path)} is not there yet", "it is made with the database")
        return
    keys = len(keyring.read())
    if keys > 1:
        hint = "`sslctl keys rotate` seals everything with the first one and drops the others"
        yield warn(name, f"{clean(keyring.path)} holds {keys} keys: a rotation is not finished", hint)
        return
    yield ok(name, clean(keyring.path))


def room(folder: Path) -> Iterator[Check]:
    """Look at how much can be stored on the disk of `folder`, or of the first folder above it that is there."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    detail = f"{free >> 20:,} MiB free at {clean(place)}"
    yield _enough("disk space", detail, free, _BAD_BYTES, _FEW_BYTES)
    # btrfs and others have no fixed number of them, and say 0.
    if disk.f_files:
        yield _enough("inodes", f"{disk.f_favail:,} free", disk.f_favail, _BAD_INODES, _FEW_INODES)


def _enough(name: str, detail: str, found: int, least: int, few: int) -> Check:
    hint = "make room: without it nothing is ordered or renewed"
    return (
        bad(name, detail, hint)
        if found < least
        else warn(name, detail, hint)
        if found < few
        else ok(name, detail)
    )


def challenges(acme: AcmeSection, *, is_ticking: bool) -> Iterator[Check]:
    """Look at where the CA's challenges are answered; a tick that runs listens itself in standalone mode."""
    if acme.mode == "webroot":
        yield _webroot(acme.webroot)
        return
    name, where = (
        "port for challenges",
        f"port {acme.http01_port} of {acme.http01_address or 'all addresses'}",
    )
    trouble = listener.find_trouble(acme.http01_address, acme.http01_port)
    if not trouble:
        yield ok(name, f"{where} is free")
    elif is_ticking:
        yield ok(name, f"{where} is in use, and a tick is running")
    else:
        hint = "let no other program listen there, and let sslctl's user do so (below 1024: CAP_NET_BIND_SERVICE)"
        yield bad(name, f"cannot listen on {where}: {trouble}", hint)


def _webroot(folder: Path) -> Check:
    name = "webroot"
    if not folder.is_dir():
        return bad(
            name,
            f"{clean(folder)} is not there",
            f"make it, and let the edge lead challenges there: mkdir {clean(folder)}",
        )
    if folder.stat().st_mode & stat.S_IWOTH:
        hint = f"anybody on this machine could answer challenges there: chmod o-w {clean(folder)}"
        return bad(name, f"everybody can write to {clean(folder)}", hint)
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad(name, f"{clean(folder)} cannot be written", "give it to the user who runs sslctl")
    return ok(name, clean(folder))
