"""`--wait`: passes are repeated at their retry times, until the domains are well, a person must act, or the time is over."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import timedelta

import pytest

from sslctl.app import App
from sslctl.issuer import IssueError
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn, Result
from tests.support.command_line import Terminal

NAME = "shop.example.com"
OTHER = "blog.example.com"
BUSY = IssueError(Code.CA_UNAVAILABLE, "503")


class Pauses:
    """The pauses of one command: each moves the clocks instead of sleeping, and then runs the function that `after` has for its time."""

    def __init__(self, cdn: Cdn, *, clock_runs: bool = True) -> None:
        self._cdn = cdn
        self._clock_runs = clock_runs
        self._monotonic = 1000.0
        self.after: dict[int, Callable[[], object]] = {}

    @property
    def waited(self) -> int:
        """The seconds so far."""
        return round(self._monotonic - 1000)

    def sleep(self, seconds: float) -> None:
        """Do not sleep; move the clocks."""
        assert seconds > 0
        self._monotonic += seconds
        if self._clock_runs:
            self._cdn.clock.move(seconds=seconds)
        for at in [at for at in self.after if at <= self.waited]:
            self.after.pop(at)()

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """Run the command `arguments`."""
        app = self._cdn.app()
        app.monotonic, app.sleep = lambda: self._monotonic, self.sleep
        return self._cdn.sslctl(*arguments, stdin=stdin, app=app)


@pytest.fixture
def pauses(cdn: Cdn) -> Pauses:
    """The pauses of one command."""
    return Pauses(cdn)


def other_process(cdn: Cdn) -> App:
    """Return the components of another process that works on `NAME`."""
    other = cdn.app()
    other.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # as if on another host
    assert other.store.claim([domain_claim(NAME)], timedelta(minutes=5))
    return other


def passes(cdn: Cdn) -> int:
    """Return how often C4's record of `NAME` was read, at least once in each pass."""
    path = f"/v1/domains/{NAME}"
    return sum((request.method, request.path) == ("GET", path) for request in cdn.c4.requests)


def test_wait_ends_at_once_in_success(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    result = pauses.run("add", NAME, "--wait", "10m")
    assert (result.exit_code, result.stderr, pauses.waited) == (0, "", 0)
    assert result.stdout.count("Success") == 1


def test_wait_repeats_the_pass_at_its_retry_time(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals = [BUSY, BUSY]
    result = pauses.run("add", NAME, "--wait", "15m")
    # The tick's backoff: after 1 minute, and 10 minutes later.
    assert (result.exit_code, pauses.waited) == (0, 660)
    assert result.stdout.count(NAME) == 1
    assert result.stderr.splitlines() == [
        "sslctl: waiting for 1 of 1 domains; next try in 1 minute, 2026-11-23 12:01 SGT",
        "sslctl: waiting for 1 of 1 domains; next try in 10 minutes, 2026-11-23 12:11 SGT",
    ]


def test_wait_respects_the_time_that_the_ca_names(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    retry_at = cdn.clock() + timedelta(minutes=7)
    cdn.issuer.refusals = [IssueError(Code.CA_UNAVAILABLE, "503", retry_at=retry_at)]
    assert pauses.run("add", NAME, "--wait", "10m").exit_code == 0
    assert pauses.waited == 420


def test_wait_respects_the_time_that_c4_names(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, status=503, retry_after=300))
    pauses.after[200] = cdn.c4.heal
    assert pauses.run("add", NAME, "--wait", "10m").exit_code == 0
    assert pauses.waited == 300


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_wait_ends_early_if_the_next_try_is_after_its_end(
    cdn: Cdn, pauses: Pauses, options: tuple[str, ...]
) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals = [BUSY, BUSY, BUSY]
    result = pauses.run("add", NAME, "--wait", "5m", *options)
    assert (result.exit_code, pauses.waited) == (3, 60)
    last = f"sslctl: 1 of 1 domains not well yet: {NAME}; the next try is after the end of the wait"
    assert result.stderr.splitlines()[-1] == last
    if options:
        (row,) = result.json["domains"]
        assert (row["status"], row["error"]) == ("Pending", None)
    else:
        assert result.stdout.count("Pending CA_UNAVAILABLE") == 1


def test_wait_ends_at_once_if_only_the_customer_can_act(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME, points_at="parking.elsewhere.test")
    result = pauses.run("add", NAME, "--wait", "1h")
    assert (result.exit_code, result.stderr, pauses.waited) == (4, "", 0)
    assert result.stdout.count("Failure CNAME_ELSEWHERE") == 1


def test_wait_goes_on_for_one_domain_if_only_the_customer_can_act_for_another(
    cdn: Cdn, pauses: Pauses
) -> None:
    cdn.add_domain(NAME)
    cdn.add_domain(OTHER, points_at="parking.elsewhere.test")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, domain=NAME, status=503))
    pauses.after[30] = cdn.c4.heal
    listed = f"{OTHER}\n{NAME}\n"
    result = pauses.run("add", "--from-file", "-", "--wait", "10m", stdin=listed)
    assert result.exit_code == 5
    assert "waiting for 1 of 2 domains" in result.stderr
    assert (result.stdout.count(f"{OTHER}: Failure"), result.stdout.count(f"{NAME}: ")) == (1, 1)
    assert f"{NAME}: Success" in result.stdout
    assert len(cdn.issuer.orders) == 1


def test_wait_retries_an_upload_in_longer_and_longer_pauses_and_orders_once(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    result = pauses.run("add", NAME, "--wait", "30m")
    assert result.exit_code == 7
    # At the beginning, and after 1, 3, 7, 12, 17, 22 and 27 minutes.
    assert len(cdn.uploads(NAME)) == 8
    assert len(cdn.issuer.orders) == 1
    cdn.c4.heal()
    assert cdn.sslctl("recheck", NAME).exit_code == 0


def test_wait_takes_over_what_a_tick_beside_it_achieved(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals = [BUSY, BUSY]
    pauses.after[100] = lambda: cdn.sslctl("recheck", NAME)
    result = pauses.run("add", NAME, "--wait", "30m")
    assert (result.exit_code, pauses.waited) == (0, 100)
    assert result.stdout.count(f"{NAME}: Success") == 1


@pytest.mark.parametrize("command", ["add", "recheck"])
def test_wait_looks_again_while_another_process_works_on_the_domain(
    cdn: Cdn, pauses: Pauses, command: str
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    other = other_process(cdn)
    pauses.after[20] = lambda: other.store.release([domain_claim(NAME)])
    result = pauses.run(command, NAME, "--wait", "10m")
    other.close()
    assert (result.exit_code, pauses.waited) == (0, 20)
    assert result.stdout.count("Success") == 1
    assert result.stderr.count("another process works on one of them") == 1


def test_wait_ends_with_75_if_another_process_works_on_the_domain_until_the_end(
    cdn: Cdn, pauses: Pauses
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    other = other_process(cdn)
    result = pauses.run("recheck", NAME, "--wait", "1m", "--json")
    other.close()
    assert result.exit_code == 75
    assert [row["error"] for row in result.json["domains"]] == ["BUSY"]


def test_wait_for_a_domain_that_is_deleted_meanwhile_ends(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals = [BUSY]
    pauses.after[30] = lambda: cdn.sslctl("delete", NAME, "--yes")
    result = pauses.run("add", NAME, "--wait", "30m")
    assert result.exit_code == 9
    assert f"{NAME} was deleted while it was waited for" in result.stderr


def test_wait_makes_no_further_pass_during_maintenance_and_goes_on_after_it_was_ended(
    cdn: Cdn, pauses: Pauses
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("pause", "--until", "20m", "--reason", "C4 2.1")
    before: list[int] = []
    pauses.after[295] = lambda: before.append(passes(cdn))
    pauses.after[300] = lambda: cdn.sslctl("resume")
    result = pauses.run("add", NAME, "--wait", "1h")
    assert (result.exit_code, pauses.waited, before) == (0, 300, [1])


def test_wait_does_not_agree_to_replace_a_text_certificate_that_came_later(cdn: Cdn, pauses: Pauses) -> None:
    cdn.add_domain(NAME)
    cdn.issuer.refusals = [BUSY]
    bundle = cdn.text_pair(NAME)
    pauses.after[30] = lambda: cdn.app().control_plane.upload(NAME, bundle, Source.TEXT)
    result = pauses.run("add", NAME, "--wait", "10m")
    assert result.exit_code == 3
    assert "FOREIGN_TEXT" in result.stdout


@pytest.mark.parametrize("hours", [-1000, -5, 5, 1000])
def test_wait_ends_after_its_time_although_the_clock_jumps(cdn: Cdn, hours: float) -> None:
    pauses = Pauses(cdn, clock_runs=False)
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    pauses.after[100] = lambda: cdn.clock.move(hours=hours)
    result = pauses.run("add", NAME, "--wait", "10m")
    assert result.exit_code == 7
    assert pauses.waited <= 600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_interrupt_during_a_wait_prints_what_remains(cdn: Cdn, number: int, options: tuple[str, ...]) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, status=503))
    with Terminal(cdn, "add", NAME, "--wait", "10m", *options) as terminal:
        terminal.await_text("next try in")
        terminal.process.send_signal(number)
        assert terminal.end() == 130
    remains = f"sslctl: 1 of 1 domains not well yet: {NAME}; the next tick goes on with what is due"
    assert terminal.lines.count(remains) == 1
    if options:
        begin = terminal.lines.index("{")
        end = terminal.lines.index("}")
        assert json.loads("".join(terminal.lines[begin : end + 1]))["error"] == "INTERRUPTED"


def test_interrupt_during_a_pass_ends_the_wait(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, status=503, delay_seconds=2))
    with Terminal(cdn, "add", NAME, "--wait", "10m") as terminal:
        terminal.await_text("querying C4")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert "not well yet" in terminal.screen
    assert "waiting for" not in terminal.screen


@pytest.mark.parametrize("length", ["25h", "2d", "0m", "10", "10s", "", "-5m"])
def test_wait_of_more_than_a_day_or_of_nothing_is_wrong_usage(cdn: Cdn, length: str) -> None:
    for command in ("add", "recheck"):
        assert cdn.sslctl(command, NAME, "--wait", length).exit_code == 2
    assert cdn.sslctl("list", "--json").json["domains"] == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("add", "--no-wait"), "--no-wait"),
        (("add", "--dry-run"), "--dry-run"),
        (("add", "--new"), "--new"),
        (("recheck", "--dry-run"), "--dry-run"),
        (("recheck", "--force-renew"), "--force-renew"),
        (("recheck", "--accept", "C4_LOST"), "--accept"),
    ],
)
def test_wait_with_an_option_that_is_not_repeated_is_wrong_usage(
    cdn: Cdn, arguments: tuple[str, ...], option: str
) -> None:
    result = cdn.sslctl(*arguments, NAME, "--wait", "10m")
    assert result.exit_code == 2
    assert f"--wait repeats passes; it cannot be combined with {option}" in result.stderr


@pytest.mark.parametrize("length", ["3s", "0m", "25h", "1w", "soon"])
def test_wait_of_another_length_is_refused_with_the_limits(cdn: Cdn, length: str) -> None:
    result = cdn.sslctl("recheck", "shop.example.com", "--wait", length)
    assert (result.exit_code, "at least 1m, at most 24h" in result.stderr) == (2, True)
