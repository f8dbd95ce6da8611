"""A tick that finds another one at work ends with 0 and changes nothing; one that may hang is reported. Real processes."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest

from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Milestone
from tests.integration.cli.test_claims import A, B, running_tick
from tests.support.cdn import Cdn
from tests.support.store_cases import PATIENCE, dump
from tests.support.webhook import Webhook


def state_of(cdn: Cdn) -> str:
    """Return all that the database holds, except claims."""
    return dump(cdn.folder / "state" / "sslctl.db")


def test_tick_beside_a_live_one_ends_with_0_in_one_line_sends_no_ping_and_changes_nothing(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Webhook() as pings, running_tick(cdn) as (process, may_issue, results):
        monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{pings.address}/ping")
        cdn.sslctl("add", B, "--no-wait")
        before = state_of(cdn)
        who = f"another tick is running: process {process.pid} on "
        for options in ([], ["--force"]):
            plain = cdn.sslctl("daemon-tick", *options)
            assert (plain.exit_code, plain.stderr, plain.stdout.count("\n")) == (0, "", 1)
            assert f"12:00 SGT: nothing was done, because {who}" in plain.stdout
        assert cdn.sslctl("daemon-tick", "-q") == type(plain)(0, "", "")
        as_json = cdn.sslctl("daemon-tick", "--json")
        assert (as_json.exit_code, as_json.json["domains"]) == (0, [])
        assert as_json.json["skipped"].startswith(who)
        assert (state_of(cdn), pings.pings) == (before, [])
        may_issue.set()
        assert results.get(timeout=PATIENCE) == (0, "", 1)
        process.join(PATIENCE)
        after = cdn.sslctl("daemon-tick", "--json")
        assert (after.exit_code, after.json["skipped"], len(pings.pings)) == (0, None, 1)
    assert cdn.uploads(A) == cdn.uploads(B) == [200]


@pytest.mark.parametrize(
    ("moved", "exit_code"),
    [
        (timedelta(minutes=5), 0),
        (timedelta(hours=2, minutes=59), 0),
        (timedelta(hours=3), 75),
        (timedelta(hours=11), 75),
        (timedelta(hours=12), 75),
        (timedelta(days=400), 75),
        # The clock was set back: how long the tick has run is not known.
        (-timedelta(minutes=5), 0),
        (-timedelta(minutes=6), 75),
        (-timedelta(days=400), 75),
    ],
    ids=str,
)
def test_tick_that_hangs_is_reported_after_3_hours_with_its_process(
    cdn: Cdn, moved: timedelta, exit_code: int
) -> None:
    with running_tick(cdn) as (process, _, _):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        cdn.clock.at += moved
        result = cdn.sslctl("daemon-tick", "-q")
        assert (result.exit_code, f"process {process.pid} on" in result.stderr) == (
            exit_code,
            bool(exit_code),
        )
        assert Milestone.TICK not in cdn.app().store.milestones()


def test_tick_of_a_dead_owner_without_a_known_life_is_reported_at_once(cdn: Cdn) -> None:
    """A host that is gone, such as a container of another machine, sends no ping, and its claim lasts."""
    other = cdn.app().store
    other._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for a tick of another host
    assert other.claim([TICK], timedelta(hours=12)) == {TICK}
    result = cdn.sslctl("daemon-tick", "-q")
    assert (result.exit_code, result.stderr) == (
        75,
        "sslctl: error: another tick is running: process 1 on elsewhere\n",
    )
    other.close()
