"""A process that got a certificate gets the next order, and one of which that is not certain gets none."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sslctl.app import utc_now
from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.config.settings import load
from sslctl.issuer import IssueError
from sslctl.issuer.certbot import worker_pool
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.model import Order
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.command_line import await_true

pytestmark = pytest.mark.pebble


@pytest.fixture
def issuer(sandbox: SandboxCdn, tmp_path: Path) -> Iterator[CertbotIssuer]:
    issuer = CertbotIssuer(load(sandbox.config_path, {}).acme, tmp_path / "acme", clock=utc_now)
    yield issuer
    issuer.close()
    assert _jobs() == []


def _issue(issuer: CertbotIssuer, number: int, name: str) -> None:
    names = (name,)
    order = Order(number, 1, names, make_csr(make_key("ecdsa"), names), utc_now())
    assert read_leaf(issuer.issue(order, lambda _url: None).certificate).names == names
    issuer.forget(order)


def _jobs() -> list[int]:
    """Return the processes of jobs: the children of the fork servers that are children of this process."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and "certbot.fork_server" in (folder / "cmdline").read_text():
                parents[int(folder.name)] = int(parent)
    return sorted(pid for pid, parent in parents.items() if parents.get(parent) == os.getpid())


def _add(sandbox: SandboxCdn, *names: str) -> None:
    for name in names:
        sandbox.add_domain(name)


def test_process_that_got_a_certificate_gets_the_next_orders(
    sandbox: SandboxCdn, issuer: CertbotIssuer
) -> None:
    _add(sandbox, "a.example.test", "b.example.test", "c.example.test")
    _issue(issuer, 1, "a.example.test")
    first = _jobs()
    assert len(first) == 1
    for number, name in enumerate(("b.example.test", "c.example.test"), 2):
        _issue(issuer, number, name)
        assert _jobs() == first


def test_process_whose_order_failed_ends(sandbox: SandboxCdn, issuer: CertbotIssuer) -> None:
    _add(sandbox, "before.example.test", "next.example.test")
    _issue(issuer, 1, "before.example.test")
    (first,) = _jobs()
    with pytest.raises(IssueError):
        # HTTP-01 cannot prove a wildcard.
        _issue(issuer, 2, "*.example.test")
    await_true(lambda: first not in _jobs())
    _issue(issuer, 3, "next.example.test")
    assert first not in _jobs()


def test_process_that_was_killed_while_it_was_free_gets_no_order(
    sandbox: SandboxCdn, issuer: CertbotIssuer
) -> None:
    _add(sandbox, "alive.example.test", "dead.example.test")
    _issue(issuer, 1, "alive.example.test")
    (first,) = _jobs()
    os.kill(first, signal.SIGKILL)
    await_true(lambda: first not in _jobs())
    _issue(issuer, 2, "dead.example.test")


def test_process_that_was_free_for_long_gets_no_order(sandbox: SandboxCdn, issuer: CertbotIssuer) -> None:
    _add(sandbox, "early.example.test", "late.example.test")
    _issue(issuer, 1, "early.example.test")
    (first,) = _jobs()
    time.sleep(worker_pool.FREE_SECONDS + 0.2)
    _issue(issuer, 2, "late.example.test")
    assert first not in _jobs()


def test_process_that_is_not_needed_ends_by_itself(sandbox: SandboxCdn, issuer: CertbotIssuer) -> None:
    _add(sandbox, "once.example.test")
    _issue(issuer, 1, "once.example.test")
    (first,) = _jobs()
    await_true(lambda: first not in _jobs())
