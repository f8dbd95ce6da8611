"""Rate limits of the CA: held domains use no budget and keep their turn, and pauses of the CA are respected.

The fake CA counts the requests; everything between the command line and the CA is real.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sslctl.issuer import Issued, IssueError
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Milestone, Order
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import START

HOUR = timedelta(hours=1)


def enrol(cdn: Cdn, *names: str) -> None:
    """Record `names`, in this order, as domains that point at the CDN."""
    for name in names:
        cdn.add_domain(name)
        cdn.clock.move(seconds=1)
        assert cdn.sslctl("add", name, "--no-wait").exit_code == 0


def tick(cdn: Cdn) -> dict[str, str]:
    """Run a tick and return the reason code of each domain that was due, empty for Success."""
    answer = cdn.sslctl("daemon-tick", "--json").json
    return {each["domain"]: (each["reason"] or {"code": ""})["code"] for each in answer["domains"]}


def reason(cdn: Cdn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cdn.sslctl("view", name, "--json").json["domain"]["reason"]
    return found


def at(length: timedelta, since: Any = START) -> str:
    moment = since + length
    return str(moment.isoformat().replace("+00:00", "Z"))


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set limits in the environment."""

    def limit(**limits: str) -> None:
        for name, text in limits.items():
            monkeypatch.setenv(f"SSLCTL_LIMITS_{name.upper()}", text)

    # One order at a time. Which domain comes first still depends on the threads.
    monkeypatch.setenv("SSLCTL_ACME_WORKERS", "1")
    return limit


# Our own budget


def test_ticks_order_queued_domains_at_their_promised_times_within_the_order_limit(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(orders="2/3h")
    names = [f"{number}.shop{number}.test" for number in range(5)]
    enrol(cdn, *names)
    cdn.clock.at = START + HOUR
    began_at = cdn.clock()
    ended = tick(cdn)
    assert sorted(ended.values()) == ["", "", *[Code.BUDGET_HELD] * 3]
    reasons = {name: reason(cdn, name) for name, code in ended.items() if code}
    assert {each["sentence"] for each in reasons.values()} == {
        "The order waits, because the CA would not accept it now: 2 of 2 new orders in 3 hours."
    }
    assert sorted(each["retry_at"] for each in reasons.values()) == [
        at(hours * HOUR, began_at) for hours in (3, 3, 6)
    ]
    assert tick(cdn) == {}
    cdn.clock.at = began_at + 3 * HOUR - timedelta(seconds=1)
    assert tick(cdn) == {}
    cdn.clock.move(seconds=1)
    turns = {name: each["retry_at"] for name, each in reasons.items()}
    assert tick(cdn) == {name: "" for name, turn in turns.items() if turn == at(3 * HOUR, began_at)}
    cdn.clock.move(hours=3)
    assert tick(cdn) == {name: "" for name, turn in turns.items() if turn == at(6 * HOUR, began_at)}
    assert sorted(cdn.issuer.orders) == [(name,) for name in names]


def test_held_domain_keeps_its_place_when_other_domains_are_added_later(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(orders="1/3h")
    enrol(cdn, "c.test")
    tick(cdn)
    enrol(cdn, "b.test")
    assert tick(cdn) == {"b.test": Code.BUDGET_HELD}
    enrol(cdn, "a.test")
    assert tick(cdn) == {"a.test": Code.BUDGET_HELD}
    assert reason(cdn, "a.test")["retry_at"] > reason(cdn, "b.test")["retry_at"]


def test_domain_that_fails_preflight_uses_no_budget(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited(orders="1/3h")
    cdn.add_domain("a.test", points_at="elsewhere.example")
    cdn.sslctl("add", "a.test", "--no-wait")
    enrol(cdn, "b.test")
    assert tick(cdn) == {"a.test": Code.CNAME_ELSEWHERE, "b.test": ""}


def test_list_and_view_show_budget_held_with_its_retry_time(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited(orders="1/3h")
    enrol(cdn, "a.test", "b.test")
    tick(cdn)
    [row] = cdn.sslctl("list", "--json", "--status", "Pending").json["domains"]
    assert row["reason"]["code"] == "BUDGET_HELD"
    assert row["reason"]["retry_at"] == at(3 * HOUR, cdn.clock())
    assert "BUDGET_HELD" in cdn.sslctl("list").stdout
    viewed = cdn.sslctl("view", row["domain"]).stdout
    assert "1 of 1 new orders in 3 hours" in viewed
    assert "2026-11-23 15:00 SGT" in viewed


def test_tick_holds_certificates_beyond_the_limit_of_a_registered_domain(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(certificates="2/7d")
    enrol(cdn, "a.shop.co.uk", "b.shop.co.uk", "c.shop.co.uk", "d.shop.co.uk", "a.other.co.uk")
    held = [name for name, code in tick(cdn).items() if code]
    assert len(held) == 2
    assert "a.other.co.uk" not in held
    for name in held:
        assert "2 of 2 new certificates for shop.co.uk in 7 days" in reason(cdn, name)["sentence"]
        assert reason(cdn, name)["retry_at"] == at(timedelta(days=7), cdn.clock())
    cdn.clock.move(days=7)
    assert tick(cdn) == dict.fromkeys(held, "")


def test_renewals_proceed_while_new_domains_are_held(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited(orders="1/3h", certificates="1/90d")
    enrol(cdn, "a.example.com")
    assert tick(cdn) == {"a.example.com": ""}
    cdn.clock.move(days=83)
    enrol(cdn, "b.example.com")
    assert tick(cdn) == {"a.example.com": "", "b.example.com": Code.BUDGET_HELD}


def test_recheck_places_no_order_after_too_many_failed_validations(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(failures="2/1h")
    cdn.add_domain("a.test")
    cdn.issuer.refusals += [IssueError(Code.CHALLENGE_FAILED, "404", order_dead=True) for _ in range(2)]
    cdn.sslctl("add", "a.test")
    cdn.sslctl("recheck", "a.test")
    assert cdn.sslctl("recheck", "a.test").exit_code == 3
    assert "2 of 2 failed validations of a.test in 1 hour" in reason(cdn, "a.test")["sentence"]
    assert len(cdn.issuer.orders) == 2
    cdn.clock.move(hours=1)
    assert tick(cdn) == {"a.test": ""}


def test_tick_uploads_an_undelivered_certificate_during_a_pause_of_the_ca(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(orders="1/3h")
    enrol(cdn, "a.test")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    assert tick(cdn) == {"a.test": Code.C4_UPLOAD_FAILED}
    cdn.c4.set_faults()
    pause_everything(cdn)
    assert tick(cdn) == {"a.test": ""}


# Pauses that the CA asks for


class Gate:
    """A gate before the fake CA: `error` returns the error to raise, or None to let through; `asked` counts requests."""

    def __init__(self, cdn: Cdn) -> None:
        self.error: Callable[[], IssueError | None] = lambda: None
        self.asked = 0
        self.names: list[str] = []
        self._issue, self._collect = cdn.issuer.issue, cdn.issuer.collect
        cdn.issuer.issue = self.issue  # type: ignore[method-assign]
        cdn.issuer.collect = self.collect  # type: ignore[method-assign]

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        self.names.append(order.names[0])
        self._refuse()
        return self._issue(order, on_url, replaces=replaces)

    def collect(self, order: Order) -> Issued | None:
        self._refuse()
        return self._collect(order)

    def _refuse(self) -> None:
        self.asked += 1
        error = self.error()
        if error is not None:
            raise error


def refusal(
    scope: Scope | None, length: timedelta | None, cdn: Cdn, code: Code = Code.CA_RATE_LIMITED
) -> Callable[[], IssueError]:
    """Return a function that returns the error of a CA that asks for a pause of `length` from now."""
    until = None if length is None else cdn.clock() + length
    return lambda: IssueError(code, "too busy", retry_at=until, pause=scope, order_dead=True)


def pause_everything(cdn: Cdn) -> None:
    store = cdn.app().store
    store.pause(Scope(LimitKind.ACCOUNT), cdn.clock() + HOUR, "a test")
    store.close()


@pytest.mark.parametrize(
    ("scope", "hours"), [(Scope(LimitKind.ACCOUNT), 20), (Scope(LimitKind.ORDERS), 2)], ids=str
)
def test_pause_for_the_account_or_for_new_orders_holds_all_domains_until_its_exact_end(
    cdn: Cdn, limited: Callable[..., None], scope: Scope, hours: int
) -> None:
    limited()
    gate = Gate(cdn)
    enrol(cdn, "a.test", "b.test", "c.test")
    # The first pause lasts past midnight in Singapore, which must not shorten it.
    gate.error = refusal(scope, timedelta(hours=hours, seconds=7), cdn)
    until = at(timedelta(hours=hours, seconds=7), cdn.clock())
    ended = tick(cdn)
    assert sorted(ended.values()) == [Code.BUDGET_HELD, Code.BUDGET_HELD, Code.CA_RATE_LIMITED]
    assert {reason(cdn, name)["retry_at"] for name in ended} == {until}
    for name in (name for name, code in ended.items() if code == Code.BUDGET_HELD):
        assert "the CA asked for a pause: too busy" in reason(cdn, name)["sentence"]
    assert gate.asked == 1
    assert cdn.sslctl("recheck").exit_code == 5
    assert gate.asked == 1
    gate.error = lambda: None
    cdn.clock.move(hours=hours, seconds=6)
    assert tick(cdn) == {}
    cdn.clock.move(seconds=1)
    assert tick(cdn) == {"a.test": "", "b.test": "", "c.test": ""}


def test_domains_held_by_a_pause_of_new_orders_get_staggered_retry_times(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(orders="300/3h")
    gate = Gate(cdn)
    enrol(cdn, "a.test", "b.test", "c.test")
    gate.error = refusal(Scope(LimitKind.ORDERS), HOUR, cdn)
    held = [name for name, code in tick(cdn).items() if code == Code.BUDGET_HELD]
    retry_times = sorted(reason(cdn, name)["retry_at"] for name in held)
    assert retry_times == [at(HOUR, cdn.clock()), at(HOUR + timedelta(seconds=36), cdn.clock())]


def test_renewal_is_placed_during_a_pause_of_new_orders(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited()
    enrol(cdn, "a.example.com")
    tick(cdn)
    cdn.clock.move(days=83)
    gate = Gate(cdn)
    store = cdn.app().store
    for scope in (Scope(LimitKind.ORDERS), Scope(LimitKind.CERTIFICATES, "example.com")):
        store.pause(scope, cdn.clock() + HOUR, "a test")
    store.close()
    assert tick(cdn) == {"a.example.com": ""}
    assert gate.asked == 1


@pytest.mark.parametrize(
    ("scope", "covered", "free"),
    [
        (Scope(LimitKind.CERTIFICATES, "example.com"), ["b.example.com", "example.com"], ["notexample.com"]),
        (Scope(LimitKind.CERTIFICATES, "one.github.io"), ["b.one.github.io"], ["b.two.github.io"]),
        (Scope(LimitKind.FAILURES, "b.example.com"), ["b.example.com"], ["c.example.com"]),
    ],
    ids=str,
)
def test_pause_for_a_name_holds_only_the_names_that_it_covers(
    cdn: Cdn, limited: Callable[..., None], scope: Scope, covered: list[str], free: list[str]
) -> None:
    limited()
    gate = Gate(cdn)
    store = cdn.app().store
    store.pause(scope, cdn.clock() + 2 * HOUR, "too many")
    store.close()
    enrol(cdn, *covered, *free)
    assert tick(cdn) == {**dict.fromkeys(covered, Code.BUDGET_HELD), **dict.fromkeys(free, "")}
    assert gate.asked == len(free)


def test_pause_for_an_exact_set_of_names_holds_that_set(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited()
    gate = Gate(cdn)
    for name in ("a.example.com", "b.example.com"):
        cdn.add_domain(name)
    gate.error = refusal(Scope(LimitKind.DUPLICATES), HOUR, cdn)
    cdn.sslctl("add", "a.example.com", "--san", "b.example.com")
    gate.error = lambda: None
    assert reason(cdn, "a.example.com")["code"] == "CA_RATE_LIMITED"
    assert cdn.sslctl("add", "b.example.com", "--san", "a.example.com", "--new").exit_code == 3
    assert (reason(cdn, "b.example.com")["code"], gate.asked) == ("BUDGET_HELD", 1)
    [pause] = cdn.sslctl("list", "--json").json["ca_pauses"]
    assert (pause["kind"], pause["key"]) == ("duplicates", '["a.example.com", "b.example.com"]')


def test_open_order_is_not_queried_during_a_pause_of_the_account(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    cdn.add_domain("a.test")
    cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "no decision in time"))
    cdn.sslctl("add", "a.test")
    gate = Gate(cdn)
    pause_everything(cdn)
    assert cdn.sslctl("recheck", "a.test").exit_code == 3
    assert (reason(cdn, "a.test")["code"], gate.asked) == ("BUDGET_HELD", 0)
    cdn.issuer.issued.clear()
    cdn.clock.move(hours=1)
    assert tick(cdn) == {"a.test": ""}


def test_recheck_queries_no_further_open_order_after_the_ca_asks_for_a_pause(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    """All of them wait in the queue for the CA when the first one receives that request."""
    limited()
    names = fleet(cdn, 12)
    for name in names:
        cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "no decision in time"))
        cdn.sslctl("recheck", name)
    gate = Gate(cdn)
    gate.error = refusal(Scope(LimitKind.ACCOUNT), HOUR, cdn, Code.CA_UNAVAILABLE)
    cdn.sslctl("recheck")
    assert gate.asked == 1


@pytest.mark.parametrize(
    ("scope", "code", "length"),
    [
        (Scope(LimitKind.ACCOUNT), Code.CA_UNAVAILABLE, HOUR),
        (Scope(LimitKind.ACCOUNT), Code.CA_RATE_LIMITED, 24 * HOUR),
        (Scope(LimitKind.ORDERS), Code.CA_RATE_LIMITED, 3 * HOUR),
    ],
    ids=str,
)
def test_pause_is_limited_to_what_can_be_right(
    cdn: Cdn, limited: Callable[..., None], scope: Scope, code: Code, length: timedelta
) -> None:
    limited()
    gate = Gate(cdn)
    enrol(cdn, "a.test", "b.test")
    gate.error = refusal(scope, timedelta(days=3650), cdn, code)
    assert sorted(tick(cdn).values()) == [Code.BUDGET_HELD, code]
    # Those that were refused wait no longer than those that are held back.
    assert {reason(cdn, name)["retry_at"] for name in ("a.test", "b.test")} == {at(length, cdn.clock())}


WEEK = timedelta(days=7)


def served(cdn: Cdn, *names: str) -> None:
    """Issue certificates that expire one after the other, an hour apart."""
    for name in names:
        enrol(cdn, name)
        assert tick(cdn) == {name: ""}
        cdn.clock.move(hours=1)


def test_pause_lets_one_order_an_hour_ahead_for_what_would_expire(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    served(cdn, "a.test", "b.test", "c.test", "d.test")
    gate = Gate(cdn)
    cdn.clock.move(days=89)
    # All of them expire within 24 hours, and the CA asks for a week.
    gate.error = refusal(Scope(LimitKind.ACCOUNT), WEEK, cdn)
    tick(cdn)
    (refused,) = gate.names
    enrol(cdn, "new.test")
    gate.error = lambda: None
    gate.names.clear()
    renewed = []
    for _ in range(8):
        cdn.clock.move(hours=1)
        tick(cdn)
        renewed.append([*gate.names])
        gate.names.clear()
    # The one that the CA refused comes after those that had no turn yet.
    others = [[name] for name in ("a.test", "b.test", "c.test", "d.test") if name != refused]
    assert renewed == [*others, [refused], [], [], [], []]
    assert reason(cdn, "new.test")["code"] == Code.BUDGET_HELD
    assert cdn.sslctl("list", "--json").json["ca_pauses"] != []


def test_wrong_retry_after_for_a_week_costs_no_certificate(cdn: Cdn, limited: Callable[..., None]) -> None:
    """From the renewal time on, the CA refuses everything until 12 hours before the first certificate expires."""
    limited()
    served(cdn, "a.test", "b.test", "c.test")
    gate = Gate(cdn)
    cdn.clock.move(days=83)
    gate.error = lambda: IssueError(
        Code.CA_RATE_LIMITED,
        "too busy",
        retry_at=cdn.clock() + WEEK,
        pause=Scope(LimitKind.ACCOUNT),
        order_dead=True,
    )
    for _ in range(24):
        tick(cdn)
        cdn.clock.move(hours=6)
    assert 5 <= gate.asked <= 8, "once a day"
    gate.asked = 0
    for _ in range(12):
        tick(cdn)
        cdn.clock.move(hours=1)
    assert 10 <= gate.asked <= 12, "once an hour on the last day"
    gate.error = lambda: None
    for _ in range(5):
        tick(cdn)
        cdn.clock.move(hours=1)
    domains = cdn.sslctl("list", "--json").json["domains"]
    assert [(each["domain"], each["status"], each["days_left"]) for each in domains] == [
        (name, "Success", 89) for name in ("a.test", "b.test", "c.test")
    ]


def test_pause_lets_an_open_order_ahead_for_what_would_expire(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited()
    served(cdn, "a.test")
    cdn.clock.move(days=89, hours=12)
    cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "no decision in time"))
    assert tick(cdn) == {"a.test": Code.CA_VALIDATING}
    gate = Gate(cdn)
    store = cdn.app().store
    store.pause(Scope(LimitKind.ACCOUNT), cdn.clock() + 24 * HOUR, "a test")
    store.close()
    cdn.clock.move(hours=1)
    assert tick(cdn) == {"a.test": ""}
    assert gate.asked == 2


def test_lifting_a_pause_makes_what_it_held_back_due_at_once(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited()
    gate = Gate(cdn)
    enrol(cdn, "a.test", "b.test", "c.test")
    gate.error = refusal(Scope(LimitKind.ACCOUNT), WEEK, cdn)
    tick(cdn)
    gate.error = lambda: None
    cdn.clock.move(minutes=1)
    assert tick(cdn) == {}
    assert cdn.sslctl("pauses", "lift", "acount").exit_code == 9
    assert "did you mean account?" in cdn.sslctl("pauses", "lift", "acount").stderr
    assert "account" in cdn.sslctl("pauses").stdout
    assert cdn.sslctl("pauses", "--json").json["pauses"][0]["kind"] == "account"
    lifted = cdn.sslctl("pauses", "lift", "account", "--json")
    assert (lifted.exit_code, [pause["kind"] for pause in lifted.json["pauses"]]) == (0, ["account"])
    assert tick(cdn) == {"a.test": "", "b.test": "", "c.test": ""}
    assert "account" not in cdn.sslctl("pauses").stdout
    store = cdn.app().store
    assert Milestone.PAUSE_LIFTED in store.milestones()
    store.close()


def test_lifting_all_pauses_includes_those_of_names_and_of_renewal_information(cdn: Cdn) -> None:
    assert cdn.sslctl("pauses", "lift", "all").exit_code == 0
    store = cdn.app().store
    for scope in (Scope(LimitKind.FAILURES, "a.test"), Scope(LimitKind.RENEWAL_INFO)):
        store.pause(scope, cdn.clock() + HOUR, "a test")
    store.trip_breaker("a test")
    assert "did you mean failures:a.test?" in cdn.sslctl("pauses", "lift", "a.test").stderr
    assert len(cdn.sslctl("pauses", "lift", "all", "--json").json["pauses"]) == 3
    assert store.pauses(cdn.clock(), also_of_renewal_info=True) == []
    assert not store.is_breaker_open()
    store.close()


def test_longest_of_several_pauses_counts(cdn: Cdn) -> None:
    store = cdn.app().store
    for hours in (2, 3, 1):
        store.pause(Scope(LimitKind.ACCOUNT), START + hours * HOUR, str(hours))
    assert [(pause.until, pause.why) for pause in store.pauses(START)] == [(START + 3 * HOUR, "3")]
    store.close()


# A CA that is down


def fleet(cdn: Cdn, number: int) -> list[str]:
    names = [f"{each:02}.test" for each in range(number)]
    enrol(cdn, *names)
    return names


def test_circuit_breaker_opens_after_five_failures_and_backs_off_exponentially(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    gate = Gate(cdn)
    fleet(cdn, 9)
    gate.error = refusal(Scope(LimitKind.ACCOUNT), None, cdn, Code.CA_UNAVAILABLE)
    ended = list(tick(cdn).values())
    assert (ended.count(Code.CA_UNAVAILABLE), ended.count(Code.BUDGET_HELD), gate.asked) == (5, 4, 5)
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        [pause] = cdn.sslctl("list", "--json").json["ca_pauses"]
        assert (pause["kind"], pause["until"]) == ("breaker", at(timedelta(minutes=minutes), cdn.clock()))
        asked = gate.asked
        cdn.clock.move(minutes=minutes, seconds=-1)
        cdn.sslctl("recheck")
        assert gate.asked == asked
        cdn.clock.move(seconds=1)
        cdn.sslctl("recheck")
        assert gate.asked == asked + 1, "one request is enough to see that the CA is still down"
    gate.error = lambda: None
    cdn.clock.move(hours=1)
    assert set(tick(cdn).values()) == {""}
    assert cdn.sslctl("list", "--json").json["ca_pauses"] == []
    gate.error = refusal(Scope(LimitKind.ACCOUNT), None, cdn, Code.CA_UNAVAILABLE)
    asked = gate.asked
    enrol(cdn, *(f"{each}.new.test" for each in range(6)))
    assert list(tick(cdn).values()).count(Code.CA_UNAVAILABLE) == 5
    assert gate.asked == asked + 5, "earlier failures no longer count"


@pytest.mark.parametrize(
    "between",
    [
        None,
        IssueError(Code.CHALLENGE_FAILED, "404", order_dead=True),
        IssueError(Code.CA_REFUSED, "no", order_dead=True),
    ],
    ids=["a certificate", "a failed challenge", "a refusal"],
)
def test_circuit_breaker_count_restarts_after_any_response_of_the_ca(
    cdn: Cdn, limited: Callable[..., None], between: IssueError | None
) -> None:
    limited()
    fleet(cdn, 9)
    gate = Gate(cdn)
    down = [refusal(Scope(LimitKind.ACCOUNT), None, cdn, Code.CA_UNAVAILABLE)() for _ in range(8)]
    gate.error = iter([*down[:4], between, *down[4:]]).__next__
    ended = list(tick(cdn).values())
    assert (ended.count(Code.CA_UNAVAILABLE), ended.count(Code.BUDGET_HELD)) == (8, 0)


def test_circuit_breaker_ignores_a_rate_limit_of_a_name_without_retry_after(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    gate = Gate(cdn)
    fleet(cdn, 7)
    gate.error = refusal(Scope(LimitKind.CERTIFICATES, "test"), None, cdn)
    assert set(tick(cdn).values()) == {Code.CA_RATE_LIMITED}
    assert (gate.asked, cdn.sslctl("list", "--json").json["ca_pauses"]) == (7, [])


def test_circuit_breaker_count_does_not_restart_after_an_error_of_certbot(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    fleet(cdn, 9)
    gate = Gate(cdn)
    down = [refusal(Scope(LimitKind.ACCOUNT), None, cdn, Code.CA_UNAVAILABLE)() for _ in range(8)]
    ours = IssueError(Code.ISSUER_FAILED, "certbot is broken", order_dead=True)
    gate.error = iter([*down[:4], ours, *down[4:]]).__next__
    ended = list(tick(cdn).values())
    assert (ended.count(Code.CA_UNAVAILABLE), ended.count(Code.BUDGET_HELD)) == (5, 3)


def test_circuit_breaker_opens_at_once_when_the_ca_refuses_the_account(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited()
    gate = Gate(cdn)
    fleet(cdn, 7)
    gate.error = refusal(Scope(LimitKind.ACCOUNT), None, cdn, Code.CA_REFUSED)
    ended = list(tick(cdn).values())
    assert (ended.count(Code.CA_REFUSED), ended.count(Code.BUDGET_HELD), gate.asked) == (1, 6, 1)
    for minutes in (1, 2, 4):
        cdn.clock.move(minutes=minutes)
        cdn.sslctl("recheck")
    assert gate.asked == 4, "once each time that the breaker closes"
    gate.error = lambda: None
    cdn.clock.move(hours=1)
    assert set(tick(cdn).values()) == {""}


def test_circuit_breaker_does_not_count_errors_of_certbot(cdn: Cdn, limited: Callable[..., None]) -> None:
    limited()
    gate = Gate(cdn)
    fleet(cdn, 7)
    gate.error = lambda: IssueError(Code.ISSUER_FAILED, "certbot is broken", order_dead=True)
    assert set(tick(cdn).values()) == {Code.ISSUER_FAILED}
    assert gate.asked == 7


# Output


def test_list_and_tick_report_the_pauses_of_the_ca(cdn: Cdn) -> None:
    store = cdn.app().store
    store.pause(Scope(LimitKind.ORDERS), START + 2 * HOUR, "the CA asked for a pause: too many new orders")
    store.pause(Scope(LimitKind.FAILURES, "a.test"), START + HOUR, "x")
    store.pause(Scope(LimitKind.CERTIFICATES, "b.test"), START + 3 * HOUR, "x")
    store.trip_breaker("the CA did not answer several times in a row: refused")
    store.close()
    orders = (
        "No new orders are placed until 2026-11-23 14:00 SGT: the CA asked for a pause: too many new orders."
    )
    breaker = "the CA did not answer several times in a row: refused."
    lines = [
        f"{orders} `sslctl pauses lift orders` ends this pause",
        f"No requests are sent to the CA until 2026-11-23 12:01 SGT: {breaker} `sslctl pauses lift breaker` ends this pause",
        "No new orders for 2 names or sets of names until 2026-11-23 15:00 SGT at the latest, as the CA requested",
    ]
    assert cdn.sslctl("list").stderr.splitlines()[:3] == [f"sslctl: {line}" for line in lines]
    assert cdn.sslctl("daemon-tick", "--quiet").stdout.splitlines()[1:] == lines
    assert [pause["until"] for pause in cdn.sslctl("daemon-tick", "--json").json["ca_pauses"]] == [
        at(length * HOUR) for length in (3, 2, 1)
    ] + [at(timedelta(minutes=1))]
    cdn.clock.move(hours=3)
    assert cdn.sslctl("list", "--json").json["ca_pauses"] == []
    assert cdn.sslctl("daemon-tick", "--quiet").stdout == ""


# A clock that was ahead and was corrected


def test_pauses_and_counts_written_by_a_clock_ahead_are_ignored(
    cdn: Cdn, limited: Callable[..., None]
) -> None:
    limited(orders="2/3h", certificates="none", duplicates="2/7d")
    cdn.clock.move(days=400)
    enrol(cdn, "a.test", "b.test")
    tick(cdn)
    store = cdn.app().store
    store.pause(Scope(LimitKind.ACCOUNT), cdn.clock() + HOUR, "a test")
    store.trip_breaker("a test")
    cdn.clock.at = START
    assert store.pauses(START) == []
    assert store.active_pause(START) is None
    enrol(cdn, "c.test", "d.test")
    tick(cdn)
    assert sorted(names[0] for names in cdn.issuer.orders) == ["a.test", "b.test", "c.test", "d.test"]
    store.trip_breaker("again")
    store.pause(Scope(LimitKind.ACCOUNT), START + HOUR, "again")
    assert [pause.until for pause in store.pauses(START)] == [
        START + HOUR,
        cdn.clock() + timedelta(minutes=1),
    ]
