"""`fleet.tick` without a command line: a real store, fakes for the CA, the notifier, the passes and the ping."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.certificates import x509
from sslctl.cli.output.tick_report import find_facts
from sslctl.errors import Busy, Exit, NotManaged, StateError
from sslctl.fleet.tick import Tick
from sslctl.fleet.tick_passes import TickSettings
from sslctl.fleet.tick_result import TickResult
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.report import Report
from sslctl.issuance.work import Sharing
from sslctl.issuer import RenewalWindow
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Domain, Milestone, Source
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.reported import Fact, Kind
from sslctl.store.sqlite.store import SqliteStore
from sslctl.system.locks import locked
from tests.support.fakes import Clock, FakeIssuer, FakeNotifier
from tests.support.store_cases import finding, serve

HOUR = timedelta(hours=1)
A, B = "a.test", "b.test"


class CheckedStore:
    """The store `inner`, whose integrity checks are scripted: `results` are returned one a call, or raised.

    `checks` has the seconds of each check, or the names of the domains whose rows were checked.
    """

    def __init__(self, inner: SqliteStore, *results: bool | StateError) -> None:
        self._inner = inner
        self._results = list(results)
        self.checks: list[float | tuple[str, ...]] = []

    def __getattr__(self, method: str) -> object:
        return getattr(self._inner, method)

    def check_integrity(self, seconds: float) -> bool:
        """See `Maintenance.check_integrity`."""
        return self._check(seconds)

    def continue_check(self, seconds: float) -> None:
        """See `Maintenance.continue_check`."""
        self._check(seconds)

    def check_domains(self, names: Sequence[str]) -> None:
        """See `Maintenance.check_domains`."""
        self._check(tuple(names))

    def _check(self, what: float | tuple[str, ...]) -> bool:
        self.checks.append(what)
        result = self._results.pop(0) if self._results else True
        if isinstance(result, StateError):
            raise result
        return result


class Passes:
    """Passes in memory. `findings` has the code that a pass finds; a domain that is not in it ends in Success.

    `errors` has what a pass raises instead. `calls` has the names of each round with those that were renewed early.
    """

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.findings: dict[str, Code] = {}
        self.errors: dict[str, Exception] = {}
        self.calls: list[tuple[list[str], set[str]]] = []
        self.interrupt: Callable[[], None] = lambda: None

    def __call__(
        self,
        names: Sequence[str],
        report: Report,
        *,
        renew: Container[str],
        consent: Consent = NO_CONSENT,
        sharing: Sharing | None = None,
    ) -> None:
        """See `RunPasses`."""
        assert sharing is None
        assert consent.replace_text is consent.force is False
        self.calls.append((list(names), {name for name in names if name in renew}))
        self.interrupt()
        for name in names:
            error = self.errors.get(name)
            outcome = Outcome(name, error=error) if error else Outcome(name, self._pass(name))
            report.add(outcome, self._clock())

    def _pass(self, name: str) -> Domain:
        domain = self._store.domain(name)
        code = self.findings.get(name)
        if code is not None:
            return self._store.record_finding(domain, finding(code, at=self._clock()))
        return self._store.record_finding(_issue(self._store, domain, self._clock), None)


class Pings:
    """A ping in memory: `sent` counts, `answer` is why it fails."""

    def __init__(self) -> None:
        self.sent = 0
        self.answer = ""

    def __call__(self) -> str:
        """Return `answer`."""
        self.sent += 1
        return self.answer


class Fixture:
    """A tick's collaborators; `run` runs a tick with them."""

    def __init__(self, store: SqliteStore, clock: Clock, lock_path: Path) -> None:
        self.store = store
        self.clock = clock
        self.lock_path = lock_path
        self.issuer: FakeIssuer | None = None
        self.notifier: FakeNotifier | None = None
        self.passes = Passes(store, clock)
        self.pings = Pings()
        self.checked = CheckedStore(store)

    def run(self, *, force: bool = False, checks: Sequence[bool | StateError] = (True,)) -> TickResult:
        """Run a tick whose integrity checks end as `checks` says."""
        self.checked = CheckedStore(self.store, *checks)
        tick = Tick(
            self.checked,  # type: ignore[arg-type]  # the rest is the store's own
            None if self.issuer is None else {"": self.issuer},
            self.notifier,
            None,
            run_passes=self.passes,
            announce=str,
            ping=self.pings,
            clock=self.clock,
            monotonic=iter((1.0, 3.5)).__next__,
            settings=TickSettings(
                lock_path=self.lock_path,
                renewal=RenewalRule(),
                max_per_day=0,
                notify_statuses=(Status.EMERGENCY, Status.EXPIRED),
                notify_repeat=timedelta(days=1),
            ),
        )
        result = tick.run(force=force)
        assert isinstance(result, TickResult)
        return result

    def add(self, *names: str) -> None:
        """Add domains that are due at once."""
        for name in names:
            self.store.add_domain(name, (), Source.C4)


def _issue(store: SqliteStore, domain: Domain, clock: Clock) -> Domain:
    """Return `domain`, which now serves a new certificate; one with an ARI id."""
    key = x509.make_key("ecdsa")
    order = store.open_order(domain, domain.names, key, x509.make_csr(key, domain.names))
    issued = FakeIssuer(clock).issue(order, lambda _url: None)
    leaf = x509.read_leaf(issued.certificate)
    return serve(store, store.add_issued_certificate(domain, order, issued.certificate, issued.chain, leaf))


@pytest.fixture
def fixture(store: SqliteStore, clock: Clock, tmp_path: Path) -> Fixture:
    return Fixture(store, clock, tmp_path / "tick.lock")


# What is due, and the result


def test_tick_runs_a_pass_over_each_due_domain_and_returns_the_counts(fixture: Fixture) -> None:
    fixture.add(A, B)
    fixture.passes.findings[B] = Code.CNAME_ELSEWHERE
    result = fixture.run()
    assert fixture.passes.calls == [([A, B], set())]
    assert (result.at, result.exit_code) == (fixture.clock(), Exit.SOME_NOT_WELL)
    assert (result.names, result.ended, result.unwell, result.errors) == ((A, B), 2, (B,), {})
    assert result.counts == {Status.SUCCESS: 1, Status.FAILURE: 1}
    assert (result.pauses, result.alerts, result.held_renewals) == ([], (), 0)
    assert fixture.store.milestones()[Milestone.TICK].detail == "2 due, 1 not well"


def test_result_cannot_be_changed(fixture: Fixture) -> None:
    result = fixture.run()
    with pytest.raises(FrozenInstanceError):
        result.exit_code = 0  # type: ignore[misc]


def test_tick_without_due_domains_runs_no_pass_and_reports_nothing(fixture: Fixture) -> None:
    result = fixture.run()
    assert (fixture.passes.calls, result.exit_code, find_facts(fixture.store, result)) == ([], Exit.OK, [])
    assert fixture.store.milestones()[Milestone.TICK].detail == "0 due, 0 not well"


@pytest.mark.parametrize(
    "error", [Busy("another sslctl works on it"), NotManaged("deleted")], ids=["busy", "deleted"]
)
def test_domain_changed_by_another_command_is_no_failure(fixture: Fixture, error: Exception) -> None:
    fixture.add(A)
    fixture.passes.errors[A] = error
    result = fixture.run()
    assert (result.exit_code, result.ended, result.unwell) == (Exit.OK, 0, ())
    assert (result.names, result.errors) == ((A,), {A: error})


def test_force_repeats_the_recheck_on_the_same_day(fixture: Fixture) -> None:
    fixture.add(A)
    fixture.passes.findings[A] = Code.CNAME_ELSEWHERE
    fixture.run()
    assert fixture.run().names == ()
    assert fixture.run(force=True).names == (A,)


# One tick at a time


def test_second_tick_is_refused_with_busy_and_calls_nobody(fixture: Fixture) -> None:
    fixture.add(A)
    fixture.notifier = FakeNotifier("slack")
    with locked(fixture.lock_path), pytest.raises(Busy, match="another tick is running"):
        fixture.run()
    assert (fixture.passes.calls, fixture.notifier.sent, fixture.pings.sent) == ([], [], 0)
    assert Milestone.TICK not in fixture.store.milestones()


def test_tick_of_another_host_is_refused_with_busy(fixture: Fixture) -> None:
    mine = fixture.store._owner
    fixture.store._owner = "elsewhere/1/1"  # stands for a tick of another process
    assert fixture.store.claim([TICK], HOUR)
    fixture.store._owner = mine
    with pytest.raises(Busy, match="another tick is running"):
        fixture.run()


def test_tick_started_within_a_tick_is_refused_with_busy(fixture: Fixture) -> None:
    fixture.add(A)
    inner = Fixture(fixture.store, fixture.clock, fixture.lock_path)

    def interrupt() -> None:
        with pytest.raises(Busy):
            inner.run()

    fixture.passes.interrupt = interrupt
    assert fixture.run().ended == 1


def test_lock_and_claim_are_released_if_a_pass_raises(fixture: Fixture) -> None:
    fixture.add(A)

    def interrupt() -> None:
        raise KeyboardInterrupt

    fixture.passes.interrupt = interrupt
    with pytest.raises(KeyboardInterrupt):
        fixture.run()
    assert (fixture.pings.sent, Milestone.TICK in fixture.store.milestones()) == (0, False)
    fixture.passes.interrupt = lambda: None
    assert fixture.run().ended == 1


# The check for damage


def test_parts_and_the_rows_of_the_passes_are_checked_if_there_is_work_and_the_short_check_did_not_finish(
    fixture: Fixture,
) -> None:
    fixture.add(A)
    fixture.run(checks=(False,))
    assert fixture.checked.checks == [0.2, 0.2, (A,), 2]
    assert Milestone.CHECKED not in fixture.store.milestones()


def test_one_part_is_checked_without_work_if_the_short_check_did_not_finish(fixture: Fixture) -> None:
    fixture.run(checks=(False,))
    assert fixture.checked.checks == [0.2, 0.2]


def test_nothing_else_is_checked_if_the_short_check_finished(fixture: Fixture) -> None:
    fixture.add(A)
    fixture.run(checks=(True,))
    assert fixture.checked.checks == [0.2]
    assert fixture.store.milestones()[Milestone.CHECKED].at == fixture.clock()


@pytest.mark.parametrize("place", range(4))
def test_no_pass_runs_on_a_damaged_database(fixture: Fixture, place: int) -> None:
    fixture.add(A)
    with pytest.raises(StateError, match="damaged"):
        fixture.run(checks=(*[False] * place, StateError("damaged")))
    assert (fixture.passes.calls, fixture.pings.sent) == ([], 0)
    assert fixture.run().ended == 1


# Renewal information (ARI)


@pytest.fixture
def suggesting(fixture: Fixture) -> Fixture:
    """A fleet of one domain that serves a certificate, which the CA wants replaced now."""
    fixture.add(A)
    fixture.run()
    fixture.passes.calls.clear()
    fixture.clock.move(days=10)
    fixture.issuer = FakeIssuer(fixture.clock)
    start = fixture.clock() - HOUR
    suggestion = RenewalWindow(start, start + timedelta(minutes=1), "https://ca.test/incident")
    fixture.issuer.suggested = lambda _id: suggestion
    return fixture


def test_domains_that_ari_makes_due_get_a_second_round_of_passes(suggesting: Fixture) -> None:
    suggesting.add(B)
    result = suggesting.run()
    assert [names for names, _ in suggesting.passes.calls] == [[B], [A]]
    assert (result.names, result.ended, result.exit_code) == ((B, A), 2, Exit.OK)
    # The same window lies before the certificate that B has just got, so it is ignored there.
    (alert,) = result.alerts
    assert (alert.domains, alert.explanation_url) == (1, "https://ca.test/incident")


def test_second_round_is_preceded_by_the_check(suggesting: Fixture) -> None:
    suggesting.run(checks=(False,))
    assert suggesting.checked.checks == [0.2, 0.2, (A,), 2]
    assert [names for names, _ in suggesting.passes.calls] == [[A]]


def test_parts_are_checked_once_for_both_rounds_and_the_rows_of_each(suggesting: Fixture) -> None:
    suggesting.add(B)
    suggesting.run(checks=(False,))
    assert suggesting.checked.checks == [0.2, 0.2, (B,), 2, (A,)]
    assert len(suggesting.passes.calls) == 2


def test_second_round_leaves_out_domains_that_had_a_pass(suggesting: Fixture) -> None:
    suggesting.add(B)
    suggesting.passes.findings[B] = Code.C4_UPLOAD_FAILED  # due again at once
    suggesting.run()
    assert [names for names, _ in suggesting.passes.calls] == [[B], [A]]


def test_ca_is_not_asked_without_an_issuer(suggesting: Fixture) -> None:
    suggesting.issuer = None
    result = suggesting.run()
    assert (suggesting.passes.calls, result.alerts) == ([], ())


# The notice and the ping


@pytest.fixture
def failing(fixture: Fixture) -> Fixture:
    """A domain whose upload fails, and two people to notify."""
    fixture.add(A)
    fixture.passes.findings[A] = Code.C4_UPLOAD_FAILED
    fixture.notifier = FakeNotifier("slack", "mailto")
    return fixture


def test_tick_in_good_order_sends_one_ping(fixture: Fixture) -> None:
    result = fixture.run()
    assert (fixture.pings.sent, result.pinged, result.ping_error) == (1, True, "")


def last_notice(result: TickResult) -> Notice:
    """Return the last notice of trouble to the URLs without a route."""
    return result.notices.get(NoticeKey(), Notice())


def test_people_are_notified_after_the_passes_and_the_ping_is_sent(failing: Fixture) -> None:
    result = failing.run()
    assert failing.notifier is not None
    assert [message.title for message, _ in failing.notifier.sent] == ["sslctl: 1 domain in Emergency"]
    assert (result.exit_code, last_notice(result).missed, result.pinged) == (Exit.EMERGENCY, (), True)


def test_no_ping_is_sent_if_the_notice_reached_nobody(failing: Fixture) -> None:
    assert failing.notifier is not None
    failing.notifier.deaf = {1, 2}
    result = failing.run()
    assert (failing.pings.sent, result.pinged, result.ping_error) == (0, None, None)
    assert last_notice(result).missed == (1, 2)


def test_ping_is_sent_if_the_notice_reached_one_of_two(failing: Fixture) -> None:
    assert failing.notifier is not None
    failing.notifier.deaf = {2}
    assert failing.run().pinged is True


def test_no_ping_is_sent_after_a_bug(fixture: Fixture) -> None:
    fixture.add(A)
    fixture.passes.errors[A] = ZeroDivisionError()
    result = fixture.run()
    assert (result.exit_code, result.unwell, result.pinged) == (Exit.BUG, (A,), None)
    assert fixture.pings.sent == 0


def test_failed_ping_is_reported(fixture: Fixture) -> None:
    fixture.pings.answer = "answered 500"
    result = fixture.run()
    assert (result.pinged, result.ping_error) == (False, "answered 500")
    assert find_facts(fixture.store, result) == [Fact(Kind.FLEET, "the failed ping")]
    assert result.exit_code == Exit.OK


def test_record_of_the_last_notice_is_deleted_if_nobody_is_to_be_notified(failing: Fixture) -> None:
    assert failing.notifier is not None
    failing.notifier.deaf = {1, 2}
    failing.run()
    assert failing.store.notices().get(NoticeKey(), Notice()).missed == (1, 2)
    failing.notifier = None
    result = failing.run()
    assert (last_notice(result), failing.store.notices().get(NoticeKey(), Notice())) == (Notice(), Notice())
    assert result.pinged is True
