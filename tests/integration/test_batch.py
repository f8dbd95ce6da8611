"""Many domains at once: one's trouble stays its own, urgent ones come first, and Ctrl-C leaves nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from cdn import Cdn

from sslctl import batch, management
from sslctl.batch import Batch, Outcome
from sslctl.cli.app import App
from sslctl.errors import StateError
from sslctl.lifecycle import Work
from sslctl.model import Domain
from sslctl.sandbox.faults import Fault, Kind

WEEK = timedelta(days=7)


class Broken:
    """A control plane with a bug that one domain meets."""

    def __init__(self, real: Any, name: str, error: Exception) -> None:
        self._real = real
        self._name = name
        self._error = error

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)

    def domain(self, name: str) -> Any:
        if name == self._name:
            raise self._error
        return self._real.domain(name)


def enrolled(cdn: Cdn, *names: str) -> tuple[App, list[Domain]]:
    app = cdn.app()
    for name in names:
        cdn.add_domain(name)
    return app, [management.enrol(app.store, name, None, cdn.clock()) for name in names]


def test_a_bug_that_one_domain_meets_is_its_own(cdn: Cdn) -> None:
    app, domains = enrolled(cdn, "a.example.com", "b.example.com", "c.example.com")
    app.control_plane = Broken(app.control_plane, "b.example.com", ZeroDivisionError("oops"))
    outcomes = Batch(app.pipeline(_silent), 2).run(domains)
    assert [outcome.domain.name for outcome in outcomes] == [domain.name for domain in domains]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ZeroDivisionError, type(None)]
    assert app.store.claim(["domain:b.example.com"], WEEK)


def test_unusable_state_ends_the_batch(cdn: Cdn) -> None:
    app, domains = enrolled(cdn, "a.example.com", "b.example.com")
    app.control_plane = Broken(app.control_plane, "a.example.com", StateError("disk full"))
    with pytest.raises(StateError, match="disk full"):
        Batch(app.pipeline(_silent), 1).run(domains)


def test_after_stop_no_pass_begins(cdn: Cdn) -> None:
    app, domains = enrolled(cdn, "a.example.com", "b.example.com", "c.example.com")
    running = Batch(app.pipeline(_silent), 1)

    def stop(_outcome: Outcome) -> None:
        running.stop()

    outcomes = running.run(domains, on_done=stop)
    # The second pass may have begun before the first one's end was told.
    assert len(outcomes) in (1, 2)
    assert len(cdn.issuer.orders) == len(outcomes)


def test_the_plan_puts_uploads_first_and_then_what_expires_first(cdn: Cdn) -> None:
    names = ("late.example.com", "soon.example.com", "held.example.com", "failed.example.com")
    app, _ = enrolled(cdn, *names)
    passes = app.pipeline(_silent)
    passes.run("soon.example.com")
    cdn.clock.move(hours=1)
    passes.run("late.example.com")
    cdn.point("failed.example.com", "elsewhere.example.org")
    passes.run("failed.example.com")
    cdn.clock.move(days=84)
    cdn.c4.set_faults(Fault(kind=Kind.UPLOAD, status=422))
    passes.run("held.example.com")
    app, _ = enrolled(cdn, "new.example.com")
    plan = batch.plan(app.store, cdn.clock(), WEEK)
    assert [(task.domain.name, task.due.work) for task in plan] == [
        ("held.example.com", Work.UPLOAD),
        ("soon.example.com", Work.RENEW),
        ("late.example.com", Work.RENEW),
        ("new.example.com", Work.ISSUE),
        ("failed.example.com", Work.RECHECK),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_what_is_under_way_and_says_what_is_left(
    cdn: Cdn, number: signal.Signals
) -> None:
    names = [f"d{index}.example.com" for index in range(4)]
    cdn.c4.set_faults(Fault(kind=Kind.LOOKUP, delay_seconds=0.7))
    with subprocess.Popen(
        [sys.executable, "-m", "sslctl", "add", *names],
        env={**os.environ, "SSLCTL_CONFIG": str(cdn.config_path), "SSLCTL_ACME_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _await_claim(cdn, names[0])
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout.startswith("d0.example.com: Discard")
    assert "finishing what is under way" in stderr
    assert "of 4 domains not begun" in stderr
    listed = cdn.sslctl("list", "--status", "Pending", "--json").json["domains"]
    assert 2 <= len(listed) <= 3
    assert {domain["reason"]["code"] for domain in listed} == {"QUEUED"}


def test_a_second_interrupt_ends_at_once_and_the_claim_is_void(cdn: Cdn) -> None:
    name = "slow.example.com"
    cdn.c4.set_faults(Fault(kind=Kind.LOOKUP, delay_seconds=4, times=1))
    with subprocess.Popen(
        [sys.executable, "-m", "sslctl", "add", name],
        env={**os.environ, "SSLCTL_CONFIG": str(cdn.config_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _await_claim(cdn, name)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "finishing" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert cdn.sslctl("recheck", name).exit_code == 6


def _await_claim(cdn: Cdn, name: str) -> None:
    """Wait until a pass over `name` is under way: its claim cannot be had."""
    app = cdn.app()
    for _ in range(200):
        if app.store.find(name) is not None and not app.store.claim([f"domain:{name}"], WEEK):
            break
        app.store.release([f"domain:{name}"])
        time.sleep(0.02)
    else:
        pytest.fail(f"no pass over {name} began")
    app.close()


def _silent(_domain: Domain, _step: str) -> None:
    """Nobody listens."""


def test_a_forced_recheck_plans_nothing_twice(cdn: Cdn) -> None:
    app, _ = enrolled(cdn, "queued.example.com", "failed.example.com")
    cdn.point("failed.example.com", "elsewhere.example.org")
    app.pipeline(_silent).run("failed.example.com")
    names = [task.domain.name for task in batch.plan(app.store, cdn.clock(), WEEK, force=True)]
    assert names == ["queued.example.com", "failed.example.com"]
