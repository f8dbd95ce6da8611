"""Which trouble is printed again, and when it is over, over many ticks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sslctl.rules.reported import Fact, Kind, Printed, find_news

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
FIVE, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
PAUSE = Fact(Kind.FLEET, "the maintenance pause", "until noon")
SHOP = Fact(Kind.DOMAIN, "shop.test", "Emergency C4_REJECTED")
BLOG = Fact(Kind.DOMAIN, "blog.test", "Failure NXDOMAIN")
LOST = Fact(Kind.EVENT, "certificates lost on C4", "1")


class Reader:
    """Reads what ticks print."""

    def __init__(self) -> None:
        self.now = START
        self.printed: dict[str, Printed] = {}

    def tick(
        self, *facts: Fact, lasting: Collection[str] = (), after: timedelta = FIVE
    ) -> tuple[list[Fact], list[str]]:
        """Return what a tick prints later by `after`, and what is over."""
        self.now += after
        news = find_news(self.printed, facts, lasting, self.now)
        self.printed = dict(news.after)
        return list(news.facts), list(news.over)


NOTHING: tuple[list[Fact], list[str]] = ([], [])


def test_lasting_trouble_is_printed_once_in_22_hours() -> None:
    reader = Reader()
    ticks = [reader.tick(PAUSE, SHOP) for _ in range(288)]
    assert [number for number, printed in enumerate(ticks) if printed != NOTHING] == [0, 264]
    assert ticks[0] == ticks[264] == ([PAUSE, SHOP], [])


def test_only_what_is_new_is_printed_and_all_together_at_the_next_repeat() -> None:
    reader = Reader()
    assert reader.tick(PAUSE) == ([PAUSE], [])
    assert reader.tick(PAUSE, SHOP, after=2 * HOUR) == ([SHOP], [])
    assert reader.tick(PAUSE, SHOP, after=20 * HOUR) == ([PAUSE, SHOP], [])
    assert reader.tick(PAUSE, SHOP, after=2 * HOUR) == NOTHING


def test_another_state_of_the_same_subject_is_news_once() -> None:
    reader = Reader()
    worse = Fact(Kind.DOMAIN, SHOP.subject, "Expired CERT_EXPIRED")
    assert reader.tick(SHOP) == ([SHOP], [])
    assert reader.tick(worse) == ([worse], [])
    assert [reader.tick(fact) for fact in (SHOP, worse, SHOP, worse)] == [NOTHING] * 4


def test_end_of_trouble_of_the_fleet_is_printed_after_an_hour() -> None:
    reader = Reader()
    reader.tick(PAUSE)
    ticks = [reader.tick() for _ in range(20)]
    assert [number for number, printed in enumerate(ticks) if printed != NOTHING] == [11]
    assert ticks[11] == ([], [PAUSE.subject])
    assert reader.printed == {}


def test_trouble_that_comes_and_goes_is_printed_once() -> None:
    reader = Reader()
    ticks = [reader.tick(*([PAUSE] if number % 3 else [])) for number in range(264)]
    assert [printed for printed in ticks if printed != NOTHING] == [([PAUSE], [])]


def test_trouble_that_a_tick_did_not_look_at_is_not_over() -> None:
    reader = Reader()
    reader.tick(BLOG)
    assert [reader.tick(lasting={BLOG.subject}) for _ in range(280)] == [NOTHING] * 280
    assert reader.tick(BLOG) == ([BLOG], [])


def test_daily_failure_is_repeated_with_everything_else_at_the_next_midnight() -> None:
    reader = Reader()
    reader.tick(BLOG)
    reader.tick(SHOP, lasting={BLOG.subject}, after=10 * HOUR)
    assert reader.tick(BLOG, SHOP, after=DAY - 10 * HOUR - 10 * FIVE) == ([BLOG, SHOP], [])
    assert reader.tick(SHOP, lasting={BLOG.subject}, after=10 * HOUR) == NOTHING


def test_domains_that_are_well_are_printed_when_all_are_well() -> None:
    reader = Reader()
    reader.tick(BLOG, SHOP)
    assert [reader.tick(SHOP) for _ in range(15)] == [NOTHING] * 15
    ticks = [reader.tick() for _ in range(12)]
    assert ticks == [NOTHING] * 11 + [([], [BLOG.subject, SHOP.subject])]


def test_domains_that_are_well_are_printed_together_with_other_news() -> None:
    reader = Reader()
    reader.tick(BLOG, SHOP)
    for _ in range(15):
        reader.tick(SHOP)
    assert reader.tick(SHOP, PAUSE) == ([PAUSE], [BLOG.subject])


def test_event_is_printed_once_a_day_and_never_over() -> None:
    reader = Reader()
    ticks = [reader.tick(*([LOST] if number % 50 == 0 else [])) for number in range(301)]
    assert [number for number, printed in enumerate(ticks) if printed != NOTHING] == [0, 300]
    assert [reader.tick() for _ in range(300)] == [NOTHING] * 300
    assert reader.printed == {}


def test_event_that_is_repeated_repeats_nothing_else() -> None:
    reader = Reader()
    reader.tick(LOST)
    reader.tick(SHOP, after=10 * HOUR)
    assert reader.tick(SHOP, LOST, after=13 * HOUR) == ([LOST], [])


def test_clock_that_was_ahead_hides_nothing() -> None:
    reader = Reader()
    reader.now += 400 * DAY
    reader.tick(PAUSE)
    reader.tick()
    assert reader.tick(SHOP, after=-400 * DAY) == ([SHOP], [])
    assert reader.tick(SHOP, PAUSE) == ([SHOP, PAUSE], [])
