"""Who runs this process, for the history."""

from __future__ import annotations

import os
import pwd
import sys

from sslctl.text import clean

LONGEST_PERSON = 100
"""The characters of the longest name of a person who acts through the page."""


def describe_actor(via: str = "", person: str = "") -> str:
    """Return the user and, in brackets, `via`, such as `alice (pts/3)`.

    If `via` is empty, it is the terminal of standard input, or `script` if that is no terminal. Under sudo, the user is
    `alice as root`. `person` is who acts through the page, which the user runs: `bob (page of alice)`.
    """
    user = find_user()
    if person:
        # The user stays visible: anybody who may run sslctl can claim to act for a person.
        return f"{person} (page{'' if person == user else f' of {user}'})"
    return f"{user} ({via or _terminal() or 'script'})"


def find_user() -> str:
    """Return the user of this process; under sudo `alice as root`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    if os.getuid() == 0 and os.environ.get("SUDO_USER"):
        return f"{clean(os.environ['SUDO_USER'], 40)} as {user}"
    return user


def _terminal() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    try:
        return os.ttyname(sys.stdin.fileno()).removeprefix("/dev/")
    except OSError:
        # In a container or a chroot, the terminal may have no name below /dev.
        return "terminal"
