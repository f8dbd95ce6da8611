"""The message to systemd that a service is ready."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sslctl.system.readiness import notify_ready


@pytest.mark.parametrize("is_abstract", [False, True])
def test_readiness_is_sent_to_the_socket_of_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_abstract: bool
) -> None:
    address = f"@{tmp_path}/notify" if is_abstract else f"{tmp_path}/notify"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address[1:]}" if is_abstract else address)
        systemd.settimeout(0)
        notify_ready()
        assert systemd.recv(100) == b"READY=1"


def test_readiness_is_sent_to_nobody_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_ready()
