"""The owner of a claim of an earlier release: a process, distinguished from a later one with the same number."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sslctl.store.sql.claims import is_gone


def this_process() -> str:
    """Return this process as earlier releases wrote it: host, process id and start time."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return f"{socket.gethostname()}/{os.getpid()}/{started}"


@pytest.mark.parametrize(
    ("owner", "gone"),
    [
        (this_process(), False),
        ("elsewhere.test/1/1", False),
        (f"{socket.gethostname()}/4194305/1", True),  # above the greatest process id, 2**22 (proc(5))
        (f"{socket.gethostname()}/nonsense/1", True),
        (f"{socket.gethostname()}//", True),
    ],
    ids=["this process", "another host", "no such process", "no process", "no number"],
)
def test_owner_is_gone_if_its_process_of_this_host_has_ended(owner: str, *, gone: bool) -> None:
    assert is_gone(owner) is gone
