"""Ticks on two hosts, as processes with folders of their own, share the work of one fleet in a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Source
from tests.support.cdn import SUFFIX, Cdn, Result
from tests.support.fakes import START, Clock
from tests.support.postgres_backend import PostgresBackend, new_state
from tests.support.store_cases import PATIENCE, processes
from tests.support.tick_cases import tick

pytestmark = pytest.mark.postgres

WORKERS = 4
# More than two hosts take at once.
NAMES = [f"{number}.example.com" for number in range(40)]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PostgresBackend]:
    """A database without a state."""
    made = new_state(tmp_path / "a" / "state")
    yield made
    made.discard()


class Hosts:
    """Two hosts with the state in one database, and domains that are due."""

    def __init__(self, cdn: Cdn, state: PostgresBackend) -> None:
        self.cdn = cdn
        self._state = state
        self._context = processes()
        # One for each: setting one waits until those who wait for it are awake.
        self._may_issue: dict[str, Event] = {}
        self._results: Queue[tuple[int, str, int]] = self._context.Queue()
        other = cdn.folder / "b"
        other.mkdir(mode=0o700)
        shutil.copy(cdn.folder / "state" / "master.key", other / "master.key")
        text = cdn.config_path.read_text()
        self.configs = [cdn.config_path, cdn.folder / "b.toml"]
        self.configs[1].write_text(text.replace(f'dir = "{cdn.folder}/state"', f'dir = "{other}"'))
        self.other = App(self.configs[1], cdn.clock)
        self.other.issuers = dict.fromkeys(cdn.app().issuers, cdn.issuer)
        self.add(*NAMES)

    def add(self, *names: str) -> None:
        """Add domains that are due."""
        for name in names:
            self.cdn.add_domain(name)
            self.other.store.add_domain(name, (), Source.C4)

    def start(self) -> list[ForkServerProcess]:
        """Start a tick on both hosts; return the one that leads, and the other one, once all their workers wait for the CA."""
        running = self.start_on(*self.configs)
        lead = self.claims()[TICK]
        return sorted(running, key=lambda process: process.pid != lead)

    def start_on(self, *configs: Path) -> list[ForkServerProcess]:
        """Start a tick on each host with one of `configs`; return them once all their workers wait for the CA."""
        before = sum(self.orders())
        start = self._context.Barrier(len(configs))
        self._may_issue = {config.name: self._context.Event() for config in configs}
        running = [
            self._context.Process(
                target=tick,
                args=(config, start, self._may_issue[config.name], self._results),
                name=config.name,
            )
            for config in configs
        ]
        for process in running:
            process.start()
        self.wait_for_orders(before + WORKERS * len(configs))
        return running

    def claims(self) -> dict[str, int | None]:
        """Return the processes that hold claims."""
        return {claim.name: claim.owner.pid for claim in self.other.store.claims() if claim.is_valid}

    def finish(self, *running: ForkServerProcess) -> list[tuple[int, str, int]]:
        """Let the CA issue to `running`; return exit code, standard error and number of orders of each."""
        self.let_finish(*running)
        results = [self._results.get(timeout=PATIENCE) for _ in running]
        for process in running:
            process.join(PATIENCE)
        return results

    def let_finish(self, *running: ForkServerProcess) -> None:
        """Let the CA issue to `running`."""
        for process in running:
            self._may_issue[process.name].set()

    def wait_until_only_leading(self, lead: ForkServerProcess) -> None:
        """Wait until `lead` has done all passes that no other process claims."""
        self._wait(lambda: [name for name, pid in self.claims().items() if pid == lead.pid] == [TICK])

    def end_leases(self) -> None:
        """Let a minute pass, as it seems, without a heartbeat."""
        with self._state.sql() as sql:
            sql("UPDATE process SET seen_at = clock_timestamp() - interval '61 seconds'", ())

    def tick(self, host: ForkServerProcess | Path, ahead: timedelta = timedelta()) -> int:
        """Run another tick on the host of the configuration or of the ended process `host`; return its exit code.

        The clock of that host is `ahead`.
        """
        return self.sslctl(self.cdn.folder / host.name, "daemon-tick", ahead=ahead).exit_code

    def sslctl(self, config: Path, *arguments: str, ahead: timedelta = timedelta()) -> Result:
        """Run a command on the host with the file `config`, whose clock is `ahead`."""
        app = App(config, lambda: self.cdn.clock() + ahead)
        app.issuers = dict.fromkeys(self.cdn.app().issuers, self.cdn.issuer)
        return self.cdn.sslctl(*arguments, app=app)

    def mails(self, number: int = 6) -> list[str]:
        """Run `number` ticks on each host in turn, 5 minutes apart; return what cron would mail of each that prints anything."""
        found: list[str] = []
        for config in self.configs * number:
            result = self.sslctl(config, "daemon-tick", "-q")
            found += filter(None, [result.stdout + result.stderr])
            self.cdn.clock.move(minutes=5)
        return found

    def require_one_certificate_each(self) -> None:
        """Assert that each domain was uploaded once, and that the history is whole."""
        assert [len(self.cdn.uploads(name)) for name in NAMES] == [1] * len(NAMES)
        listed = self.cdn.sslctl("list", "--json").json["domains"]
        assert {each["status"] for each in listed} == {"Success"}
        assert self.cdn.sslctl("audit", "verify").exit_code == 0

    def orders(self) -> list[int]:
        """Return how many orders each domain has had."""
        with self._state.sql() as sql:
            return [row[0] for row in sql("SELECT count(*) FROM acme_order GROUP BY domain_id", ())]

    def wait_for_orders(self, number: int) -> None:
        """Wait until there have been so many orders, and no process does anything."""
        self._wait(lambda: sum(self.orders()) == number)
        idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = ? AND state <> 'idle' AND pid <> pg_backend_pid()"
        calm = 0

        def is_calm() -> bool:
            nonlocal calm
            with self._state.sql() as sql:
                calm = 0 if sql(idle, (self._state.name,))[0][0] else calm + 1
            return calm == 20

        self._wait(is_calm)

    @staticmethod
    def _wait(is_reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_reached():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def hosts(tmp_path: Path, clock: Clock, state: PostgresBackend) -> Iterator[Hosts]:
    """Two hosts, and a running CDN."""
    folder = tmp_path / "cdn"
    folder.mkdir()
    with Cdn(folder, clock, state_url=state.url) as cdn:
        made = Hosts(cdn, state)
        yield made
        made.other.close()


def test_hosts_have_one_account_key(hosts: Hosts) -> None:
    keys = [App(config, hosts.cdn.clock).stateless.keys_if_stored() for config in hosts.configs]
    assert keys[0] is not None
    assert keys[0] == keys[1]


def test_two_ticks_share_what_is_due_and_order_each_domain_once(hosts: Hosts) -> None:
    results = hosts.finish(*hosts.start())
    assert [code for code, _, _ in results] == [0, 0]
    assert sum(orders for _, _, orders in results) == len(NAMES)
    # The one that the CA answered first goes on alone, until the other one is answered.
    assert min(orders for _, _, orders in results) >= WORKERS
    assert hosts.orders() == [1] * len(NAMES)
    hosts.require_one_certificate_each()


def test_host_at_which_the_ca_is_slow_takes_no_more_than_it_can_order(hosts: Hosts) -> None:
    slow, quick = hosts.start()
    ((code, _, orders),) = hosts.finish(quick)
    # The slow one has 4 at the CA, 2 that wait for it, and at most a block of 8.
    assert (code, orders >= len(NAMES) - 14) == (0, True)
    assert [code for code, _, _ in hosts.finish(slow)] == [0]
    hosts.require_one_certificate_each()


def test_lead_that_is_killed_leaves_its_domains_to_the_next_tick(hosts: Hosts) -> None:
    lead, *running = hosts.start()
    kill(lead)
    assert [code for code, _, _ in hosts.finish(*running)] == [0]
    hosts.end_leases()
    assert hosts.tick(running[0]) == 0
    hosts.require_one_certificate_each()


def test_two_hosts_stay_within_the_renewals_of_a_day_although_more_becomes_due_between_their_plans(
    hosts: Hosts,
) -> None:
    cdn, most = hosts.cdn, 36
    cdn.clock.at = START - timedelta(days=83)
    assert hosts.tick(hosts.configs[0]) == 0
    # They become due an hour later than the others, and expire sooner.
    cdn.clock.at = START - timedelta(days=6) + timedelta(hours=1)
    cdn.issuer.lifetime = timedelta(days=12)
    short = [f"short{number}.example.com" for number in range(10)]
    hosts.add(*short)
    assert hosts.tick(hosts.configs[0]) == 0
    assert hosts.orders() == [1] * (len(NAMES) + len(short))
    for config in hosts.configs:
        config.write_text(f"{config.read_text()}\n[renewal]\nmax_per_day = {most}\n")
    cdn.clock.at = START
    (first,) = hosts.start_on(hosts.configs[0])
    cdn.clock.move(minutes=61)
    assert hosts.tick(hosts.configs[1]) == 0
    assert [code for code, _, _ in hosts.finish(first)] == [0]
    assert hosts.orders().count(2) <= most
    # What both left to each other.
    assert hosts.tick(hosts.configs[1]) == 0
    assert hosts.orders().count(2) == most
    assert cdn.sslctl("audit", "verify").exit_code == 0


def test_lead_takes_over_what_a_host_that_died_has_left(hosts: Hosts) -> None:
    lead, other = hosts.start()
    kill(other)
    hosts.let_finish(lead)
    hosts.wait_until_only_leading(lead)
    assert len(hosts.other.store.claims()) > 1
    hosts.end_leases()
    assert [code for code, _, _ in hosts.finish(lead)] == [0]
    hosts.require_one_certificate_each()


def test_tick_reports_what_other_hosts_found(hosts: Hosts) -> None:
    cdn, name = hosts.cdn, NAMES[0]
    assert cdn.sslctl("daemon-tick").exit_code == 0
    cdn.point(name, "elsewhere.example.org")
    cdn.clock.move(days=84)
    assert hosts.sslctl(hosts.configs[1], "recheck", name).exit_code != 0
    result = cdn.sslctl("daemon-tick", "-q")
    assert f"{name}: Failure CNAME_ELSEWHERE" in result.stdout
    assert f"{len(NAMES)} due domains" in result.stdout


def test_trouble_is_one_mail_of_cron_a_night_whichever_host_leads(hosts: Hosts) -> None:
    cdn, name = hosts.cdn, NAMES[0]
    assert hosts.mails(1) == []
    cdn.point(name, "elsewhere.example.org")
    cdn.clock.move(days=84)
    for night in range(2):
        (mail,) = hosts.mails()
        assert f"{name}: Failure CNAME_ELSEWHERE" in mail, night
        cdn.clock.move(hours=23)
    cdn.point(name, f"{name}.{SUFFIX}")
    cdn.clock.move(days=1)
    (over,) = hosts.mails(12)
    assert over.splitlines()[1:] == [f"Well again: {name}"]


def kill(process: ForkServerProcess) -> None:
    process.kill()
    process.join(PATIENCE)


def test_frozen_tick_that_wakes_after_its_lease_changes_nothing(hosts: Hosts) -> None:
    frozen, other = hosts.start()
    # No transaction is open that the server would have to end first.
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        assert [code for code, _, _ in hosts.finish(other)] == [0]
        hosts.end_leases()
        assert hosts.tick(other) == 0
        hosts.require_one_certificate_each()
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert [code != 0 for code, _, _ in hosts.finish(frozen)] == [True]
    hosts.require_one_certificate_each()


@pytest.mark.parametrize("minutes", [-59, -10, 10, 59])
def test_tick_beside_a_leading_one_whose_clock_differs_does_not_take_it_for_hanging(
    hosts: Hosts, minutes: int
) -> None:
    lead, other = hosts.start()
    assert [(code, stderr) for code, stderr, _ in hosts.finish(other)] == [(0, "")]
    assert hosts.tick(other, timedelta(minutes=minutes)) == 0
    assert [code for code, _, _ in hosts.finish(lead)] == [0]
