"""ARI polling (RFC 9773) over real HTTPS: retry-after, backoff, and invalid responses for single certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from sslctl.certificates.x509 import make_csr, make_key, read_leaf, renewal_id
from sslctl.config.acme import AcmeSection
from sslctl.fleet.ari_polling import Poll, poll
from sslctl.issuer import IssueError, RenewalWindow, RenewalWindows
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Certificate, Source
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import Alert, RenewalRule
from sslctl.store.sqlite.store import SqliteStore
from tests.support.ari_server import Answer, AriServer, window
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock, FakeIssuer
from tests.support.store_cases import issue, serve

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLLING = Scope(LimitKind.RENEWAL_INFO)
WHY = "https://ca.test/why"


# Requests and responses


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[AriServer]:
    with AriServer(tmp_path) as server:
        yield server


@pytest.fixture
def certbot(ca: AriServer, tmp_path: Path) -> Iterator[CertbotIssuer]:
    section = AcmeSection(
        directory_url=f"{ca.url}/dir", ca_bundle=ca.ca_bundle, workers=1, timeout_seconds=30
    )
    issuer = CertbotIssuer(section, tmp_path / "acme", clock=Clock())
    yield issuer
    issuer.close()


def ask(certbot: CertbotIssuer, *ids: str, seconds: float = 20) -> RenewalWindows:
    found = certbot.renewal_infos(ids, seconds)
    assert found is not None
    return found


def test_renewal_infos_queries_many_certificates_over_few_connections(
    ca: AriServer, certbot: CertbotIssuer
) -> None:
    ca.otherwise = window(START, START + DAY, WHY, Retry_After="3600")
    ids = [f"aki.{number}" for number in range(300)]
    expected = RenewalWindow(START, START + DAY, WHY, START + HOUR)
    assert ask(certbot, *ids) == RenewalWindows(dict.fromkeys(ids, expected))
    assert sorted(ca.asked) == sorted(ids)
    assert ca.connections <= 1 + 8


def test_renewal_infos_returns_none_when_the_directory_has_no_renewal_info(
    ca: AriServer, certbot: CertbotIssuer
) -> None:
    ca.directory = Answer(dict(ca.resources))
    assert certbot.renewal_infos(["aki.1"], 20) is None
    assert ca.asked == []


def test_renewal_infos_error_carries_the_retry_after_of_an_unavailable_directory(
    ca: AriServer, certbot: CertbotIssuer
) -> None:
    ca.directory = Answer(b"", 503, {"Retry-After": "600"})
    with pytest.raises(IssueError) as caught:
        certbot.renewal_infos(["aki.1"], 20)
    assert caught.value.code is Code.CA_UNAVAILABLE
    assert caught.value.retry_at == START + timedelta(minutes=10)


def test_renewal_infos_reports_a_broken_connection_as_a_problem_of_the_ca(
    ca: AriServer, certbot: CertbotIssuer
) -> None:
    # The response is shorter than its Content-Length.
    ca.otherwise = Answer(b"{", headers={"Content-Length": "99"})
    found = ask(certbot, "aki.1")
    assert (found.by_id, found.trouble, found.unanswered) == ({}, "ChunkedEncodingError", ("aki.1",))


GOOD = {"start": "2027-01-01T00:00:00Z", "end": "2027-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"type": "urn:ietf:params:acme:error:malformed", "detail": "unknown"}, 404),
        Answer(b"no JSON at all"),
        Answer(b"oops", 500),
        Answer([GOOD]),
        Answer({}),
        Answer({"suggestedWindow": "tomorrow"}),
        Answer({"suggestedWindow": {"start": GOOD["start"]}}),
        Answer({"suggestedWindow": {**GOOD, "end": None}}),
        Answer({"suggestedWindow": {**GOOD, "end": GOOD["start"]}}),
        Answer({"suggestedWindow": {"start": GOOD["end"], "end": GOOD["start"]}}),
        Answer({"suggestedWindow": {"start": "2027-01-01T00:00:00", "end": "2027-01-02T00:00:00"}}),
        Answer({"suggestedWindow": {**GOOD, "start": "0001-01-01T00:00:00+14:00"}}),
        Answer({"suggestedWindow": {**GOOD, "end": "x" * 100_000}}),
        Answer({"suggestedWindow": {"start": 1, "end": 2}}),
        Answer({"suggestedWindow": GOOD}, 302, {"Location": "https://elsewhere.test/"}),
    ],
    ids=lambda answer: f"{answer.status} {str(answer.body)[:80]}",
)
def test_renewal_infos_ignores_an_invalid_response_and_keeps_the_others(
    ca: AriServer, certbot: CertbotIssuer, answer: Answer
) -> None:
    ca.answers = {"aki.1": window(START, START + DAY), "aki.2": answer, "aki.3": window(START, START + HOUR)}
    assert ask(certbot, "aki.1", "aki.2", "aki.3") == RenewalWindows(
        {
            "aki.1": RenewalWindow(START, START + DAY),
            "aki.2": None,
            "aki.3": RenewalWindow(START, START + HOUR),
        }
    )


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2027-01-01T08:00:00+08:00", "2027-01-02T00:00:00.999999999Z", (1, 2)),
        ("2027-01-01T00:00:00.25Z", "2027-01-02T00:00:00+00:00", (1, 2)),
    ],
    ids=str,
)
def test_renewal_infos_converts_times_to_utc_and_whole_seconds(
    ca: AriServer, certbot: CertbotIssuer, start: str, end: str, expected: tuple[int, int]
) -> None:
    ca.answers = {"aki.1": Answer({"suggestedWindow": {"start": start, "end": end}})}
    first, last = (datetime.fromisoformat(f"2027-01-0{day}T00:00:00Z") for day in expected)
    assert ask(certbot, "aki.1").by_id == {"aki.1": RenewalWindow(first, last)}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (WHY, WHY),
        ("http://ca.test/why?a=b#c", "http://ca.test/why?a=b#c"),
        ("javascript:alert(1)", ""),
        ("//ca.test/why", ""),
        ("https://", ""),
        ("https://ca.test/\x1b[2J", ""),
        ("https://ca.test/two words", ""),
        ("https://ca.test/" + "x" * 1000, ""),
        ("https://ca.test/\u202e", ""),
        ({"a": "b"}, ""),
    ],
    ids=lambda text: str(text)[:20],
)
def test_renewal_infos_keeps_only_a_printable_http_explanation_url(
    ca: AriServer, certbot: CertbotIssuer, url: str, kept: str
) -> None:
    ca.otherwise = window(START, START + DAY, url)
    assert ask(certbot, "aki.1").by_id == {"aki.1": RenewalWindow(START, START + DAY, kept)}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_renewal_infos_stops_when_the_ca_is_overloaded(
    ca: AriServer, certbot: CertbotIssuer, status: int
) -> None:
    ca.otherwise = Answer(b"", status, {"Retry-After": "7200"})
    found = ask(certbot, *(f"aki.{number}" for number in range(200)))
    assert (found.trouble, found.retry_at) == (f"HTTP status {status}", START + 2 * HOUR)
    # Each connection sees the error once.
    assert sorted(ca.asked) == sorted(found.unanswered)
    assert len(ca.asked) <= 8
    assert found.by_id == {}


def test_renewal_infos_refuses_a_renewal_info_url_without_https(
    ca: AriServer, certbot: CertbotIssuer
) -> None:
    ca.directory = Answer({**ca.resources, "renewalInfo": ca.url.replace("https", "http") + "/ari"})
    with pytest.raises(IssueError) as caught:
        certbot.renewal_infos(["aki.1"], 20)
    assert "does not begin with https" in caught.value.found
    assert ca.asked == []


def test_renewal_infos_stops_at_its_deadline(ca: AriServer, certbot: CertbotIssuer) -> None:
    assert ask(certbot, "aki.1", seconds=0) == RenewalWindows({})
    assert ca.asked == []


# Which certificates are queried, and what is stored


@pytest.fixture
def issuer(clock: Clock) -> FakeIssuer:
    return FakeIssuer(clock)


def served(store: SqliteStore, issuer: FakeIssuer, *names: str) -> list[str]:
    """Issue and serve a certificate for each of `names`; return their ARI ids."""
    ids = []
    for name in names:
        domain, key = store.add_domain(name, (), Source.C4), make_key("ecdsa")
        order = store.open_order(domain, domain.names, key, make_csr(key, domain.names))
        issued = issuer.issue(order, lambda _url: None)
        leaf = read_leaf(issued.certificate)
        domain = store.add_issued_certificate(domain, order, issued.certificate, issued.chain, leaf)
        assert domain.wanted is not None
        domain = store.mark_serving(domain, domain.wanted, wanted=domain.wanted)
        store.record_finding(domain, None)
        ids.append(renewal_id(issued.certificate) or "")
    return ids


def serving_of(store: SqliteStore, name: str) -> Certificate:
    found = store.domain(name).serving
    assert found is not None
    return found


def ask_all(store: SqliteStore, issuer: FakeIssuer, clock: Clock) -> Poll:
    return poll(store, {"": issuer}, clock, RenewalRule(), seconds=60, random=Random(1))  # noqa: S311 - picks repeat


def test_poll_queries_each_certificate_once_and_again_after_its_retry_after(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    ids = served(store, issuer, "a.test", "b.test", "c.test")
    retry_afters = dict(zip(ids, (2 * HOUR, None, 3650 * DAY), strict=True))

    def suggest(id_: str) -> RenewalWindow:
        retry_after = retry_afters[id_]
        return RenewalWindow(
            START + 60 * DAY, START + 61 * DAY, WHY, None if retry_after is None else clock() + retry_after
        )

    issuer.suggested = suggest
    assert ask_all(store, issuer, clock) == Poll(3)
    assert issuer.asked == ids
    info = serving_of(store, "a.test").renewal_info
    assert info is not None
    assert (info.start_at, info.end_at, info.explanation_url) == (START + 60 * DAY, START + 61 * DAY, WHY)
    assert ask_all(store, issuer, clock) == Poll(0)
    for wait, due in ((2 * HOUR, ids[0]), (4 * HOUR, ids[1]), (18 * HOUR, ids[2])):
        issuer.asked.clear()
        clock.at += wait
        ask_all(store, issuer, clock)
        assert due in issuer.asked


def test_poll_retries_after_six_hours_and_keeps_the_old_window_when_the_ca_does_not_answer(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    first, _ = served(store, issuer, "a.test", "b.test")
    suggestion = RenewalWindow(START + 60 * DAY, START + 61 * DAY)
    issuer.suggested = lambda id_: suggestion if id_ == first else None
    ask_all(store, issuer, clock)
    before = serving_of(store, "a.test").renewal_info
    assert before is not None
    assert serving_of(store, "b.test").renewal_info is None
    issuer.suggested = lambda _id: None
    issuer.asked.clear()
    clock.move(hours=6, seconds=-1)
    assert ask_all(store, issuer, clock).asked == 0
    clock.move(seconds=1)
    assert ask_all(store, issuer, clock).asked == 2
    now = serving_of(store, "a.test").renewal_info
    assert now is not None
    assert (now.renew_at, now.poll_at) == (before.renew_at, clock() + 6 * HOUR)


def test_poll_never_queries_a_certificate_without_an_ari_id(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    serve(store, issue(store, store.add_domain("odd.test", (), Source.C4)))
    issuer.suggested = lambda _id: None
    for _ in range(2):
        assert ask_all(store, issuer, clock) == Poll(0)
        clock.move(days=30)
    assert store.renewal_infos_due(clock(), 9, ca="") == []


def test_poll_checks_a_ca_without_ari_once_a_day(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    served(store, issuer, "a.test")
    looks = []
    issuer.renewal_infos = lambda ids, _seconds: looks.append(ids)  # type: ignore[assignment, method-assign]
    for hours in (0, 0, 23, 1):
        clock.move(hours=hours)
        ask_all(store, issuer, clock)
    assert len(looks) == 2
    # This pause is not shown in the list, and no order waits for it.
    assert store.pauses(clock()) == []
    assert store.active_pause(clock()) is None


class Silent(FakeIssuer):
    """A CA that answers the first few queries only, or raises."""

    error: IssueError | None = None
    answered = 0
    retry_at: datetime | None = None

    def renewal_infos(self, ids: object, seconds: float) -> RenewalWindows:
        """Answer the first `answered` of `ids`."""
        found = super().renewal_infos(list(ids), seconds)  # type: ignore[call-overload]
        if self.error is not None:
            raise self.error
        assert found is not None
        answered = dict(list(found.by_id.items())[: self.answered])
        return RenewalWindows(answered, "HTTP status 503", self.retry_at)


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(2 * HOUR, 2 * HOUR), (timedelta(0), timedelta(minutes=1)), (30 * DAY, DAY)],
    ids=str,
)
def test_poll_pauses_for_the_retry_after_of_the_ca_and_keeps_the_windows_it_received(
    store: SqliteStore, clock: Clock, retry_after: timedelta, wait: timedelta, *, raises: bool
) -> None:
    issuer = Silent(clock)
    served(store, issuer, "a.test", "b.test")
    issuer.suggested = lambda _id: RenewalWindow(START + 60 * DAY, START + 61 * DAY)
    issuer.answered, issuer.retry_at = 1, START + retry_after
    if raises:
        issuer.error = IssueError(Code.CA_RATE_LIMITED, "slow down", retry_at=START + retry_after)
    assert ask_all(store, issuer, clock).asked == (0 if raises else 1)
    assert (serving_of(store, "a.test").renewal_info is None) == raises
    asked = len(issuer.asked)
    clock.at = START + wait - timedelta(seconds=1)
    ask_all(store, issuer, clock)
    assert len(issuer.asked) == asked
    clock.at = START + wait
    ask_all(store, issuer, clock)
    assert len(issuer.asked) > asked
    assert store.pauses(clock()) == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_directory", [False, True], ids=["renewal info", "directory"])
def test_poll_asks_again_as_soon_as_the_retry_after_has_passed(
    store: SqliteStore,
    issuer: FakeIssuer,
    clock: Clock,
    ca: AriServer,
    certbot: CertbotIssuer,
    status: int,
    *,
    is_directory: bool,
) -> None:
    ids = served(store, issuer, *(f"d{number}.test" for number in range(12)))
    certbot._clock = clock
    usual, refusal = window(START + 60 * DAY, START + 61 * DAY), Answer(b"", status, {"Retry-After": "900"})
    ca.otherwise, good = usual, ca.directory
    if is_directory:
        ca.directory = refusal
    else:
        ca.otherwise = refusal
    assert poll(store, {"": certbot}, clock, RenewalRule(), seconds=60).asked == 0
    clock.at = START + timedelta(seconds=899)
    asked, ca.directory, ca.otherwise = len(ca.asked), good, usual
    assert poll(store, {"": certbot}, clock, RenewalRule(), seconds=60).asked == 0
    assert len(ca.asked) == asked
    clock.at = START + timedelta(seconds=900)
    assert poll(store, {"": certbot}, clock, RenewalRule(), seconds=60).asked == len(ids)
    assert sorted(ca.asked[asked:]) == sorted(ids)
    clock.at += 6 * HOUR - timedelta(seconds=1)
    assert poll(store, {"": certbot}, clock, RenewalRule(), seconds=60).asked == 0


def test_poll_reaches_all_certificates_although_the_ca_always_fails_for_one(
    store: SqliteStore, clock: Clock
) -> None:
    class Failing(FakeIssuer):
        """A CA that fails for the first id, and for all that are asked after it in the same batch."""

        def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
            if failing not in ids:
                return super().renewal_infos(ids, seconds)
            found = super().renewal_infos(ids[: ids.index(failing)], seconds)
            assert found is not None
            return RenewalWindows(found.by_id, "HTTP status 503", unanswered=(failing,))

    issuer = Failing(clock)
    issuer.suggested = lambda _id: RenewalWindow(START + 60 * DAY, START + 61 * DAY)
    failing, *others = served(store, issuer, *(f"d{number}.test" for number in range(5)))
    for _ in range(24):
        ask_all(store, issuer, clock)
        clock.move(hours=1)
    counts = Counter(issuer.asked)
    # Every six hours, an hour later at times, because the pause after the one failure is for all.
    assert all(3 <= counts[id_] <= 4 for id_ in others)


def test_poll_backs_off_exponentially_while_the_ca_is_down(store: SqliteStore, clock: Clock) -> None:
    issuer = Silent(clock)
    served(store, issuer, "a.test")
    issuer.suggested, issuer.answered = lambda _id: RenewalWindow(START + 60 * DAY, START + 61 * DAY), 0
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        asked = len(issuer.asked)
        ask_all(store, issuer, clock)
        clock.move(minutes=minutes, seconds=-1)
        ask_all(store, issuer, clock)
        assert len(issuer.asked) == asked + 1
        clock.move(seconds=1)
    well = FakeIssuer(clock)
    well.suggested = issuer.suggested
    assert ask_all(store, well, clock).asked == 1
    served(store, well, "b.test")
    ask_all(store, issuer, clock)
    pause = store.active_pause(clock(), POLLING)
    assert pause is not None
    assert pause.until == clock() + timedelta(minutes=1)


def test_poll_sends_nothing_during_a_pause_of_the_account(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    served(store, issuer, "a.test")
    issuer.suggested = lambda _id: None
    store.pause(Scope(LimitKind.ACCOUNT), START + HOUR, "maintenance")
    assert ask_all(store, issuer, clock).asked == 0
    clock.move(hours=1)
    assert ask_all(store, issuer, clock).asked == 1


def test_poll_stops_at_its_deadline_or_when_stopped(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    served(store, issuer, *(f"d{number}.test" for number in range(5)))

    def suggest(_id: str) -> None:
        clock.move(seconds=10)

    issuer.suggested = suggest
    assert poll(store, {"": issuer}, clock, RenewalRule(), seconds=15, batch_size=2).asked == 2
    assert (
        poll(
            store,
            {"": issuer},
            clock,
            RenewalRule(),
            seconds=60,
            batch_size=2,
            stopped=lambda: len(issuer.asked) > 2,
        ).asked
        == 2
    )
    assert poll(store, {"": issuer}, clock, RenewalRule(), seconds=0).asked == 0
    assert poll(store, {"": issuer}, clock, RenewalRule(), seconds=60, batch_size=2).asked == 1


def test_poll_reports_newly_early_windows_once_and_grouped_by_explanation(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    ids = served(store, issuer, *(f"d{number}.test" for number in range(6)))
    windows = {id_: RenewalWindow(START + 60 * DAY, START + 61 * DAY, "https://ca.test/usual") for id_ in ids}
    issuer.suggested = lambda id_: windows[id_]
    assert ask_all(store, issuer, clock) == Poll(6)
    clock.move(hours=6)
    for number, id_ in enumerate(ids[:4]):
        windows[id_] = RenewalWindow(clock() + number * HOUR, clock() + (number + 1) * HOUR, WHY)
    windows[ids[4]] = RenewalWindow(clock(), clock() + DAY)
    alerts = (Alert(4, clock(), clock() + 4 * HOUR, WHY), Alert(1, clock(), clock() + DAY, ""))
    assert ask_all(store, issuer, clock) == Poll(6, alerts)
    clock.move(hours=6)
    assert ask_all(store, issuer, clock) == Poll(6)


# Polling and replacement together


def test_tick_replaces_only_the_certificates_of_an_incident_at_the_ca(
    cdn: Cdn, ca: AriServer, certbot: CertbotIssuer
) -> None:
    names = [f"d{number:02}.example.com" for number in range(33)]
    for name in names:
        cdn.add_domain(name)
    cdn.sslctl("add", *names)
    cdn.issuer.renewal_infos = certbot.renewal_infos  # type: ignore[method-assign]
    certbot._clock = cdn.clock
    cdn.clock.move(days=10)
    ids = [_id_of(cdn, name) for name in names]
    usual = window(cdn.clock() + 60 * DAY, cdn.clock() + 62 * DAY, Retry_After="21600")
    ca.answers = dict.fromkeys(ids, usual)
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""
    assert sorted(ca.asked) == sorted(ids)
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""
    assert len(ca.asked) == 33

    cdn.clock.move(hours=6)
    early = window(cdn.clock() - DAY, cdn.clock() - HOUR, WHY, Retry_After="21600")
    ca.answers.update(dict.fromkeys(ids[:30], early))
    ca.otherwise = usual
    before, cdn.issuer.replaced[:] = [cdn.installed(name) for name in names], []
    result = cdn.sslctl("daemon-tick", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("replaced early") == 1
    assert "30 certificates" in result.stdout
    assert WHY in result.stdout
    assert sorted(cdn.issuer.replaced) == sorted(ids[:30])
    changed = [cdn.installed(name) != old for name, old in zip(names, before, strict=True)]
    assert changed == [True] * 30 + [False] * 3
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""
    assert len(cdn.issuer.orders) == 33 + 30


def _id_of(cdn: Cdn, name: str) -> str:
    app = cdn.app()
    serving = app.store.domain(name).serving
    assert serving is not None
    found = renewal_id(app.store.bundle(serving).certificate)
    app.close()
    assert found is not None
    return found


@pytest.mark.parametrize("ari", ["incident", "follow"])
def test_week_of_hourly_ticks_places_one_order_a_domain_and_day_although_the_ca_always_says_now(
    cdn: Cdn, ari: str
) -> None:
    """The CA wants five domains renewed at once, whenever it is asked, and suggests impossible windows for two others."""
    names = [f"d{number}.example.com" for number in range(7)]
    for name in names:
        cdn.add_domain(name)
    with cdn.config_path.open("a") as config:
        config.write(f'[renewal]\nari = "{ari}"\n')
    cdn.sslctl("add", *names)

    def suggest(id_: str) -> RenewalWindow:
        now, issued = cdn.clock(), [one.certificate for one in cdn.issuer.issued.values()]
        (name,) = {read_leaf(each).names[0] for each in issued if renewal_id(each) == id_}
        start, end = {
            names[5]: (START - 2 * DAY, START - DAY),
            names[6]: (now + 91 * DAY, now + 92 * DAY),
        }.get(name, (now - HOUR, now - HOUR / 2) if name < names[3] else (now, now + HOUR))
        return RenewalWindow(start, end, WHY, now)

    cdn.issuer.suggested = suggest
    times = {name: [cdn.clock()] for name in names}
    for _ in range(7 * 24):
        cdn.clock.move(hours=1)
        placed = len(cdn.issuer.orders)
        assert cdn.sslctl("daemon-tick", "-q").exit_code == 0
        for order in cdn.issuer.orders[placed:]:
            times[order[0]].append(cdn.clock())
    assert all(after - before >= DAY for each in times.values() for before, after in pairwise(each))
    assert [len(times[name]) - 1 for name in names] == [7, 7, 7, 7, 7, 0, 0]


def test_poll_ignores_a_window_outside_the_lifetime_and_asks_again_after_six_hours(
    store: SqliteStore, issuer: FakeIssuer, clock: Clock
) -> None:
    served(store, issuer, "a.test")
    good, bad = RenewalWindow(START + 60 * DAY, START + 61 * DAY), RenewalWindow(START - DAY, START - HOUR)
    issuer.suggested = lambda _id: good
    ask_all(store, issuer, clock)
    before = serving_of(store, "a.test").renewal_info
    assert before is not None
    clock.move(hours=6)
    issuer.suggested = lambda _id: bad
    assert ask_all(store, issuer, clock) == Poll(1)
    assert serving_of(store, "a.test").renewal_info == replace(before, poll_at=clock() + 6 * HOUR)
