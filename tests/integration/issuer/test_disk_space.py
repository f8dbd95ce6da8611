"""A disk that is full, nearly full or read-only is detected before an order is placed."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.config.acme import AcmeSection
from sslctl.issuer import IssueError
from sslctl.issuer.certbot.disk_space import (
    TEST_FILE_BYTES,
    WriteTrials,
    require_disk_space,
    require_writable,
)
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock
from tests.support.store_cases import PATIENCE, look_into, processes

NAME = "shop.example.com"
CHALLENGES = Path(".well-known") / "acme-challenge"


@contextmanager
def disk(place: Path, options: str) -> Iterator[Path]:
    """Mount a separate file system in memory at `place`."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(folder: Path) -> None:
    """Fill the file system of `folder` to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


def never_called(_url: str) -> None:
    raise AssertionError("an order was placed")


def refusal(acme: AcmeSection, folder: Path) -> IssueError:
    """Return the error of an order with these folders; no order may reach the CA."""
    issuer = CertbotIssuer(acme, folder, clock=Clock())
    order = Order(1, 1, (NAME,), make_csr(make_key("ecdsa"), (NAME,)), START)
    try:
        with pytest.raises(IssueError) as refused:
            issuer.issue(order, never_called)
    finally:
        issuer.close()
    return refused.value


@pytest.fixture
def acme(listener: socket.socket, tmp_path: Path) -> Iterator[AcmeSection]:
    """Settings with a webroot and a CA that must not receive a request."""
    port = listener.getsockname()[1]
    (tmp_path / "webroot" / CHALLENGES).mkdir(parents=True)
    yield AcmeSection(
        directory_url=f"http://127.0.0.1:{port}/directory", webroot=tmp_path / "webroot", timeout_seconds=10
    )
    with pytest.raises(BlockingIOError):
        listener.accept()


def with_account(folder: Path, acme: AcmeSection) -> Path:
    """Put an account into `folder` and return `folder`: only its existence is checked before certbot starts."""
    account = folder / "accounts" / acme.directory_url.partition("://")[2] / "one"
    account.mkdir(parents=True)
    (account / "regr.json").write_text("{}")
    return folder


def test_issue_places_no_order_when_the_disk_is_nearly_full(acme: AcmeSection, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=8m") as small:
        error = refusal(acme, small / "acme")
    assert (error.code, error.found[-23:]) == (Code.ISSUER_FAILED, "acme; 64 MiB are needed")
    assert (
        "nearly full: 8 MiB are free in " in error.found or "nearly full: 7 MiB are free in " in error.found
    )


def test_issue_places_no_order_when_inodes_are_nearly_used_up(acme: AcmeSection, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=100m,nr_inodes=500") as small:
        error = refusal(acme, small / "acme")
    assert error.code is Code.ISSUER_FAILED
    assert "more files can be made in" in error.found


def test_checks_pass_on_a_disk_with_enough_space(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=100m") as large:
        require_disk_space(large)
        require_writable(large)
        assert list(large.iterdir()) == []


def test_require_writable_raises_os_error_on_a_full_disk(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=1m") as full:
        fill(full)
        with pytest.raises(OSError, match="No space left"):
            require_writable(full)
        (full / "filler").unlink()
        require_writable(full)


@pytest.mark.parametrize(
    "spoil", [fill, lambda place: subprocess.run(["mount", "-o", "remount,ro", place], check=True)]
)
def test_issue_places_no_order_when_the_webroot_is_full_or_read_only(
    acme: AcmeSection, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    with disk(tmp_path / "disk", "size=1m") as webroot:
        (webroot / CHALLENGES).mkdir(parents=True)
        spoil(webroot)
        error = refusal(replace(acme, webroot=webroot), with_account(tmp_path / "acme", acme))
    assert error.code is Code.ISSUER_FAILED
    assert "No space left" in error.found or "Read-only" in error.found


def test_issue_places_no_order_when_the_state_folder_is_read_only(acme: AcmeSection, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=100m") as place:
        with_account(place / "acme", acme)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        error = refusal(acme, place / "acme")
    assert (error.code, "Read-only" in error.found) == (Code.ISSUER_FAILED, True)


def refused_with_small_files(acme: AcmeSection, folder: Path, results: Queue[tuple[Code, str]]) -> None:
    """Put the error of an order into `results`; no file may grow as large as a certificate with its chain."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (TEST_FILE_BYTES // 2, TEST_FILE_BYTES // 2))
    error = refusal(acme, folder)
    results.put((error.code, error.found))


def test_issue_places_no_order_when_the_file_size_limit_is_too_small(
    acme: AcmeSection, tmp_path: Path
) -> None:
    results = processes().Queue()
    folder = with_account(tmp_path / "acme", acme)
    process = processes().Process(target=refused_with_small_files, args=(acme, folder, results))
    process.start()
    code, found = results.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert (code, "File too large" in found) == (Code.ISSUER_FAILED, True)


def sslctl(cdn: Cdn, state: Path, directory_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sslctl", *arguments],
        env={
            **os.environ,
            "SSLCTL_CONFIG": str(cdn.config_path),
            "SSLCTL_STATE_DIR": str(state),
            "SSLCTL_ACME_DIRECTORY_URL": directory_url,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_tick_reports_a_nearly_full_disk_and_places_no_order(
    cdn: Cdn, acme: AcmeSection, tmp_path: Path
) -> None:
    cdn.add_domain(NAME)
    with disk(tmp_path / "disk", "size=8m") as state:
        assert sslctl(cdn, state, acme.directory_url, "add", NAME, "--no-wait").returncode == 0
        result = sslctl(cdn, state, acme.directory_url, "daemon-tick")
        assert result.returncode == 5
        assert f"{NAME}: Pending ISSUER_FAILED" in result.stdout
        assert "MiB are needed" in result.stdout
        with look_into(state / "sslctl.db") as connection:
            assert connection.execute("SELECT url FROM acme_order").fetchall() == []


def test_tick_sends_nothing_to_the_ca_on_a_full_disk(cdn: Cdn, acme: AcmeSection, tmp_path: Path) -> None:
    cdn.add_domain(NAME)
    with disk(tmp_path / "disk", "size=8m") as state:
        assert sslctl(cdn, state, acme.directory_url, "add", NAME, "--no-wait").returncode == 0
        fill(state)
        result = sslctl(cdn, state, acme.directory_url, "daemon-tick")
        assert result.returncode == 8
        assert "sslctl: error: " in result.stderr
        (state / "filler").unlink()
        assert sslctl(cdn, state, acme.directory_url, "audit", "verify").returncode == 0


def test_trial_is_repeated_after_a_second_and_after_a_failure(tmp_path: Path) -> None:
    now = 100.0
    trials = WriteTrials(lambda: now)
    folder = tmp_path / "folder"
    with pytest.raises(FileNotFoundError):
        trials.require_writable(folder)
    folder.mkdir()
    trials.require_writable(folder)
    folder.rmdir()
    now += 0.9
    trials.require_writable(folder)
    now += 0.2
    with pytest.raises(FileNotFoundError):
        trials.require_writable(folder)
