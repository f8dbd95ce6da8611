"""The comparison with C4's list that a tick makes once a day: new domains are noticed once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sslctl.control_plane import NoInventory, Unanswered
from sslctl.fleet import inventory, nightly_inventory
from sslctl.fleet.nightly_inventory import InventoryNews, compare_daily
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.notify import MessageKind
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.store.sqlite.store import SqliteStore
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.listing_c4 import ListingC4
from tests.support.notifying import NotifyingCdn

FLEET = [f"d{number:02}.example.com" for number in range(20)]
NEW = [f"n{number}.example.com" for number in range(7)]

Compare = Callable[[], InventoryNews]


@pytest.fixture
def c4(clock: Clock, store: SqliteStore) -> ListingC4:
    """A C4 with `FLEET`, which is managed."""
    made = ListingC4(clock)
    create(made, *FLEET)
    store.add_domains(FLEET)
    return made


@pytest.fixture
def compare(store: SqliteStore, c4: ListingC4, clock: Clock) -> Compare:
    """A function that does what a tick does."""
    return lambda: compare_daily(store, c4, SuspicionLimit(), clock, lambda: 0.0)


def create(c4: ListingC4, *names: str) -> None:
    for name in names:
        c4.create(name, "target.cdn.test")


def test_new_domains_are_reported_once(compare: Compare, c4: ListingC4, clock: Clock) -> None:
    create(c4, *reversed(NEW))
    assert compare() == InventoryNews(unmanaged=7, new=7, first=tuple(NEW[:5]))
    clock.move(days=1)
    create(c4, "zz.example.com")
    assert compare() == InventoryNews(unmanaged=8, new=1, first=("zz.example.com",))
    clock.move(days=1)
    assert compare() == InventoryNews(unmanaged=8)


def test_inventory_is_compared_once_in_a_day_in_singapore(
    compare: Compare, c4: ListingC4, clock: Clock
) -> None:
    # 04:00 in UTC is noon in Singapore.
    for hours in (0, 1, 10):
        clock.move(hours=hours)
        compare()
    assert c4.lists == 1
    clock.move(hours=1)
    compare()
    assert c4.lists == 2


def test_comparison_in_the_future_does_not_count(compare: Compare, c4: ListingC4, clock: Clock) -> None:
    compare()
    clock.move(days=-3)
    compare()
    assert c4.lists == 2


def test_failed_comparison_is_reported_by_each_tick_and_tried_again_in_an_hour(
    compare: Compare, c4: ListingC4, clock: Clock
) -> None:
    create(c4, *NEW)
    c4.ends_after = 25
    for _ in range(3):
        trouble = compare().trouble
        assert trouble.startswith("C4 did not give all of its list of domains, so nothing was compared")
        clock.move(minutes=5)
    assert c4.lists == 1
    c4.ends_after = None
    clock.move(hours=1)
    assert compare() == InventoryNews(unmanaged=7, new=7, first=tuple(NEW[:5]))


@pytest.mark.parametrize("error", [Unanswered("answered 500"), NoInventory("answered 501")])
def test_list_that_ends_early_records_nothing(
    compare: Compare, store: SqliteStore, c4: ListingC4, error: Exception
) -> None:
    create(c4, *NEW)
    c4.error, c4.ends_after = error, 26
    compare()
    assert store.unmanaged() is None


def test_comparison_that_takes_five_minutes_ends(store: SqliteStore, c4: ListingC4, clock: Clock) -> None:
    create(c4, *NEW)
    times = iter((0.0, 301.0))
    news = compare_daily(store, c4, SuspicionLimit(), clock, times.__next__)
    assert news.trouble.startswith("C4's list of domains took too long, so nothing was compared")
    assert store.unmanaged() is None


def test_c4_without_a_list_is_no_trouble_and_is_asked_again_the_next_day(
    compare: Compare, c4: ListingC4, clock: Clock
) -> None:
    c4.error, c4.ends_after = NoInventory("answered 501"), 0
    assert compare() == InventoryNews()
    clock.move(hours=2)
    compare()
    assert c4.lists == 1
    clock.move(days=1)
    compare()
    assert c4.lists == 2


def test_empty_list_is_trouble_only_if_domains_are_managed(
    c4: ListingC4, store: SqliteStore, clock: Clock
) -> None:
    c4.lacking = FLEET
    trouble = compare_daily(store, c4, SuspicionLimit(), clock, lambda: 0.0).trouble
    assert trouble == "C4's list of domains is empty, so nothing was compared"
    for name in FLEET:
        store.delete_domain(store.domain(name))
    clock.move(days=1)
    assert compare_daily(store, c4, SuspicionLimit(), clock, lambda: 0.0) == InventoryNews()


def test_list_of_another_c4_is_not_believed_and_records_nothing(
    compare: Compare, store: SqliteStore, c4: ListingC4
) -> None:
    create(c4, *NEW)
    c4.lacking = FLEET
    assert "lacks 20 of 20 managed ones, which is too many to be believed" in compare().trouble
    assert store.unmanaged() is None


def test_list_that_was_short_once_makes_nothing_new(compare: Compare, c4: ListingC4, clock: Clock) -> None:
    create(c4, *NEW)
    compare()
    for lacking in (NEW, ()):
        clock.move(days=1)
        c4.lacking = lacking
        assert compare().new == 0
    clock.move(days=1)
    c4.lacking = NEW
    compare()
    clock.move(days=1)
    compare()
    clock.move(days=1)
    c4.lacking = ()
    assert compare().new == 7


def test_blocks_do_not_change_what_is_new(
    compare: Compare, c4: ListingC4, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly_inventory, "_BLOCK", 2)
    monkeypatch.setattr(inventory, "_BLOCK", 3)
    create(c4, *NEW)
    compare()
    clock.move(days=1)
    assert compare() == InventoryNews(unmanaged=7)


def test_comparison_asks_c4_about_no_single_domain(compare: Compare, c4: ListingC4) -> None:
    c4.lacking = FLEET[:3]
    asked: list[str] = []
    c4.domain = asked.append  # type: ignore[method-assign, assignment]
    c4.inventory = lambda: iter([c4._find(name) for name in FLEET[3:]])  # type: ignore[method-assign]
    assert compare() == InventoryNews()
    assert asked == []


# Ticks


@pytest.fixture
def notifying(cdn: Cdn) -> NotifyingCdn:
    """A CDN with a domain in Success, and with new domains in C4, whose ticks notify people."""
    notifying = NotifyingCdn(cdn)
    notifying.add_domain("shop.example.com")
    assert notifying.sslctl("add", "shop.example.com").exit_code == 0
    for name in NEW:
        notifying.add_domain(name)
    return notifying


def test_tick_prints_what_is_new_and_people_hear_of_it_once(notifying: NotifyingCdn) -> None:
    line = f"C4 has 7 new domains that nobody manages: {', '.join(NEW[:5])} and 2 more; 7 in all. `sslctl sync` shows them"
    result = notifying.sslctl("daemon-tick")
    assert (result.exit_code, line in result.stdout.splitlines()) == (0, True)
    assert line not in notifying.sslctl("daemon-tick").stdout
    notifying.tick(days=2)
    assert notifying.titles(MessageKind.DIGEST) == ["new domains in C4"]
    body = notifying.notifier.sent[0][0].body
    assert "and managed by nobody: 7 domains; in all nobody manages 7 domains of C4." in body
    assert f"The first: {', '.join(NEW[:5])}." in body
    assert [each["domain"] for each in notifying.sslctl("list", "--json").json["domains"]] == [
        "shop.example.com"
    ]


def test_tick_prints_new_domains_as_json(notifying: NotifyingCdn) -> None:
    assert notifying.sslctl("daemon-tick", "--json").json["inventory"] == {
        "unmanaged": 7, "new": 7, "first": NEW[:5], "trouble": None,
    }  # fmt: skip


def test_people_hear_nothing_of_domains_that_were_added_before_the_digest(notifying: NotifyingCdn) -> None:
    notifying.sslctl("sync", "--add-missing")
    notifying.tick()
    assert notifying.titles(MessageKind.DIGEST) == []


def test_tick_is_good_without_a_list_and_says_once_that_one_failed(notifying: NotifyingCdn) -> None:
    notifying.c4.features.inventory = False
    assert "list of domains" not in notifying.sslctl("daemon-tick").stdout
    notifying.c4.features.inventory = True
    notifying.c4.set_faults(Fault(kind=Operation.INVENTORY, status=500))
    notifying.clock.move(days=1)
    result = notifying.sslctl("daemon-tick", "-q")
    assert result.exit_code == 0
    assert (
        "C4's list of domains is not compared, and is tried again within an hour: C4 did not give"
        in result.stdout
    )
    notifying.clock.move(minutes=5)
    assert notifying.sslctl("daemon-tick", "-q").stdout == ""
    notifying.c4.heal()
    for _ in range(2):
        notifying.clock.move(hours=1)
        result = notifying.sslctl("daemon-tick", "-q")
    assert "Over since the last report: the failed comparison" in result.stdout
