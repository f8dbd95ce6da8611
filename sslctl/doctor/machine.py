"""Checks of this machine: permissions, the key file, disk space, and where challenges are answered."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sslctl import __version__
from sslctl.certificates.trust import TrustedRoots
from sslctl.config import cdn_names
from sslctl.config.acme import AcmeSection
from sslctl.config.secret_file import require_trusted
from sslctl.config.settings import CdnSection, NotifySection, SafetySection
from sslctl.config.state import StateSection
from sslctl.doctor import Check, bad, ok, warn
from sslctl.issuer.certbot import listener, versions
from sslctl.notify import Notifier
from sslctl.notify.configured import make_notifier, make_routes
from sslctl.notify.webhook import make_webhook
from sslctl.store.keyring import Keyring
from sslctl.system.ownership import can_others_change, user_name
from sslctl.text import clean

CDN = "names of the CDN"
TRUSTED_ROOTS = "trusted roots"
NOTIFICATIONS = "notifications"
WEBHOOK = "webhook"
_OTHERS_READ = 0o055
_BAD_BYTES, _FEW_BYTES = 100 << 20, 1 << 30
_BAD_INODES, _FEW_INODES = 1_000, 10_000


def program() -> Iterator[Check]:
    """Report which sslctl runs, and with which Python: after an upgrade there may be two of each."""
    yield ok("program", f"sslctl {__version__} in {clean(sys.prefix)}, Python {platform.python_version()}")


def cdn(section: CdnSection) -> Iterator[Check]:
    """Check that the configuration says how to recognise a domain that points at the CDN."""
    cdn_names.require_recognisable(section)
    placeholders = cdn_names.find_placeholders(section)
    if placeholders:
        yield warn(
            CDN,
            f"cdn.cname_suffixes has an example in it: {clean(', '.join(placeholders))}",
            cdn_names.suffix_hint(),
        )
    else:
        yield ok(CDN, clean(", ".join(section.cname_suffixes)) or "recognised by cdn.ip_ranges alone")


def certbot() -> Iterator[Check]:
    """Check that the installed versions of certbot and acme were tested with this sslctl."""
    name, untested = "certbot", versions.find_untested()
    if untested:
        hint = "install a tested version, or look at the first orders; an update of sslctl may have tested it"
        yield warn(name, untested, hint)
    else:
        yield ok(name, versions.describe())


def permissions(state: StateSection) -> Iterator[Check]:
    """Check the permissions of the state folder, the database and certbot's folder, as far as they exist."""
    places = (
        ("state folder", state.dir),
        ("database file", state.database_path),
        ("certbot's folder", state.acme_dir),
    )
    for name, place in places:
        if os.path.lexists(place):
            yield _permission(name, place)


def _permission(name: str, place: Path) -> Check:
    if place.is_symlink():
        return bad(name, f"{clean(place)} is a symbolic link", "set state.dir to the real path")
    found, mode = place.stat(), f"mode {stat.S_IMODE(place.stat().st_mode):04o}"
    if found.st_uid not in (0, os.geteuid()):
        owner = user_name(found.st_uid)
        return bad(
            name,
            f"{clean(place)} belongs to the user {owner}",
            f"run sslctl as its owner: sudo -u {owner} sslctl …",
        )
    if can_others_change(found):
        return bad(name, f"other users can change {clean(place)} ({mode})", f"chmod go-w {clean(place)}")
    if found.st_mode & _OTHERS_READ:
        return warn(name, f"other users can read {clean(place)} ({mode})", f"chmod go= {clean(place)}")
    if not os.access(place, os.W_OK):
        return bad(name, f"{clean(place)} cannot be written", "run sslctl as the owner of the state")
    return ok(name, f"{clean(place)}, {mode}")


def key_file(keyring: Keyring, state: StateSection) -> Iterator[Check]:
    """Check that the key file exists, contains keys, and can be read by us alone."""
    name = "key file"
    if not keyring.exists and not state.is_on_server and not state.database_path.exists():
        yield warn(
            name, f"{clean(keyring.path)} does not exist yet", "`sslctl init` creates it with the database"
        )
        return
    keys = len(keyring.read())
    if keys > 1:
        hint = "run `sslctl keys rotate`: it re-encrypts everything with the first key and removes the others"
        yield warn(name, f"{clean(keyring.path)} contains {keys} keys: a rotation is not complete", hint)
        return
    yield ok(name, clean(keyring.path))


def trusted_roots(safety: SafetySection) -> Iterator[Check]:
    """Check that the CAs that browsers trust are known; without them no certificate counts as trusted."""
    if safety.trusted_roots is not None:
        require_trusted(safety.trusted_roots, "safety.trusted_roots")
    number = len(TrustedRoots(safety.trusted_roots).roots)
    if number:
        yield ok(TRUSTED_ROOTS, f"{number} CAs that browsers trust are known")
    else:
        yield warn(
            TRUSTED_ROOTS,
            "the system has no CAs, so a certificate that browsers do not trust can replace one that they do",
            "install the package ca-certificates, or set safety.trusted_roots",
        )


def notifications(notify: NotifySection) -> Iterator[Check]:
    """Check that people are notified, and that the URLs can be read; no message is sent."""
    notifier, routes = make_notifier(notify), make_routes(notify)
    if notifier is None:
        yield warn(
            NOTIFICATIONS,
            "nobody is notified of trouble",
            "set notify.urls_file, and test it with `sslctl notify`",
        )
        return
    parts = [
        _count_urls(notifier),
        *(f"route {clean(route.key)}: {_count_urls(route.notifier)}" for route in routes),
    ]
    yield ok(NOTIFICATIONS, "; ".join(parts))


def webhook(notify: NotifySection) -> Iterator[Check]:
    """Check that the messages of the webhook can be signed; none is sent. Nothing without a webhook."""
    if make_webhook(notify) is not None:
        yield ok(
            WEBHOOK, f"a message about each change of status, signed ({urlsplit(notify.webhook_url).scheme})"
        )
    elif notify.webhook_secret_file is not None:
        yield warn(
            WEBHOOK,
            "notify.webhook_secret_file is set, but notify.webhook_url is not: nothing is sent",
            "set both, or neither",
        )


def _count_urls(notifier: Notifier) -> str:
    number = len(notifier.schemes)
    return "1 URL" if number == 1 else f"{number} URLs"


def disk_space(folder: Path) -> Iterator[Check]:
    """Check the free space on the disk of `folder`, or of the nearest parent that exists."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    detail = f"{free >> 20:,} MiB free at {clean(place)}"
    yield _enough("disk space", detail, free, _BAD_BYTES, _FEW_BYTES)
    # btrfs and others have no fixed number of inodes, and report 0.
    if disk.f_files:
        yield _enough("inodes", f"{disk.f_favail:,} free", disk.f_favail, _BAD_INODES, _FEW_INODES)


def _enough(name: str, detail: str, found: int, least: int, few: int) -> Check:
    hint = "free some disk space; without it no certificate is ordered or renewed"
    return (
        bad(name, detail, hint)
        if found < least
        else warn(name, detail, hint)
        if found < few
        else ok(name, detail)
    )


def challenges(acme: AcmeSection, *, is_ticking: bool) -> Iterator[Check]:
    """Check where the CA's challenges are answered; in standalone mode a running tick uses the port itself."""
    if acme.mode == "webroot":
        yield _webroot(acme.webroot)
        return
    if acme.mode == "stateless":
        yield ok("challenges", "the edges answer them by themselves; nothing is written here")
        return
    name, where = (
        "port for challenges",
        f"port {acme.http01_port} of {acme.http01_address or 'all addresses'}",
    )
    problem = listener.find_trouble(acme.http01_address, acme.http01_port)
    if not problem:
        yield ok(name, f"{where} is free")
    elif is_ticking:
        yield ok(name, f"{where} is in use by a running tick")
    else:
        hint = "stop other programs that listen there, and allow sslctl's user to (below port 1024: CAP_NET_BIND_SERVICE)"
        yield bad(name, f"cannot listen on {where}: {problem}", hint)


def _webroot(folder: Path) -> Check:
    name = "webroot"
    if not folder.is_dir():
        return bad(
            name,
            f"{clean(folder)} does not exist",
            f"create it, and let the edge route challenges there: mkdir {clean(folder)}",
        )
    if folder.stat().st_mode & stat.S_IWOTH:
        hint = f"chmod o-w {clean(folder)}; otherwise every user of this machine can answer challenges"
        return bad(name, f"every user can write to {clean(folder)}", hint)
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad(name, f"{clean(folder)} cannot be written", "make the user who runs sslctl its owner")
    return ok(name, clean(folder))
