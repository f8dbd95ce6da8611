"""The file of a probe is served where the CA's challenges are, and removed afterwards, also after a kill."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.config.acme import AcmeSection
from sslctl.issuer import IssueError
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.reasons import Code

_OLD = 31 * 86_400
_KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from sslctl.config.acme import AcmeSection
from sslctl.issuer.certbot.issuer import CertbotIssuer

folder = Path(sys.argv[1])
acme = AcmeSection(webroot=folder / "webroot")
with CertbotIssuer(acme, folder / "acme", clock=lambda: datetime.now(UTC)).published("left"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    path = tmp_path / "webroot"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def issuer(tmp_path: Path, webroot: Path) -> Iterator[CertbotIssuer]:
    issuer = CertbotIssuer(AcmeSection(webroot=webroot), tmp_path / "acme", clock=_now)
    yield issuer
    issuer.close()


def challenges(webroot: Path) -> list[Path]:
    return list((webroot / ".well-known" / "acme-challenge").iterdir())


def notes(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "acme" / "answers").iterdir())


def test_file_has_the_mode_of_a_challenge_and_is_removed(
    issuer: CertbotIssuer, tmp_path: Path, webroot: Path
) -> None:
    before = os.umask(0o077)
    try:
        with issuer.published("-token_1") as content:
            (file,) = challenges(webroot)
            assert (file.name, file.read_text()) == ("-token_1", content)
            assert stat.S_IMODE(file.stat().st_mode) == 0o644
    finally:
        os.umask(before)
    assert (challenges(webroot), notes(tmp_path)) == ([], [])


def test_file_is_removed_when_the_probe_raises(issuer: CertbotIssuer, tmp_path: Path, webroot: Path) -> None:
    with pytest.raises(KeyError), issuer.published("token"):
        raise KeyError
    assert (challenges(webroot), notes(tmp_path)) == ([], [])


def test_parallel_probes_have_files_of_their_own(
    issuer: CertbotIssuer, tmp_path: Path, webroot: Path
) -> None:
    def publish(number: int) -> bool:
        with issuer.published(f"token{number}"):
            return (webroot / ".well-known" / "acme-challenge" / f"token{number}").exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(publish, range(40)))
    assert (challenges(webroot), notes(tmp_path)) == ([], [])


def test_file_that_a_killed_process_left_is_removed_later(
    issuer: CertbotIssuer, tmp_path: Path, webroot: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in challenges(webroot)] == ["left"]
    (note,) = notes(tmp_path)
    long_ago = time.time() - _OLD
    os.utime(note, (long_ago, long_ago))
    with issuer.published("next"):
        assert [path.name for path in challenges(webroot)] == ["next"]


def test_webroot_that_others_can_change_is_refused(issuer: CertbotIssuer, webroot: Path) -> None:
    webroot.chmod(0o777)
    with pytest.raises(IssueError) as caught, issuer.published("token"):
        pytest.fail("the file was published")
    assert caught.value.code is Code.ISSUER_FAILED
    assert "other users can change" in caught.value.found


def test_missing_webroot_is_reported(tmp_path: Path) -> None:
    issuer = CertbotIssuer(AcmeSection(webroot=tmp_path / "missing"), tmp_path / "acme", clock=_now)
    with pytest.raises(IssueError) as caught, issuer.published("token"):
        pytest.fail("the file was published")
    assert caught.value.code is Code.ISSUER_FAILED
    issuer.close()


def test_standalone_listener_serves_the_file_and_stays_for_the_order(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        free_port = int(bound.getsockname()[1])
    acme = AcmeSection(mode="standalone", http01_port=free_port, http01_address="127.0.0.1")
    issuer = CertbotIssuer(acme, tmp_path / "acme", clock=_now)
    for token in ("first", "second"):
        with issuer.published(token) as content:
            assert _get(free_port, token) == (200, content.encode())
        assert _get(free_port, token)[0] == http.client.NOT_FOUND
    issuer.close()


def _get(port: int, token: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/.well-known/acme-challenge/{token}")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
