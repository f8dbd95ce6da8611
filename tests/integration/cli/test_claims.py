"""`sslctl claims` and `sslctl claims break`, and what ticks do beside processes that live, hang or died."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import pytest

from sslctl.rules.claim_names import TICK, domain_claim
from sslctl.text import instant
from tests.support.cdn import Cdn
from tests.support.store_cases import PATIENCE, look_into, processes
from tests.support.tick_cases import tick

A, B = "a.example.com", "b.example.com"
DAY = timedelta(days=1)


@contextmanager
def running_tick(cdn: Cdn) -> Iterator[tuple[ForkServerProcess, Event, Queue[tuple[int, str, int]]]]:
    """Run a tick in another process that waits for the CA in the middle of the pass over `A`."""
    cdn.add_domain(A)
    cdn.add_domain(B)
    cdn.sslctl("add", A, "--no-wait")
    context = processes()
    start, may_issue, results = context.Barrier(1), context.Event(), context.Queue()
    process = context.Process(target=tick, args=(cdn.config_path, start, may_issue, results))
    process.start()
    try:
        deadline = time.monotonic() + PATIENCE
        with look_into(cdn.folder / "state" / "sslctl.db") as connection:
            while not connection.execute("SELECT 1 FROM acme_order").fetchall():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield process, may_issue, results
    finally:
        process.kill()
        process.join(PATIENCE)


def write_claim(cdn: Cdn, name: str, owner: str) -> None:
    """Write a claim as an earlier release did."""
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        connection.execute("INSERT INTO lease VALUES (?, ?, ?)", (name, owner, instant(cdn.clock() + DAY)))


def test_claims_says_that_there_are_none(cdn: Cdn) -> None:
    result = cdn.sslctl("claims")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert result.stdout.startswith("There are no claims: ")
    assert cdn.sslctl("claims", "--json").json["claims"] == []


def test_claims_lists_the_processes_and_whether_they_live(cdn: Cdn) -> None:
    with running_tick(cdn) as (process, _, _):
        lines = cdn.sslctl("claims").stdout.splitlines()
        assert lines[0].split() == ["CLAIM", "ABOUT", "HOST", "PID", "SINCE", "OWNER"]
        assert lines[1].split() == [
            domain_claim(A), A, socket.gethostname(), str(process.pid), "2026-11-23", "12:00", "SGT", "alive",
        ]  # fmt: skip
        assert lines[2].split()[:3] == ["tick", "the", "tick"]
        process.kill()
        process.join(PATIENCE)
        domain, ticking = cdn.sslctl("claims", "--json").json["claims"]
        assert (domain["claim"], domain["life"], ticking["claim"], ticking["life"]) == (
            domain_claim(A), "dead", "tick", "dead",
        )  # fmt: skip
        assert (domain["about"], domain["host"], domain["pid"]) == (A, socket.gethostname(), process.pid)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.sslctl("claims", "--json").json["claims"] == []


def test_clock_that_is_days_ahead_takes_no_claim_and_throws_no_certificate_away(cdn: Cdn) -> None:
    with running_tick(cdn) as (_, may_issue, results):
        cdn.clock.move(days=2)
        assert cdn.sslctl("recheck", A).exit_code == 75
        assert cdn.sslctl("add", A).exit_code == 75
        assert cdn.sslctl("delete", A, "--yes").exit_code == 75
        assert cdn.sslctl("daemon-tick").exit_code == 75
        may_issue.set()
        assert results.get(timeout=PATIENCE) == (0, "", 1)
    assert cdn.uploads(A) == [200]
    assert len(cdn.issuer.orders) == 0


def test_tick_that_hangs_is_reported_with_its_process_and_the_cure(cdn: Cdn) -> None:
    with running_tick(cdn) as (process, _, _):
        who = f"process {process.pid} on {socket.gethostname()} (since 2026-11-23 12:00 SGT)"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        cdn.clock.move(hours=3)
        slow = cdn.sslctl("daemon-tick", "-q")
        assert (slow.exit_code, slow.stderr.splitlines()) == (
            75,
            [f"sslctl: error: another tick is running: {who}", "sslctl: hint: if it hangs, end that process"],
        )
        cdn.clock.move(hours=10)
        old = cdn.sslctl("daemon-tick")
        assert old.exit_code == 75
        assert (
            f"a tick should have ended by 2026-11-24 00:00 SGT and still runs: process {process.pid}"
            in old.stderr
        )
        assert "sslctl claims break tick --force" in old.stderr


def test_tick_whose_claim_was_broken_stops_and_the_next_one_runs(cdn: Cdn) -> None:
    with running_tick(cdn) as (process, may_issue, results):
        refused = cdn.sslctl("claims", "break", "tick")
        assert (refused.exit_code, refused.stdout) == (75, "")
        assert f"process {process.pid} on {socket.gethostname()}" in refused.stderr
        broken = cdn.sslctl("claims", "break", "tick", "--force")
        assert broken.exit_code == 0
        assert broken.stdout.startswith(f"Broke the claim on the tick: held by process {process.pid} on ")
        cdn.sslctl("add", B, "--no-wait")
        assert cdn.sslctl("daemon-tick").exit_code == 0
        assert cdn.uploads(B) == [200]
        may_issue.set()
        code, stderr, _ = results.get(timeout=PATIENCE)
        assert (code, "this process lost its claim on the tick" in stderr) == (75, True)
    assert cdn.uploads(A) == [200]


def test_pass_whose_claim_was_broken_stops_before_it_uploads(cdn: Cdn) -> None:
    with running_tick(cdn) as (_, may_issue, results):
        assert cdn.sslctl("claims", "break", A, "--force", "--json").json["claim"]["life"] == "alive"
        may_issue.set()
        code, _, orders = results.get(timeout=PATIENCE)
        assert (code, orders) == (5, 1)
        assert cdn.uploads(A) == []
    events = cdn.sslctl("view", A, "--json").json["domain"]["events"]
    assert [event["kind"] for event in events] == ["added", "claim broken"]
    assert events[-1]["actor"].endswith("(script)")


def test_claim_of_a_dead_process_is_broken_without_force(cdn: Cdn) -> None:
    with running_tick(cdn) as (process, _, _):
        process.kill()
        process.join(PATIENCE)
    assert cdn.sslctl("claims", "break", A).exit_code == 0
    assert [claim["claim"] for claim in cdn.sslctl("claims", "--json").json["claims"]] == [TICK]


def test_claim_of_an_earlier_release_is_unknown_on_another_host(cdn: Cdn) -> None:
    write_claim(cdn, TICK, "elsewhere/7/1")
    (claim,) = cdn.sslctl("claims", "--json").json["claims"]
    assert (claim["life"], claim["since"], claim["boot_id"], claim["host"]) == (
        "unknown",
        None,
        None,
        "elsewhere",
    )
    assert cdn.sslctl("claims", "break", "tick").exit_code == 75
    cdn.clock.move(days=1)
    assert cdn.sslctl("claims", "--json").json["claims"][0]["life"] == "dead"
    assert cdn.sslctl("claims", "break", "tick").exit_code == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shop.exampel.com", "`sslctl claims` lists the claims"),
        ("x" * 300, "`sslctl claims` lists"),
        ("\x1b[0m", "lists"),
    ],
)
def test_claim_that_does_not_exist_is_not_managed(cdn: Cdn, name: str, hint: str) -> None:
    write_claim(cdn, domain_claim("shop.example.com"), "elsewhere/7/1")
    result = cdn.sslctl("claims", "break", name)
    assert (result.exit_code, result.stdout) == (9, "")
    assert hint in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    "owner", ["{", "{}", '{"lock": 1}', "[" * 5000, "", "\x1b[31m/x/y", '{"lock": "../x", "host": 1}']
)
def test_claim_of_an_unreadable_owner_lasts_until_its_deadline_or_is_broken(cdn: Cdn, owner: str) -> None:
    write_claim(cdn, TICK, owner)
    (claim,) = cdn.sslctl("claims", "--json").json["claims"]
    assert (claim["life"], claim["pid"], "\x1b" in claim["host"]) == ("unknown", 0, False)
    assert cdn.sslctl("daemon-tick").exit_code == 75
    assert cdn.sslctl("claims", "break", "tick", "--force").exit_code == 0
    assert cdn.sslctl("daemon-tick").exit_code == 0


def test_claim_without_a_deadline_is_a_state_error(cdn: Cdn) -> None:
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        connection.execute("INSERT INTO lease VALUES ('tick', 'elsewhere/1/1', 'soon')")
    for command in (["claims"], ["daemon-tick"], ["claims", "break", "tick", "--force"]):
        result = cdn.sslctl(*command)
        assert (result.exit_code, result.stdout) == (8, ""), command


@pytest.mark.parametrize("name", ["tick", A])
def test_claims_shows_the_last_claim_that_was_broken(cdn: Cdn, name: str) -> None:
    assert cdn.sslctl("claims", "--json").json["last_broken"] is None
    cdn.sslctl("add", A, "--no-wait")
    write_claim(cdn, domain_claim(name) if name == A else name, "far/7/1")
    assert cdn.sslctl("claims", "break", name, "--force").exit_code == 0
    about = "the tick" if name == "tick" else A
    last = cdn.sslctl("claims", "--json").json["last_broken"]
    assert last["detail"].startswith(f"{about}, held by process ")
    shown = cdn.sslctl("claims").stdout
    assert (
        f"The last claim that was broken: {last['detail']}; 2026-11-23 12:00 SGT, by {last['actor']}" in shown
    )


def test_owner_in_a_message_has_its_start_in_brackets(cdn: Cdn) -> None:
    with running_tick(cdn):
        refused = cdn.sslctl("claims", "break", "tick").stderr
    assert re.search(
        r"process \d+ on \S+ \(since 2026-11-23 12:00 SGT\) holds the claim on the tick", refused
    )
