"""Ticks that look at the edges: drift and silence are one trouble of each edge, and end by themselves."""

from __future__ import annotations

import pytest

from sslctl.notify import MessageKind
from sslctl.sandbox.edge_fault import EdgeFault
from tests.support.cdn import Cdn
from tests.support.edges import address, edges_of
from tests.support.notifying import NotifyingCdn

NAMES = [f"d{number:02}.example.com" for number in range(6)]


@pytest.fixture
def notifying(cdn: Cdn) -> NotifyingCdn:
    for name in NAMES:
        cdn.add_domain(name)
    return NotifyingCdn(cdn)


def test_edge_that_drifts_is_one_trouble_and_moves_no_domain(notifying: NotifyingCdn) -> None:
    with edges_of(notifying, 2) as (good, lying):
        assert notifying.sslctl("add", *NAMES).exit_code == 0
        notifying.tick()
        lying.fault = EdgeFault.LIE
        notifying.tick(hours=24)
        assert notifying.titles(MessageKind.TROUBLE) == [
            f"edge {address(lying)} serves other certificates than C4 has for 6 domains"
        ]
        result = notifying.sslctl("daemon-tick", "--json").json
        assert result["edge_troubles"] == notifying.titles(MessageKind.TROUBLE)
        printed = " ".join(notifying.sslctl("daemon-tick").stdout.split())
        assert f"Edge {address(lying)} serves other certificates than C4 has for 6 domains." in printed
        body = notifying.notifier.sent[-1][0].body
        assert "one that sslctl did not install for 6" in body
        assert address(good) not in body
        assert {each["status"] for each in notifying.sslctl("list", "--json").json["domains"]} == {"Success"}
        uploads = [notifying.uploads(name) for name in NAMES]
        notifying.tick(minutes=5)
        lying.fault = None
        notifying.tick(minutes=5)
        assert len(notifying.titles(MessageKind.TROUBLE)) == 1
        assert notifying.titles()[-1] == "all domains have recovered"
        assert [notifying.uploads(name) for name in NAMES] == uploads


def test_sample_of_edges_is_bounded_and_goes_round(notifying: NotifyingCdn) -> None:
    with edges_of(notifying, 2, daily_sample=4) as (_, lying):
        assert notifying.sslctl("add", *NAMES).exit_code == 0
        notifying.tick()
        lying.fault = EdgeFault.LIE
        found = []
        for _ in range(3):
            notifying.tick(hours=24)
            found.append(sum(each.domains for each in notifying.app().store.late_edges(notifying.clock())))
    assert found == [2, 4, 6]


def test_silent_edge_is_one_trouble_until_it_answers(notifying: NotifyingCdn) -> None:
    with edges_of(notifying, 2) as (_, silent):
        assert notifying.sslctl("add", *NAMES).exit_code == 0
        notifying.tick()
        silent.stop()
        notifying.tick(hours=24)
        notifying.tick(minutes=5)
        assert notifying.titles(MessageKind.TROUBLE) == [f"edge {address(silent)} does not answer"]
        silent.start()
        notifying.tick(minutes=5)
        assert notifying.titles()[-1] == "all domains have recovered"
        assert {each["status"] for each in notifying.sslctl("list", "--json").json["domains"]} == {"Success"}


def test_silent_edge_is_noticed_with_a_single_domain(notifying: NotifyingCdn) -> None:
    with edges_of(notifying, 2) as (_, silent):
        assert notifying.sslctl("add", NAMES[0]).exit_code == 0
        silent.stop()
        notifying.tick(hours=1)
        assert notifying.titles(MessageKind.TROUBLE) == [f"edge {address(silent)} does not answer"]
        silent.start()


def test_edge_that_lags_for_all_after_a_night_of_renewals_is_one_trouble(notifying: NotifyingCdn) -> None:
    with edges_of(notifying, 2, lag_seconds=900) as (_, lagging):
        assert notifying.sslctl("add", *NAMES).exit_code == 0
        notifying.tick()
        lagging.fault = EdgeFault.LAG
        orders = len(notifying.issuer.orders)
        notifying.tick(days=84)
        assert {each["status"] for each in notifying.sslctl("list", "--json").json["domains"]} == {"Pending"}
        # Within the lag it is no trouble yet.
        assert not any("serves other" in title for title in notifying.titles())
        notifying.tick(minutes=20)
        assert notifying.titles(MessageKind.TROUBLE) == [
            f"edge {address(lagging)} serves other certificates than C4 has for 6 domains"
        ]
        assert "an older one of sslctl's for 6" in notifying.notifier.sent[-1][0].body
        assert len(notifying.issuer.orders) == orders + len(NAMES)
        lagging.fault = None
        notifying.tick(hours=24)
        assert {each["status"] for each in notifying.sslctl("list", "--json").json["domains"]} == {"Success"}
        assert notifying.app().store.late_edges(notifying.clock()) == []
