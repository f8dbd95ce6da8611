"""The limits per IP address of the sandbox's CA, and that sslctl keeps to them with 48 orders at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from sslctl.app import utc_now
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.sandbox.limited_ca import LETS_ENCRYPTS, LimitedCa, RequestLimit
from sslctl.sandbox.pebble import Pebble, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason="Pebble is not installed")
DOMAINS = 60


TIGHT = {"new-nonce": RequestLimit(1, 4)}


@contextmanager
def sandbox(folder: Path, limits: Mapping[str, RequestLimit]) -> Iterator[tuple[SandboxCdn, LimitedCa]]:
    """Run a CDN whose CA has these limits, and does not reject good nonces, as Pebble does with 5 %."""
    environment = {"PEBBLE_WFE_NONCEREJECT": "0"}
    with SandboxCdn(
        folder,
        clock=utc_now,
        certificate_seconds=90 * 86_400,
        pebble_environment=environment,
        ca_limits=limits,
    ) as cdn:
        assert cdn.limited_ca is not None
        yield cdn, cdn.limited_ca


def add(cdn: SandboxCdn, count: int, **environment: str) -> Any:
    """Add `count` domains in one command, and return its JSON and exit code."""
    names = [f"d{number}.example.test" for number in range(count)]
    for name in names:
        cdn.add_domain(name)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
    result = subprocess.run(
        [sys.executable, "-m", "sslctl", "add", "--json", *names],
        env={**kept, "SSLCTL_CONFIG": str(cdn.config_path), **environment},
        stdout=subprocess.PIPE,
        check=False,
    )
    return json.loads(result.stdout), result.returncode


def statuses(answer: Any) -> list[str]:
    return [domain["status"] for domain in answer["domains"]]


def test_ca_refuses_the_requests_beyond_its_limits_as_lets_encrypt_does(tmp_path: Path) -> None:
    with sandbox(tmp_path, LETS_ENCRYPTS) as (cdn, ca), requests.Session() as session:
        session.trust_env, session.verify = False, str(cdn.pebble.ca_bundle)
        urls = session.get(ca.directory_url).json()
        assert urls["newNonce"].startswith(ca.directory_url.removesuffix("dir"))
        answers = [session.head(urls["newNonce"]) for _ in range(200)]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(answer.status_code == 200 for answer in answers[:10])
    assert len(refused) == ca.refused["new-nonce"] > 0
    assert (refused[0].headers["Retry-After"], refused[0].headers["Content-Type"]) == (
        "1",
        "application/problem+json",
    )


def test_ca_fills_each_bucket_at_its_rate(tmp_path: Path) -> None:
    now = 0.0
    ca = LimitedCa(Pebble(tmp_path, http_port=80), LETS_ENCRYPTS, monotonic=lambda: now)
    for path, rate, burst in (("/dir", 40, 40), ("/nonce-plz", 20, 10), ("/my-order/x", 250, 125)):
        now = 0.0
        assert [ca.admit(path) for _ in range(burst + 1)] == [True] * burst + [False]
        now = 10 / rate + 1e-6
        assert [ca.admit(path) for _ in range(11)] == [True] * 10 + [False]
        now += 100
        assert sum(ca.admit(path) for _ in range(2 * burst)) == burst


def test_sixty_orders_with_48_at_once_meet_no_limit(tmp_path: Path) -> None:
    with sandbox(tmp_path, LETS_ENCRYPTS) as (cdn, ca):
        answer, code = add(cdn, DOMAINS)
    assert (code, statuses(answer)) == (0, ["Success"] * DOMAINS)
    assert ca.refused.total() == 0, ca.refused
    # The directory is fetched once; one nonce is for the registration.
    assert (ca.asked["directory"], ca.asked["new-order"]) == (1, DOMAINS)
    assert ca.asked["new-nonce"] <= DOMAINS + 1


@pytest.mark.parametrize(("pace", "is_refused"), [("1", False), ("0", True)])
def test_orders_beyond_the_limits_are_refused_only_without_pacing_and_none_is_lost(
    tmp_path: Path, pace: str, *, is_refused: bool
) -> None:
    with sandbox(tmp_path, TIGHT) as (cdn, ca):
        answer, code = add(cdn, 16, SSLCTL_PACING_NEW_NONCE=pace)
    assert (ca.refused.total() > 0) is is_refused, ca.refused
    assert (code, statuses(answer)) == (0, ["Success"] * 16), "refused jobs wait for Retry-After"
    assert ca.asked["new-order"] == 16
