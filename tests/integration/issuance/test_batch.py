"""Many domains at once: errors stay with their domain, urgent domains come first, and Ctrl-C interrupts cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sslctl.app import App
from sslctl.errors import StateError
from sslctl.fleet import enrolment, planning
from sslctl.issuance.batch import IN_FLIGHT, Batch
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.slots import Slots
from sslctl.issuer import Issued
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Domain, Order
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import Work
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.system.limits import no_task
from tests.support.cdn import Cdn
from tests.support.fakes import Clock, FakeIssuer
from tests.support.processes import with_default_signals

WEEK = timedelta(days=7)


class Broken:
    """A control plane that raises `error` for the domain `name`."""

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


def enrolled(cdn: Cdn, *names: str) -> tuple[App, tuple[str, ...]]:
    app = cdn.app()
    for name in names:
        cdn.add_domain(name)
        enrolment.enrol(app.store, name, None, cdn.clock())
    return app, names


def _batch(app: App, in_flight: int, *, workers: int = 16) -> Batch:
    slots = Slots(workers)
    return Batch(app.pipeline(_silent, slots), slots, in_flight)


def test_batch_continues_when_one_domain_raises_an_unexpected_error(cdn: Cdn) -> None:
    app, names = enrolled(cdn, "a.example.com", "b.example.com", "c.example.com")
    app.control_plane = Broken(app.control_plane, "b.example.com", ZeroDivisionError("oops"))
    outcomes: list[Outcome] = []
    _batch(app, 2).run(names, on_done=outcomes.append)
    assert {outcome.name: type(outcome.error) for outcome in outcomes} == {
        "a.example.com": type(None),
        "b.example.com": ZeroDivisionError,
        "c.example.com": type(None),
    }
    assert app.store.claim([domain_claim("b.example.com")], WEEK)


class Limited:
    """A control plane to which no upload is possible until the machine has met its limit `left` times."""

    def __init__(self, real: Any, left: int) -> None:
        self._real = real
        self.left = left

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)

    def upload(self, *arguments: Any, **options: Any) -> Any:
        if self.left:
            self.left -= 1
            raise no_task()
        return self._real.upload(*arguments, **options)


def test_renewal_that_meets_a_limit_of_the_machine_after_its_order_places_no_other_one(cdn: Cdn) -> None:
    app, names = enrolled(cdn, "a.example.com", "b.example.com")
    _batch(app, 2).run(names, on_done=lambda _outcome: None)
    app.control_plane = limited = Limited(app.control_plane, 3)
    outcomes: list[Outcome] = []
    _batch(app, 2).run(names, renew=names, on_done=outcomes.append)
    assert limited.left == 0
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert cdn.issuer.orders_by_name() == dict.fromkeys(names, 2)
    versions = [domain.serving and domain.serving.version for domain in app.store.domains_named(names)]
    assert versions == [2, 2]


def test_batch_raises_state_error_when_the_state_is_unusable(cdn: Cdn) -> None:
    app, names = enrolled(cdn, "a.example.com", "b.example.com")
    app.control_plane = Broken(app.control_plane, "a.example.com", StateError("disk full"))
    with pytest.raises(StateError, match="disk full"):
        _batch(app, 1).run(names, on_done=lambda _outcome: None)


def test_batch_starts_no_pass_after_stop(cdn: Cdn) -> None:
    app, names = enrolled(cdn, "a.example.com", "b.example.com", "c.example.com")
    running = _batch(app, 1)
    outcomes: list[Outcome] = []

    def stop(outcome: Outcome) -> None:
        outcomes.append(outcome)
        running.stop()

    running.run(names, on_done=stop)
    # The second pass may have begun before the end of the first one was reported.
    assert len(outcomes) in (1, 2)
    assert len(cdn.issuer.orders) == len(outcomes)


def test_plan_orders_uploads_before_renewals_by_expiry_before_new_domains(cdn: Cdn) -> None:
    names = ("late.example.com", "soon.example.com", "held.example.com", "failed.example.com")
    app, _ = enrolled(cdn, *names)
    passes = app.pipeline(_silent)
    passes.run("soon.example.com")
    cdn.clock.move(hours=1)
    passes.run("late.example.com")
    cdn.point("failed.example.com", "elsewhere.example.org")
    passes.run("failed.example.com")
    cdn.clock.move(days=84)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    passes.run("held.example.com")
    app, _ = enrolled(cdn, "new.example.com")
    plan = planning.plan(app.store, cdn.clock(), RenewalRule(WEEK))
    assert [(task.name, task.due.work) for task in plan.tasks] == [
        ("held.example.com", Work.UPLOAD),
        ("soon.example.com", Work.RENEW),
        ("late.example.com", Work.RENEW),
        ("new.example.com", Work.ISSUE),
        ("failed.example.com", Work.RECHECK),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_add_finishes_running_passes_and_reports_the_rest(
    cdn: Cdn, number: signal.Signals
) -> None:
    names = [f"d{index}.example.com" for index in range(IN_FLIGHT + 20)]
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=0.7))
    with subprocess.Popen(
        with_default_signals(sys.executable, "-m", "sslctl", "add", *names),
        env={**os.environ, "SSLCTL_CONFIG": str(cdn.config_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _await_claim(cdn, names[0])
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    done = stdout.count(": Discard C4_UNKNOWN_DOMAIN")
    assert 1 <= done < len(names)
    assert "finishing the passes under way" in stderr
    assert f"{len(names) - done} of {len(names)} domains not reached" in stderr
    listed = cdn.sslctl("list", "--status", "Pending", "--json").json["domains"]
    assert len(listed) == len(names) - done
    assert {domain["reason"]["code"] for domain in listed} == {"QUEUED"}


class Slow(FakeIssuer):
    """A CA at which each order waits until `go_on` is set."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        self.begun.set()
        assert self.go_on.wait(20)
        return super().issue(order, on_url, replaces=replaces)


def test_batch_leaves_domains_that_wait_for_a_slot_queued_after_stop(cdn: Cdn) -> None:
    app, names = enrolled(cdn, *(f"d{index}.example.com" for index in range(4)))
    app.issuer = issuer = Slow(cdn.clock)
    running = _batch(app, 4, workers=1)
    outcomes: list[Outcome] = []
    runner = threading.Thread(target=lambda: running.run(names, on_done=outcomes.append))
    runner.start()
    assert issuer.begun.wait(20)
    running.stop()
    issuer.go_on.set()
    runner.join(20)
    assert [type(outcome.error) for outcome in outcomes] == [type(None)]
    assert len(issuer.orders) == 1
    codes = [domain.finding and domain.finding.code for domain in app.store.domains_named(names)]
    assert sorted(codes, key=str) == [None, Code.QUEUED, Code.QUEUED, Code.QUEUED]
    assert app.store.claim([domain_claim(name) for name in names], WEEK) == {
        domain_claim(name) for name in names
    }


def test_batch_checks_other_domains_while_the_ca_is_slow(cdn: Cdn) -> None:
    app, names = enrolled(cdn, *(f"d{index}.example.com" for index in range(4)))
    cdn.point("d3.example.com", "elsewhere.example.org")
    app.issuer = issuer = Slow(cdn.clock)
    outcomes: list[Outcome] = []

    def on_done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        issuer.go_on.set()  # the first to end is the one that needs no order

    _batch(app, 4, workers=1).run(names, on_done=on_done)
    assert outcomes[0].name == "d3.example.com"
    assert len(issuer.orders) == 3


def test_batch_places_no_more_simultaneous_orders_than_slots(cdn: Cdn) -> None:
    class Counting(FakeIssuer):
        lock = threading.Lock()
        now = most = 0

        def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(0.2)
            with self.lock:
                self.now -= 1
                return super().issue(order, on_url, replaces=replaces)

    app, names = enrolled(cdn, *(f"d{index}.example.com" for index in range(8)))
    app.issuer = issuer = Counting(cdn.clock)
    _batch(app, 8, workers=2).run(names, on_done=lambda _outcome: None)
    assert (len(issuer.orders), issuer.most) == (8, 2)


def test_second_interrupt_ends_add_at_once_and_frees_the_claim(cdn: Cdn) -> None:
    name = "slow.example.com"
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, delay_seconds=4, times=1))
    with subprocess.Popen(
        with_default_signals(sys.executable, "-m", "sslctl", "add", name),
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
    """Wait until a pass over `name` is under way, that is, until its claim is taken."""
    app = cdn.app()
    for _ in range(200):
        if app.store.find(name) is not None and not app.store.claim([domain_claim(name)], WEEK):
            break
        app.store.release([domain_claim(name)])
        time.sleep(0.02)
    else:
        pytest.fail(f"no pass over {name} began")
    app.close()


def _silent(_domain: Domain, _step: str) -> None:
    """Ignore the step."""


def test_forced_plan_contains_each_domain_once(cdn: Cdn) -> None:
    app, _ = enrolled(cdn, "queued.example.com", "failed.example.com")
    cdn.point("failed.example.com", "elsewhere.example.org")
    app.pipeline(_silent).run("failed.example.com")
    names = [task.name for task in planning.plan(app.store, cdn.clock(), RenewalRule(WEEK), force=True).tasks]
    assert names == ["queued.example.com", "failed.example.com"]
