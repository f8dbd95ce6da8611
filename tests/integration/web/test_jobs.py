"""Jobs: real processes of sslctl over the state of a test CDN."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sslctl.errors import TryLater
from sslctl.web.jobs import Job, Jobs
from sslctl.web.site import make_site
from tests.support.cdn import Cdn
from tests.support.site_cases import OpenGate

ONE = "one.example.com"
USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def jobs(cdn: Cdn) -> Iterator[Jobs]:
    with closing(Jobs(cdn.config_path, cdn.clock, most_running=1)) as made:
        yield made


def ended(job: Job) -> int:
    return job.process.wait(timeout=60)


def test_job_runs_a_command_for_a_person_and_keeps_what_it_printed(cdn: Cdn, jobs: Jobs) -> None:
    assert cdn.sslctl("add", "--no-wait", ONE).exit_code == 0
    done = jobs.start("delete", [ONE], "--yes", "--keep-on-c4", person="bob")
    assert (jobs.find(done.id), jobs.running_for(ONE)) == (done, done)
    assert (ended(done), done.lines(), jobs.running_for(ONE)) == (0, [], None)
    refused = jobs.start("recheck", [ONE], "--force-renew", person="bob", lines=[ONE, "--help"])
    # A list cannot smuggle in an option.
    assert ended(refused) == 2
    assert "--help" in " ".join(refused.lines())
    [event] = [
        event
        for event in cdn.sslctl("view", ONE, "--json").json["domain"]["events"]
        if event["kind"] == "deleted"
    ]
    assert event["actor"] == f"bob (page of {USER})"


def test_job_runs_no_code_of_the_folder_that_the_server_was_started_in(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "click.py").write_text("raise SystemExit(99)\n")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/never")
    assert ended(jobs.start("list", (), person="bob")) == 0


def test_jobs_refuse_more_than_the_most_at_once_and_start_none_twice(jobs: Jobs) -> None:
    first = jobs.start("list", (), person="bob")
    assert jobs.start("list", (), person="eve") is first
    with pytest.raises(TryLater, match="1 jobs of the page are running, 0 of them yours"):
        jobs.start("todo", (), person="eve")
    assert ended(first) == 0
    jobs.close()
    assert first.lines() == []


def test_running_jobs_are_those_that_have_not_ended(jobs: Jobs) -> None:
    job = jobs.start("recheck", ["shop.example.com"], person="tester")
    assert jobs.running() == [job]
    job.process.wait(timeout=60)
    assert jobs.running() == []


def test_page_says_that_a_job_was_ended_from_outside(cdn: Cdn) -> None:
    jobs = Jobs(cdn.config_path, cdn.clock)
    client = make_site(cdn.app, OpenGate(), jobs).test_client()
    job = jobs.start("recheck", ["shop.example.com"], person="tester")
    job.process.kill()
    job.process.wait(timeout=60)
    assert "ended from outside (signal 9) before it was done" in client.get(f"/jobs/{job.id}").text
    jobs.close()
